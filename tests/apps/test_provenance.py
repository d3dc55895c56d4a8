"""Results say where they come from: what is written, what is left out, and that the bytes are the same anywhere."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import srtoolbox
from srtoolbox.apps.folder.pieces import options_of
from srtoolbox.apps.networks import Checkpoint
from srtoolbox.apps.provenance import step_of
from srtoolbox.apps.results import in_words, read_steps
from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_picture, write_image
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.files import sha256
from srtoolbox.io.tensor_files import load_tensors, save_tensors
from srtoolbox.models.networks.adapter import Adapter
from srtoolbox.registry import NETWORKS

QUIET = Console(file=io.StringIO())


@pytest.fixture
def image(tmp_path: Path, photo: np.ndarray) -> Path:
    write_image(tmp_path / "a.png", photo[:9, :11])
    return tmp_path / "a.png"


def upscaled(network: object, image: Path, out: Path, **more: object) -> Path:
    result = srtoolbox.upscale_folder(network, image, out, console=QUIET, device="cpu", **more)
    assert not result.failed
    return result.done[0].target


def test_weights_network_scale_version_and_options(espcn: str, image: Path, tmp_path: Path) -> None:
    weights = [{"name": Path(espcn).name, "sha256": sha256(espcn)}]
    step = {"software": f"srtoolbox {srtoolbox.__version__}", "network": "ESPCN", "weights": weights, "scale": 3}
    assert read_steps(upscaled(espcn, image, tmp_path / "out")) == [step]
    more = {"outscale": 2.5, "ensemble": True, "keep_colour": True, "tile": 64, "batch": 2, "dtype": "bf16"}
    jpeg = upscaled(espcn, image, tmp_path / "out", ext="jpg", quality=80, transparency="bicubic", **more)
    options = {"transparency": "bicubic", "quality": 80, "ensemble": True, "dtype": "bf16", "outscale": 2.5}
    assert read_steps(jpeg) == [step | {"options": options | {"keep_colour": True}}]
    (alone,) = read_steps(upscaled(espcn, image, tmp_path / "out", ext="same", quality=80))
    assert alone == step  # PNG has no quality
    assert [each["scale"] for each in read_steps(upscaled(espcn, jpeg, tmp_path / "again"))] == [3, 3]
    both = Checkpoint(espcn, other=espcn, alpha=0.25, weights="raw", trial=False)
    blended = step_of(both, Upscaler(both.load()))
    assert [each["share"] for each in blended["weights"]] == [0.75, 0.25]
    assert blended["options"] == {"weights": "raw", "trial": False}


def test_a_network_in_memory_is_known_by_its_tensors(espcn: str, image: Path, tmp_path: Path) -> None:
    network = srtoolbox.load_network(espcn)
    step = step_of(network, Upscaler(network))
    (weights,) = step["weights"]
    assert weights["name"] == "in memory" and len(weights["sha256_of_tensors"]) == 64 and step["network"] == "ESPCN"
    adapted, other = Upscaler(Adapter(3, network, peak=255.0)), srtoolbox.load_network(espcn)
    assert step_of(adapted, adapted) == step == step_of(other, Upscaler(other))
    next(other.parameters()).data.add_(0.001)
    assert step_of(other, Upscaler(other))["weights"] != step["weights"]
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": 2})
    assert "weights" not in step_of(bicubic, Upscaler(bicubic))
    lines = in_words(read_steps(upscaled(network, image, tmp_path / "out")))
    assert "weights  in memory" in lines and f"SHA-256  {weights['sha256_of_tensors']} (of its tensors)" in lines


def test_the_same_input_gives_the_same_bytes_anywhere(espcn: str, image: Path, tmp_path: Path) -> None:
    other = tmp_path / "another machine"
    (other / "in").mkdir(parents=True)
    moved = [Path(shutil.copy(file, other / Path(file).name)) for file in (espcn, image)]
    for ext in ("png", "jpg", "webp", "tiff"):
        here = upscaled(espcn, image, tmp_path / "out", ext=ext).read_bytes()
        assert upscaled(str(moved[0]), moved[1], other / "out", ext=ext, workers=1).read_bytes() == here
        assert str(tmp_path).encode() not in here and b"ESPCN" in here


def test_it_can_be_left_out(espcn: str, image: Path, tmp_path: Path) -> None:
    signed = upscaled(espcn, image, tmp_path / "out")
    assert main(["upscale", espcn, str(signed), "-o", str(tmp_path / "plain.png"), "--no-provenance"]) == 0
    assert read_picture(tmp_path / "plain.png").metadata.provenance is None
    with pytest.raises(SrtoolboxError, match=r"plain\.png: does not say where it comes from: .*--no-provenance"):
        read_steps(tmp_path / "plain.png")
    with pytest.raises(SrtoolboxError, match="pieces"):
        srtoolbox.upscale_folder(espcn, image, tmp_path / "p", shard=(1, 2), console=QUIET)
        srtoolbox.upscale_folder(espcn, image, tmp_path / "p", shard=(2, 2), provenance=False, console=QUIET)
    assert "provenance" not in options_of(espcn, "network", {})


def test_bmp_has_no_place_and_says_so_once(espcn: str, image: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copy(image, image.with_name("b.png"))
    folder, out = str(image.parent), str(image.parent / "out")
    assert main(["upscale", espcn, folder, "-o", out, "--ext", "bmp"]) == 0
    assert capsys.readouterr().out.count("BMP has no place for where a result comes from") == 1
    assert main(["upscale", espcn, folder, "-o", out, "--ext", "bmp", "--no-provenance"]) == 0
    assert "BMP" not in capsys.readouterr().out


def test_model_info_reads_it(espcn: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = upscaled(espcn, image, tmp_path / "out")
    second = upscaled(espcn, first, tmp_path / "again", wrap="x", keep_colour=True)
    capsys.readouterr()
    assert main(["model_info", str(second), "--json", str(tmp_path / "steps.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(second) and lines[1] == "step 1 of 2" and lines[2].startswith("made by  srtoolbox ")
    assert "network  ESPCN" in lines and f"SHA-256  {sha256(espcn)}" in lines
    assert lines[-1] == "options  wrap x, keep_colour"
    assert json.loads((tmp_path / "steps.json").read_text())["steps"] == read_steps(second)
    assert main(["model_info", str(image)]) == 2
    with pytest.raises(SystemExit):
        main(["model_info", str(second), "model.generator.scale=2"])
    assert "does not say where it comes from" in capsys.readouterr().err


def test_what_a_file_says_cannot_steer_a_terminal() -> None:
    steps = [{"software": "\x1b[2J\u202e", "weights": [7, {"name": "a\nb"}], "options": [1], "network": {}}]
    assert all(line.isprintable() for line in in_words(steps)) and "weights  a\ufffdb" in in_words(steps)


def test_another_checkpoint_is_another_digest(espcn: str, image: Path, tmp_path: Path) -> None:
    state = load_tensors(espcn)
    for value in state["networks"]["generator"].values():
        value += 0.001
    save_tensors(tmp_path / Path(espcn).name, state)
    steps = [read_steps(upscaled(path, image, tmp_path / "out"))[0] for path in (espcn, tmp_path / Path(espcn).name)]
    assert steps[0]["weights"][0]["name"] == steps[1]["weights"][0]["name"]
    assert steps[0]["weights"][0]["sha256"] != steps[1]["weights"][0]["sha256"]
