"""`interp` and `upscale --blend` on small networks: files, names, tables, sheets, curves, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox.apps.scoring import interpolation
from srtoolbox.cli import main
from srtoolbox.image import read_image, write_image
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.checkpoint import save_checkpoint, verify_checkpoint
from srtoolbox.weights.load import load_network

NETWORK = {"type": "ESPCN", "scale": 2, "kernels": [3, 3], "channels": [4], "colour": "rgb"}


def save(path: Path, seed: int, **changes: object) -> Path:
    torch.manual_seed(seed)
    network = {**NETWORK, **changes}
    state = {
        "iter": 5,
        "config": json.dumps({"model": {"generator": network}}),
        "networks": {"generator": NETWORKS.build(network).state_dict()},
    }
    save_checkpoint(path, state)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return str(save(tmp_path / "a.pth", 1)), str(save(tmp_path / "b.pth", 2))


def weight(path: str | Path) -> torch.Tensor:
    return load_network(path).conv1.weight


def test_one_alpha_is_one_checkpoint_of_ours(pair: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "c.pth"
    assert main(["interp", *pair, "--alpha", "0.8", "-o", str(out)]) == 0
    torch.testing.assert_close(weight(out), 0.2 * weight(pair[0]) + 0.8 * weight(pair[1]))
    assert verify_checkpoint(out) is None
    # and it can be interpolated again, with one that only holds the weights
    torch.save({"params": load_network(pair[1]).state_dict()}, tmp_path / "bare.pth")
    (tmp_path / "net.py").write_text(f"model = dict(generator={NETWORK!r})")
    more = ["--alpha", "0.5", "-o", str(tmp_path / "d.pth"), "--config", str(tmp_path / "net.py"), "--no-trial"]
    assert main(["interp", str(out), str(tmp_path / "bare.pth"), *more]) == 0
    torch.testing.assert_close(weight(tmp_path / "d.pth"), 0.1 * weight(pair[0]) + 0.9 * weight(pair[1]))


def test_several_alphas_are_files_named_by_them(pair: tuple[str, str], tmp_path: Path) -> None:
    assert main(["interp", *pair, "--alpha", "0.25", "0.5", "-o", str(tmp_path / "c.pth")]) == 0
    assert weight(tmp_path / "c_alpha0.25.pth").shape == weight(tmp_path / "c_alpha0.5.pth").shape
    assert not (tmp_path / "c.pth").exists()


def test_weights_of_three(pair: tuple[str, str], tmp_path: Path) -> None:
    third = str(save(tmp_path / "c.pth", 3))
    assert main(["interp", *pair, third, "--weights", "2", "1", "1", "-o", str(tmp_path / "d.pth")]) == 0
    expected = 0.5 * weight(pair[0]) + 0.25 * weight(pair[1]) + 0.25 * weight(third)
    torch.testing.assert_close(weight(tmp_path / "d.pth"), expected)


def test_alphas_are_scored_and_shown_in_their_order(pair: tuple[str, str], tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "x.png", photo[:61, :50])
    report = tmp_path / "report"
    more = ["--images", str(tmp_path / "x.png"), "--inputs", str(tmp_path / "x.png"), "--report", str(report)]
    (tmp_path / "deep").mkdir()
    more[3] = str(write_copy(tmp_path / "deep/y.png", photo))
    assert main(["interp", *pair, "--alpha", "1", "0", "0.5", *more]) == 0
    scores = json.loads((report / "scores.json").read_text())
    assert list(scores) == ["alpha 0", "alpha 0.5", "alpha 1"]
    assert set(scores["alpha 0"]["images"]) >= {"psnr_y", "ssim_y", "images"}
    assert sorted(path.name for path in report.iterdir()) == ["curve.png", "scores.json", "sheet_x.png", "sheet_y.png"]
    assert read_image(report / "curve.png").std() > 5


@pytest.mark.slow
def test_metrics_of_how_natural_it_looks_give_a_plane(pair: tuple[str, str], tmp_path: Path, photo: np.ndarray) -> None:
    metrics = "dict(psnr=dict(type='PSNR'), niqe=dict(type='NIQE'))"
    text = f"model = dict(generator={NETWORK!r})\ndata = dict(test=dict(metrics={metrics}))"
    (tmp_path / "scored.py").write_text(text)
    write_image(tmp_path / "x.png", np.ascontiguousarray(photo[:96, :192]))
    report = tmp_path / "report"
    more = ["--images", str(tmp_path / "x.png"), "--config", str(tmp_path / "scored.py"), "--report", str(report)]
    assert main(["interp", *pair, "--sweep", "0:1:0.5", *more]) == 0
    assert read_image(report / "plane.png").std() > 5


def test_images_of_one_name_have_a_sheet_each(pair: tuple[str, str], tmp_path: Path, photo: np.ndarray) -> None:
    paths = []
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        paths.append(str(write_copy(tmp_path / folder / "x.png", photo[number:])))
    report = tmp_path / "report"
    arguments = ["interp", *pair, "--alpha", "0.5", "--images", *paths, "--inputs", *paths, "--report", str(report)]
    assert main(arguments) == 0
    names = {f"sheet_{name}.png" for name in ("x", "x-2", "x-3", "x-4")}
    assert {path.name for path in report.iterdir()} == {"scores.json", *names}
    assert len({(report / name).read_bytes() for name in names}) == 4


def write_copy(path: Path, photo: np.ndarray) -> Path:
    write_image(path, photo[:20, :30])
    return path


def test_the_scores_are_those_of_test(tmp_path: Path, tiny_config: Path, pair: tuple[str, str]) -> None:
    """At alpha 0 with the sets of a config: what `test.py` says about A."""
    three = [str(save(tmp_path / f"{name}3.pth", seed, scale=3)) for seed, name in enumerate("ab")]
    config = ["--config", str(tiny_config), "--datasets", "photos", "--report", str(tmp_path / "r")]
    assert main(["interp", *three, "--alpha", "0", *config]) == 0
    assert main(["test", str(tiny_config), three[0], "--json", str(tmp_path / "t.json")]) == 0
    ours = json.loads((tmp_path / "r/scores.json").read_text())["alpha 0"]["photos"]
    tested = json.loads((tmp_path / "t.json").read_text())["a3"]["photos"]
    assert (ours["psnr"], ours["mae"]) == (tested["psnr"], tested["mae"])
    assert main(["interp", *pair, "--alpha", "0", *config]) == 2  # x2 networks, a x3 set


def test_upscale_interpolates_on_the_fly(pair: tuple[str, str], tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "x.png", photo[:9, :12])
    assert main(["interp", *pair, "--alpha", "0.3", "-o", str(tmp_path / "c.pth")]) == 0
    common = [str(tmp_path / "x.png"), "-o"]
    assert main(["upscale", str(tmp_path / "c.pth"), *common, str(tmp_path / "1")]) == 0
    assert main(["upscale", pair[0], *common, str(tmp_path / "2"), "--blend", pair[1], "--alpha", "0.3"]) == 0
    np.testing.assert_array_equal(*(read_image(tmp_path / folder / "x_sr.png") for folder in "12"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [5]}, "4 of another shape|3 of another shape"),
        ({"kernels": [3, 3, 3], "channels": [4, 4]}, r"2 unexpected \(conv3.\{weight,bias\}\)"),
        ({"activation": "relu"}, "activation='tanh' and 'relu'"),
    ],
)
def test_other_networks_are_refused(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture, changes: dict, message: str
) -> None:
    import re

    other = str(save(tmp_path / "other.pth", 4, **changes))
    assert main(["interp", pair[0], other, "--alpha", "0.5", "-o", str(tmp_path / "c.pth")]) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed) and len(printed) < 600
    assert not (tmp_path / "c.pth").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "1.2", "-o", "c.pth"], "alpha lies in [0, 1], got 1.2"),
        (["--alpha", "nan", "-o", "c.pth"], "alpha lies in [0, 1]"),
        (["--sweep", "0:1", "-o", "c.pth"], "FIRST:LAST:STEP"),
        (["--sweep", "0:1:0.0001", "-o", "c.pth"], "at most"),
        (["--weights", "1", "2", "3", "-o", "c.pth"], "2 checkpoints, 3 weights"),
        (["--weights", "1", "-1", "-o", "c.pth"], "0 or more"),
        (["--alpha", "0.5", "-o", "c.safetensors"], "ends in .pth"),
        (["--alpha", "0.5", "--images", "nowhere.png"], "no such image or folder"),
    ],
)
def test_what_cannot_be_is_said(
    pair: tuple[str, str], capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert main(["interp", *pair, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_input_is_not_overwritten(pair: tuple[str, str], capsys: pytest.CaptureFixture) -> None:
    before = Path(pair[0]).read_bytes()
    assert main(["interp", *pair, "--alpha", "0.5", "-o", pair[0]]) == 2
    assert "one of the checkpoints" in capsys.readouterr().err and Path(pair[0]).read_bytes() == before


def test_sweeps() -> None:
    assert interpolation.parse_sweep("0:1:0.1") == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert interpolation.parse_sweep("0.2:0.9:0.5") == [0.2, 0.7]
