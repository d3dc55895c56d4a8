"""An exported file is scored, and upscales images and videos, as the network it was made of."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import srtoolbox
from srtoolbox import Upscaler, load_network, read_image, upscale_folder, write_image
from srtoolbox.apps import networks
from srtoolbox.apps.export import export_files, export_onnx
from srtoolbox.apps.networks import make_upscaler
from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.tensor_files import load_tensors, save_tensors
from tests.conftest import TINY

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """A config, a checkpoint of it, and the file exported of that, as images lie in memory."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "tiny.py").write_text(TINY.format(folder=str(photo_folder)))
    assert main(["train", str(folder / "tiny.py"), "--work-dir", str(folder / "run")]) == 0
    save_tensors(folder / "tiny.pth", load_tensors(folder / "run/checkpoints/iter_000020.pth"))
    export_onnx(
        load_network(folder / "tiny.pth"),
        folder / "tiny.onnx",
        image=read_image(next(photo_folder.iterdir())),
        layout="nhwc",
    )
    return folder


def test_the_file_itself_is_scored(folder: Path, tmp_path: Path) -> None:
    """The names must differ: the table has one row for each."""
    (tmp_path / "file.onnx").write_bytes((folder / "tiny.onnx").read_bytes())
    files = [folder / "tiny.pth", tmp_path / "file.onnx"]
    results = srtoolbox.test(folder / "tiny.py", files, report=tmp_path / "page", console=QUIET)
    own, other = (results.means[name]["photos"] for name in ("tiny", "file"))
    assert abs(own["psnr"] - other["psnr"]) < 1e-3 and abs(own["mae"] - other["mae"]) < 1e-3
    page = (tmp_path / "page/index.html").read_text()
    count = sum(each.numel() for each in load_network(folder / "tiny.pth").parameters())
    assert "file.onnx" in page and f"{count:,}" in page
    srtoolbox.test(folder / "tiny.py", tmp_path / "file.onnx", report=tmp_path / "alone", console=QUIET)
    page = (tmp_path / "alone/index.html").read_text()
    assert "Bicubic" in page and not re.search(">[^<]*OnnxNetwork x", page) and ">file<" in page


def test_images_are_upscaled_alike(folder: Path, tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "in/a.png", photo[:71, :93])
    expected = Upscaler(load_network(folder / "tiny.pth"))(photo[:71, :93]).astype(int)
    for tile in ("auto", "32"):
        out = tmp_path / f"out{tile}"
        assert main(["upscale", str(folder / "tiny.onnx"), str(tmp_path / "in"), "-o", str(out), "--tile", tile]) == 0
        assert np.abs(read_image(out / "a_sr.png") - expected).max() <= 1
    upscaler = make_upscaler(folder / "tiny.onnx", None, {"tile": 32, "ensemble": True})
    result = upscale_folder(upscaler, tmp_path / "in", tmp_path / "ensemble", console=QUIET)
    assert len(result.done) == 1 and not result.failed


def test_a_video_too(folder: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra 'video'")
    from tests.apps.clips import make_clip

    make_clip(tmp_path / "clip.mp4", number=3)
    assert main(["upscale_video", str(folder / "tiny.onnx"), str(tmp_path / "clip.mp4"), "--preset", "ultrafast"]) == 0
    with av.open(str(tmp_path / "clip_sr.mp4")) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (192, 144)


def test_an_exported_file_is_not_exported_again(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SrtoolboxError, match="an ONNX file is exported already"):
        list(export_files(folder / "tiny.onnx", torch_export=tmp_path / "m.pt2"))


@pytest.mark.parametrize(
    "command",
    [["upscale", "FILE", "x.png", "--device", "directml"], ["test", "CONFIG", "FILE", "--device", "directml"]],
)
def test_a_device_that_only_this_runtime_has(command: list[str], folder: Path, capsys: pytest.CaptureFixture) -> None:
    names = {"FILE": str(folder / "tiny.onnx"), "CONFIG": str(folder / "tiny.py")}
    write_image(folder / "x.png", np.zeros((8, 8, 3), np.uint8))
    argv = [names.get(word, word).replace("x.png", str(folder / "x.png")) for word in command]
    assert main(argv) != 0
    streams = capsys.readouterr()
    assert "device 'directml': this onnxruntime has no DmlExecutionProvider; install" in streams.out + streams.err


def test_the_device_of_the_config_is_that_of_files_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []
    load = networks.load_network

    def load_recorded(*args, device, **options):
        devices.append(device)
        return load(*args, device="cpu", **options)

    monkeypatch.setattr(networks, "load_network", load_recorded)
    for device in ("cpu", "auto"):
        overrides = [f"runtime.device={device}"]
        srtoolbox.test(folder / "tiny.py", folder / "tiny.onnx", overrides=overrides, console=QUIET)
    assert devices == ["cpu", "auto"]
