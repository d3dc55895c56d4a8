"""Exported files give what the network gives, at sizes they were not traced at, and need no srtoolbox."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from srtoolbox.apps.export import METADATA, export_onnx, export_torch, form, parity, writer
from srtoolbox.cli import main
from srtoolbox.errors import OptionError, SrtoolboxError
from srtoolbox.image import read_image, rgb_to_y, to_tensor, write_image
from srtoolbox.inference.restore import restore, upscale_whole
from srtoolbox.interfaces import facts_of
from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize, upsampling_kernel
from tests.models.networks.small import GENERATORS, small_config

DOCS = Path(__file__).parents[2] / "docs/export.md"


def build(name: str, scale: int) -> nn.Module:
    """A small network whose output is far from bicubic and from zero."""
    torch.manual_seed(0)
    network = NETWORKS.build(small_config(name, scale))
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.xavier_normal_(parameter)
    return network.eval()


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_the_bicubic_kernel_is_imresize(factor: int) -> None:
    x = torch.rand(2, 3, 7, 11)
    result = form._as_convolution(x, 7, 11, 7 * factor, 11 * factor)
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
@pytest.mark.slow
def test_torch_export_needs_no_srtoolbox(tmp_path: Path, photo: np.ndarray) -> None:
    network = build("ESPCN", 2)
    difference = export_torch(network, tmp_path / "m.pt2", bare=True, image=photo)
    assert difference.psnr > 100 and difference.largest < 1e-5
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


FORMS = [
    ("ESPCN", {"io": "uint8", "layout": "nhwc", "opset": 17}, "uint8", ["batch", "height", "width", 3]),
    pytest.param(
        "ESPCN", {"io": "fp16", "half": True, "static": (40, 70)}, "float16", [1, 3, 40, 70], marks=pytest.mark.slow
    ),
    pytest.param(
        *("RRDBNet", {"io": "uint8", "half": True, "opset": 18}, "uint8", ["batch", 3, "height", "width"]),
        marks=pytest.mark.slow,
    ),
    pytest.param(
        *("RRDBNet", {"io": "fp16", "static": (41, 36), "opset": 13}, "float16", [1, 3, 41, 36]), marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "options", "numbers", "shape"), FORMS)
def test_forms_that_engines_ask_for(name: str, options, numbers, shape, tmp_path: Path, photo: np.ndarray) -> None:
    """Each is compared by `export_onnx` itself; here what the file declares, and one image through its door."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    onnx = pytest.importorskip("onnx")
    network = build(name, 2)
    difference = export_onnx(network, tmp_path / "m.onnx", image=photo, **options)
    assert difference.psnr > (50 if options.get("half") else 60)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    (given,) = session.get_inputs()
    assert (given.type, given.shape) == (f"tensor({numbers})", shape)
    (entry,) = (entry for entry in onnx.load(tmp_path / "m.onnx").opset_import if entry.domain == "")
    assert entry.version == options.get("opset", entry.version)
    image = photo[: 40 if "batch" in shape else shape[2], : 52 if "batch" in shape else shape[3]]
    batch = image[None] if options.get("layout") == "nhwc" else image.transpose(2, 0, 1)[None]
    batch = batch if numbers == "uint8" else (batch / 255).astype(numbers)
    (result,) = session.run(None, {"input": batch})
    result = result.astype(np.float32) / (255 if numbers == "uint8" else 1)
    result = result[0] if options.get("layout") == "nhwc" else result[0].transpose(1, 2, 0)
    assert np.abs(result.clip(0, 1) - upscale_whole(network, image) / 255.0).max() < 2.5 / 255


def test_the_facts_in_a_file(tmp_path: Path, photo: np.ndarray) -> None:
    network = build("RRDBNet", 2)
    export_torch(network, tmp_path / "m.pt2", image=photo, static=(34, 40), half=True)
    files = {METADATA: ""}
    torch.export.load(tmp_path / "m.pt2", extra_files=files)
    facts = json.loads(files[METADATA])
    own = facts_of(network)
    assert (facts["size_multiple"], facts["receptive_field"]) == ("2", str(own.receptive_field))
    assert (facts["scale"], facts["colour"], facts["network"]) == ("2", "rgb", "RRDBNet")
    assert facts["producer"] == f"srtoolbox {facts['version']}" and facts["precision"] == "fp16"
    assert (facts["io"], facts["layout"]) == ("fp32", "nchw")


def test_what_pads_itself_needs_more_than_a_window() -> None:
    """An exporter wants to know whether a padding is nothing: files are for images that are larger."""
    network = build("SwinIR", 2)
    tried = form.ExportForm(network)
    assert (tried.smallest, tried.facts()["smallest_side"], tried.facts()["size_multiple"]) == (9, "9", "1")
    with pytest.raises(OptionError, match="sides of at least 9"):
        form.ExportForm(network, static=(8, 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"io": "int8"}, "io is one of fp32, fp16, uint8"),
        ({"layout": "hwc"}, "layout is one of nchw, nhwc"),
        ({"static": (2, 40)}, "static: this network takes sides of at least 3"),
    ],
)
def test_forms_that_cannot_be(options, message, tmp_path: Path, photo: np.ndarray) -> None:
    with pytest.raises(OptionError, match=message):
        export_torch(build("RRDBNet", 2), tmp_path / "m.pt2", image=photo, **options)


def test_an_opset_that_cannot_be(tmp_path: Path, photo: np.ndarray) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    with pytest.raises(SrtoolboxError, match=r"Bicubic: .* to ONNX of opset 7: its operators are not all of that"):
        export_onnx(build("Bicubic", 2), tmp_path / "m.onnx", image=photo, opset=7, static=(34, 34))
    assert list(tmp_path.iterdir()) == []


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
        parity, "reference", lambda form, batch: torch.zeros(len(batch), 3, *(2 * s for s in batch.shape[2:]))
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
    ("argv", "message"),
    [
        (["c.pth"], "say what to write"),
        (["c.pth", "--onnx", "m.pt2"], "the suffix is .onnx"),
        (["c.pth", "--onnx", "m.onnx", "--static", "960"], "height x width is wanted"),
        (["c.pth", "--torch-export", "m.pt2", "--opset", "17"], "--opset is for ONNX"),
    ],
)
def test_wrong_arguments(argv, message, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["export", *argv])
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("scale", "half"), [(2, False), (3, True)])
@pytest.mark.parametrize("name", GENERATORS)
def test_every_network(name: str, scale: int, half: bool, tmp_path: Path, photo: np.ndarray, monkeypatch) -> None:
    """`export_*` itself compares on three sizes, none the traced one; here on two more, through another door."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    monkeypatch.setattr(writer, "traced", traced_once(writer.traced))
    network, onnx, program = build(name, scale), tmp_path / "m.onnx", tmp_path / "m.pt2"
    for function, path in ((export_torch, program), (export_onnx, onnx)):
        assert function(network, path, half=half, image=photo).psnr > (45 if half else 100)
    session, module = onnxruntime.InferenceSession(str(onnx)), torch.export.load(program).module()
    for count, height, width in ((1, 17, 31), (2, 50, 20)):
        batch = to_tensor(photo[:height, :width]).repeat(count, 1, 1, 1)
        expected = restore(network, batch).rgb.detach().numpy()
        (by_onnx,) = session.run(None, {"input": batch.numpy()})
        for result in (by_onnx, module(batch).detach().numpy()):
            assert result.shape == expected.shape
            assert np.abs(result - expected).max() < (0.05 if half else 1e-4)


def traced_once(trace: Callable[[form.ExportForm], torch.export.ExportedProgram]) -> Callable:
    """Return the program of the first form for all: tracing takes longer than writing."""
    programs: list[torch.export.ExportedProgram] = []

    def traced(like: form.ExportForm) -> torch.export.ExportedProgram:
        if not programs:
            programs.append(trace(like))
        return programs[0]

    return traced
