"""`import srtoolbox` is cheap, its names are there when they are asked for, and type checkers see the same ones."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import srtoolbox

SOURCE = Path(srtoolbox.__file__).read_text(encoding="utf-8")


def test_every_public_name_can_be_imported() -> None:
    assert set(srtoolbox.__all__) == {"__version__", *srtoolbox._PUBLIC}
    for name in srtoolbox.__all__:
        assert getattr(srtoolbox, name) is not None
        assert name in dir(srtoolbox)
    with pytest.raises(AttributeError, match="no attribute 'upscail'"):
        _ = srtoolbox.upscail


def test_type_checkers_see_what_there_is() -> None:
    (block,) = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.If)]
    declared = {alias.name: node.module for node in block.body for alias in node.names}
    assert declared == srtoolbox._PUBLIC
    assert Path(srtoolbox.__file__).with_name("py.typed").exists()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, srtoolbox; print([name for name in ('torch', 'numpy', 'cv2', 'PIL') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_array_in_array_out(photo: np.ndarray) -> None:
    from srtoolbox import Upscaler, upscale
    from srtoolbox.registry import NETWORKS

    network = NETWORKS.build({"type": "Bicubic", "scale": 2})
    small = photo[:11, :13]
    large = upscale(network, small)
    assert large.shape == (22, 26, 3) and large.dtype == np.uint8
    assert np.array_equal(large, Upscaler(network)(small))
    assert upscale(network, small[..., :1].astype(np.uint16)).shape == (22, 26, 1)


def test_an_image_that_does_not_fit_in_one_piece(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from srtoolbox import upscale
    from srtoolbox.inference.tiling import memory
    from srtoolbox.inference.tiling import planner as planning
    from srtoolbox.registry import NETWORKS

    network = NETWORKS.build({"type": "ESPCN", "scale": 2})
    whole = upscale(network, photo)
    windows, measured = [], []
    monkeypatch.setattr(planning, "free_bytes", lambda device: 20 << 20)
    monkeypatch.setattr(memory, "peak_bytes", measured.append)
    network.register_forward_pre_hook(lambda module, inputs: windows.append(inputs[0].shape[-2:]))
    assert np.abs(upscale(network, photo).astype(int) - whole).max() <= 1
    assert len(windows) > 1
    assert not measured  # what the network takes is known from the first time
