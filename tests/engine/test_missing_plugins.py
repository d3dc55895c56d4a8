"""A checkpoint whose network a plugin registers, opened without it: the message says what to type."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

from srtoolbox import plugins
from srtoolbox.cli import main
from srtoolbox.errors import CheckpointError
from srtoolbox.image import write_image
from srtoolbox.io.tensor_files import save_safetensors, save_tensors
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.load import load_network

PLUGIN = """
from torch import nn
from srtoolbox.registry import NETWORKS

@NETWORKS.register
class Mine(nn.Module):
    size_multiple, receptive_field, colour, in_channels = 1, 1, "rgb", 3
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale, self.mine = scale, nn.Conv2d(3, 3 * scale**2, 3, padding=1)
    def forward(self, lq):
        return nn.functional.pixel_shuffle(self.mine(lq), self.scale)
"""
MINE = {"type": "Mine", "scale": 2}


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch):
    """Leave no network of these tests behind."""
    monkeypatch.setattr(plugins, "_loaded", plugins._loaded.copy())
    yield
    NETWORKS._entries.pop("Mine", None)
    for name in [name for name in sys.modules if name.startswith("srtoolbox_plugin_mine")]:
        del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "my nets").mkdir()
    (tmp_path / "my nets/mine.py").write_text(PLUGIN)
    return tmp_path / "my nets/mine.py"


def checkpoint(path: Path, custom_imports: object) -> Path:
    tensors = {"mine.weight": torch.zeros(12, 3, 3, 3), "mine.bias": torch.zeros(12)}
    config = {"custom_imports": custom_imports, "model": {"generator": MINE}}
    save_tensors(path, {"config": json.dumps(config), "networks": {"generator": tensors}})
    save_safetensors(path.with_suffix(".safetensors"), tensors, {"network": json.dumps(MINE)})
    return path


def test_every_command_names_the_option_and_the_file_and_then_works(
    plugin: Path, tmp_path: Path, photo, capsys: pytest.CaptureFixture
) -> None:
    file = checkpoint(tmp_path / "mine.pth", [str(plugin)])
    write_image(tmp_path / "a.png", photo[:16, :16])
    generator = "model = dict(type='Restorer', generator=dict(type='Bicubic', scale=2))"
    sets = f"data = dict(test=dict(datasets=dict(a=dict(type='FolderDataset', lq={str(tmp_path)!r}))))"
    (tmp_path / "test.py").write_text(f"{generator}\n{sets}\n")
    out = ["-o", str(tmp_path / "out.pth")]
    commands = [
        ["upscale", str(file), str(tmp_path / "a.png"), "-o", str(tmp_path / "out")],
        ["test", str(tmp_path / "test.py"), str(file)],
        ["interp", str(file), str(file), "--alpha", "0.5", *out],
        ["convert_checkpoint", str(file), *out],
        ["export", str(file), "--torch-export", str(tmp_path / "out.pt2")],
        ["model_info", str(file), "--runs", "1"],
        ["visualize", "filters", str(file), "-o", str(tmp_path / "f.png")],
    ]
    option = ["--plugin", str(plugin)]
    for command in commands:
        assert main(command) == 2
        told = capsys.readouterr().err
        assert (
            f"mine.pth: no network 'Mine' is known here, a plugin has to register it. Add {shlex.join(option)}" in told
        )
    for command in [commands[0], commands[3]]:
        assert main([*command, *option]) == 0


@pytest.mark.parametrize(
    ("custom_imports", "told"),
    [
        (None, r"Add --plugin FILE \(in Python"),
        (["/elsewhere/mine.py"], r"Add --plugin FILE .*its run had /elsewhere/mine.py, which is not there"),
        (["my_package.nets"], r"Its run imported my_package.nets: name a config .*--config"),
        ({"hostile": 1}, "Add --plugin FILE"),
    ],
)
def test_what_the_run_had_is_told(custom_imports: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"no network 'Mine' is known here.*{told}"):
        load_network(checkpoint(tmp_path / "mine.pth", custom_imports))


def test_nothing_is_imported_from_a_checkpoint(plugin: Path, tmp_path: Path) -> None:
    plugin.write_text("raise SystemExit('run')")
    with pytest.raises(CheckpointError, match="a plugin has to register it"):
        load_network(checkpoint(tmp_path / "mine.pth", [str(plugin)]))


def test_a_header_that_names_such_a_network_is_told(tmp_path: Path) -> None:
    checkpoint(tmp_path / "mine.pth", None)
    with pytest.raises(CheckpointError, match=r"mine.safetensors: no network 'Mine' is known here.*--plugin FILE"):
        load_network(tmp_path / "mine.safetensors")


def test_a_config_on_the_command_line_brings_its_plugins(plugin: Path, tmp_path: Path, photo) -> None:
    file = checkpoint(tmp_path / "mine.pth", None)
    (tmp_path / "net.py").write_text(f"custom_imports = [{str(plugin)!r}]\nmodel = dict(generator={MINE!r})\n")
    write_image(tmp_path / "a.png", photo[:16, :16])
    command = ["upscale", str(file), str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]
    assert main([*command, "--config", str(tmp_path / "net.py")]) == 0
