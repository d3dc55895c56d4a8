"""Exported files give what the network gives, at sizes they were not traced at, and need no srtoolbox."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from srtoolbox.apps import export
from srtoolbox.apps.export import METADATA, export_onnx, export_torch
from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, rgb_to_y, to_tensor, write_image
from srtoolbox.inference.restore import restore, upscale_whole
from srtoolbox.interfaces import network_kind
from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize, upsampling_kernel

DOCS = Path(__file__).parents[2] / "docs/export.md"
SMALL = {"num_features": 16, "num_blocks": 2, "growth_channels": 4}


def build(name: str, scale: int) -> nn.Module:
    """A small network whose output is far from bicubic and from zero."""
    arguments = inspect.signature(NETWORKS.get(name)).parameters
    torch.manual_seed(0)
    network = NETWORKS.build(
        {"type": name, "scale": scale, **{key: value for key, value in SMALL.items() if key in arguments}}
    )
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.xavier_normal_(parameter)
    return network.eval()


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_the_bicubic_kernel_is_imresize(factor: int) -> None:
    x = torch.rand(2, 3, 7, 11)
    result = export._as_convolution(x, 7, 11, 7 * factor, 11 * factor)
    assert torch.allclose(result, imresize(x, size=(7 * factor, 11 * factor)), atol=1e-6)
    assert len(upsampling_kernel(factor)) == 5 * factor


@pytest.mark.timeout(600)
def test_onnx_and_the_script_of_the_docs(tmp_path: Path, photo: np.ndarray, capsys) -> None:
    """ESPCN x3: luma, so colour conversion and bicubic chroma are in the file."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    network = build("ESPCN", 3)
    config = {"model": {"generator": {"type": "ESPCN", "scale": 3}}}
    state = {"networks": {"generator": network.state_dict()}, "config": json.dumps(config)}
    save_tensors(tmp_path / "c.pth", state)
    assert main(["export", str(tmp_path / "c.pth"), "--onnx", str(tmp_path / "m.onnx")]) == 0
    out = capsys.readouterr().out
    assert float(re.search(r"PSNR ([\d.]+) dB", out)[1]) > 100 and "ESPCN x3, fp32" in out
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for size in ((1, 40, 57), (2, 9, 23)):
        batch = torch.rand(size[0], 3, *size[1:])
        (result,) = session.run(None, {"input": batch.numpy()})
        assert np.abs(result - restore(network, batch).rgb.detach().numpy()).max() < 1e-5
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["scale"], facts["channels"], facts["colour"], facts["network"]) == ("3", "3", "rgb", "ESPCN")
    assert facts["producer"].startswith("srtoolbox ")
    write_image(tmp_path / "p.png", photo[:70, :90])
    (tmp_path / "script.py").write_text(re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)[1])
    command = [sys.executable, "script.py", "m.onnx", "p.png", "r.png"]
    subprocess.run(command, cwd=tmp_path, check=True)
    difference = read_image(tmp_path / "r.png").astype(int) - upscale_whole(network, photo[:70, :90])
    assert np.abs(difference).max() <= 1


@pytest.mark.timeout(600)
def test_torch_export_needs_no_srtoolbox(tmp_path: Path, photo: np.ndarray) -> None:
    network = build("ESPCN", 2)
    parity = export_torch(network, tmp_path / "m.pt2", bare=True, image=photo)
    assert parity.psnr > 100 and parity.largest < 1e-5
    batch = rgb_to_y(to_tensor(photo[:31, :45]))
    np.save(tmp_path / "batch.npy", batch.numpy())
    script = (
        "import sys, json, numpy, torch\n"
        f"files = {{{METADATA!r}: ''}}\n"
        "program = torch.export.load('m.pt2', extra_files=files)\n"
        "result = program.module()(torch.from_numpy(numpy.load('batch.npy')))\n"
        "numpy.save('result.npy', result.detach().numpy())\n"
        f"assert json.loads(files[{METADATA!r}])['channels'] == '1'\n"
        "assert not any(name.startswith('srtoolbox') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert np.abs(np.load(tmp_path / "result.npy") - network(batch).detach().numpy()).max() < 1e-5


class Undecided(nn.Module):
    """Asks for values: no exporter can take that."""

    scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, 0

    def forward(self, lq):
        lq = lq * 2 if lq.mean() > 0.5 else lq
        return imresize(lq, 2.0)


@pytest.mark.parametrize("function", [export_onnx, export_torch])
def test_what_cannot_be_exported_is_one_error(tmp_path: Path, photo: np.ndarray, function) -> None:
    if function is export_onnx:
        pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    with pytest.raises(SrtoolboxError, match=r"Undecided: cannot be exported .* must not depend on the values"):
        function(Undecided(), tmp_path / "m.x", image=photo)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_is_not_written(tmp_path: Path, photo: np.ndarray, monkeypatch) -> None:
    monkeypatch.setattr(
        export, "_reference", lambda form, batch: torch.zeros(len(batch), 3, *(2 * s for s in batch.shape[2:]))
    )
    with pytest.raises(SrtoolboxError, match=r"m\.pt2: not written: its result differs .*PSNR"):
        export_torch(build("Bicubic", 2), tmp_path / "m.pt2", image=photo)
    assert list(tmp_path.iterdir()) == []


def test_an_image_too_small_to_compare_on(tmp_path: Path, photo: np.ndarray) -> None:
    with pytest.raises(SrtoolboxError, match=r"^the image to compare on is 40x20; it needs 33 px each way"):
        export_torch(build("Bicubic", 2), tmp_path / "m.pt2", image=photo[:20, :40])


def test_missing_package(tmp_path: Path, photo: np.ndarray, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SrtoolboxError, match=r"onnxscript: pip install 'srtoolbox\[onnx\]'"):
        export_onnx(build("Bicubic", 2), tmp_path / "m.onnx", image=photo)


@pytest.mark.parametrize(
    ("argv", "message"), [(["c.pth"], "say what to write"), (["c.pth", "--onnx", "m.pt2"], "the suffix is .onnx")]
)
def test_wrong_arguments(argv, message, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["export", *argv])
    assert message in capsys.readouterr().err


GENERATORS = [name for name in NETWORKS if network_kind(NETWORKS.get(name)) == "generator"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("name", GENERATORS)
def test_every_network(name: str, kind: str, tmp_path: Path, photo: np.ndarray) -> None:
    """`export_*` itself compares on three sizes, none the traced one; here on two more, through another door."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    for scale in (2, 3):
        network = build(name, scale)
        for half in (False, True):
            path = tmp_path / f"m.{kind}"
            parity = (export_onnx if kind == "onnx" else export_torch)(network, path, half=half, image=photo)
            assert parity.psnr > (45 if half else 100)
            for size in ((1, 17, 31), (2, 50, 20)):
                batch = to_tensor(photo[: size[1], : size[2]]).repeat(size[0], 1, 1, 1)
                if kind == "onnx":
                    session = onnxruntime.InferenceSession(str(path))
                    (result,) = session.run(None, {"input": batch.numpy()})
                else:
                    result = torch.export.load(path).module()(batch).detach().numpy()
                expected = restore(network, batch).rgb.detach().numpy()
                assert result.shape == expected.shape
                assert np.abs(result - expected).max() < (0.05 if half else 1e-4)
