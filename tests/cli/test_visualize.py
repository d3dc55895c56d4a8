"""`visualize` as it is typed, on a real training: what its files show, and what it says when it cannot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srtoolbox.cli import main
from srtoolbox.cli.visualize import parts
from srtoolbox.image import read_image, write_image
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.inference.upscaler import upscale
from srtoolbox.plots.grid import GAP
from srtoolbox.resize import imresize
from srtoolbox.weights.load import load_network
from tests.conftest import TINY
from tests.engine.runs import run

HOOKS = """
hooks['patches'] = dict(type='PatchesHook', interval=4, patches=[dict(picture={picture!r}, box=[9, 15, 24, 18])])
hooks['maps'] = dict(type='FeatureMapsHook', picture={picture!r}, layers=['conv1', 'conv2'], channels=3, interval=10)
hooks['ema'] = None
"""


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """A finished run of 20 iterations with snapshots; nothing may be changed there."""
    folder = tmp_path_factory.mktemp("trained")
    text = TINY.format(folder=str(photo_folder)) + HOOKS.format(picture=str(photo_folder / "cat1.png"))
    (folder / "tiny.py").write_text(text.replace("hooks['ema'] = None", "hooks.pop('ema')"))
    run(folder / "tiny.py", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def checkpoint(work_dir: Path) -> Path:
    return work_dir / "checkpoints/iter_000020.pth"


@pytest.fixture
def cat(photo_folder: Path) -> Path:
    return photo_folder / "cat1.png"


def visualize(*words: object) -> None:
    assert main(["visualize", *map(str, words)]) == 0


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(np.array(image.convert("RGB")))
    return found


def find(sheet: np.ndarray, image: np.ndarray) -> list[tuple[int, int]]:
    """Where an image stands in a sheet, exactly, by (row, column)."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (*image.shape[:2], 1))[..., 0].transpose(0, 1, 3, 4, 2)
    top = (sheet[: windows.shape[0], : windows.shape[1]] == image[0, 0]).all(axis=2)
    return [(int(y), int(x)) for y, x in zip(*np.nonzero(top), strict=True) if (windows[y, x] == image).all()]


def test_training_shows_every_snapshot_beside_input_bicubic_and_truth(work_dir: Path, tmp_path: Path) -> None:
    visualize("training", work_dir, "-o", tmp_path / "a.gif", "--width", 24)
    found = frames_of(tmp_path / "a.gif")
    assert len(found) == 6  # 0, 4, ..., 20
    visualize("training", work_dir, "-o", tmp_path / "a.png", "--width", 24)
    sheet = read_image(tmp_path / "a.png")
    folder = work_dir / "snapshots/patches/cat1"
    for name, times in (("truth", 6), ("bicubic", 6), ("iter_000000", 1), ("iter_000012", 1), ("iter_000020", 1)):
        assert len(find(sheet, read_image(folder / f"{name}.png"))) == times, name
    columns = [
        place[1]
        for name in ("bicubic", "iter_000000", "truth")
        for place in find(sheet, read_image(folder / f"{name}.png"))[:1]
    ]
    assert columns == [2 * GAP + 24 + GAP, 2 * GAP + 2 * (24 + GAP), 2 * GAP + 3 * (24 + GAP)]


def test_frames_can_be_fewer_and_slower(work_dir: Path, tmp_path: Path) -> None:
    visualize("training", work_dir, "-o", tmp_path / "a.gif", "--frames", 3, "--seconds", 0.5)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3 and image.info["duration"] == 500


@pytest.mark.parametrize("width", [24, 60, 75, 80])
def test_narrow_columns_give_frames_of_one_size(work_dir: Path, tmp_path: Path, width: int) -> None:
    snapshots = tmp_path / "run/snapshots/patches/cat1"
    shutil.copytree(work_dir / "snapshots/patches/cat1", snapshots)
    shutil.copy(snapshots / "iter_000020.png", snapshots / "iter_10000000.png")  # one more word in the title
    write_image(snapshots / "iter_000000.png", 255 - read_image(snapshots / "truth.png"))  # PSNR below 10
    visualize("training", tmp_path / "run", "-o", tmp_path / "a.gif", "--width", width)
    assert len(frames_of(tmp_path / "a.gif")) == 7


def test_training_as_a_video(work_dir: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra `video` is not installed")
    visualize("training", work_dir, "-o", tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6 + 10  # the last is held for two seconds


def test_feature_maps_of_a_checkpoint(checkpoint: Path, cat: Path, tmp_path: Path) -> None:
    visualize("features", checkpoint, cat, "--layer", "conv1", "-o", tmp_path / "a.png", "--width", 72)
    sheet = read_image(tmp_path / "a.png")
    image = read_image(cat)
    assert len(find(sheet, image)) == 1
    network = load_network(checkpoint)
    seen = []
    network.conv1.register_forward_hook(lambda module, inputs, output: seen.append(output[0].clone().numpy()))
    upscale_whole(network, image)
    for channel in seen[0]:
        low, high = np.percentile(channel, [1, 99])
        levels = np.round(np.clip((channel - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        assert len(find(sheet, levels[..., None].repeat(3, axis=2))) == 1


def test_feature_maps_over_the_training_from_both_sources(work_dir: Path, cat: Path, tmp_path: Path) -> None:
    visualize("features", work_dir, "--layer", "conv2", "-o", tmp_path / "a.gif")
    assert len(frames_of(tmp_path / "a.gif")) == 3  # 0, 10, 20
    visualize("features", work_dir, cat, "--layer", "conv2", "--channels", 1, "-o", tmp_path / "b.gif")
    assert len(frames_of(tmp_path / "b.gif")) == 4  # 5, 10, 15, 20
    visualize("features", work_dir, "--layer", "conv1", "--channels", 5, "-o", tmp_path / "c.gif")


def test_filters_are_drawn_around_gray(checkpoint: Path, tmp_path: Path) -> None:
    visualize("filters", checkpoint, "-o", tmp_path / "a.png", "--width", 3)
    sheet = read_image(tmp_path / "a.png")
    for weights in load_network(checkpoint).conv1.weight[:, 0].numpy():
        levels = np.round(127.5 + weights / np.abs(weights).max() * 127.5).astype(np.uint8)
        assert find(sheet, levels[..., None].repeat(3, axis=2))


def test_a_scan_begins_with_bicubic_and_ends_with_the_result(checkpoint: Path, cat: Path, tmp_path: Path) -> None:
    visualize("scan", checkpoint, cat, "--tile", 24, "--width", 216, "-o", tmp_path / "a.gif")
    found = frames_of(tmp_path / "a.gif")
    assert len(found) == 1 + 3 * 3  # 60 x 72 pixels
    visualize("scan", checkpoint, cat, "--tile", 24, "--width", 216, "-o", tmp_path / "a.png")
    sheet, image = read_image(tmp_path / "a.png"), read_image(cat)
    result = upscale(load_network(checkpoint), image)
    assert len(find(sheet, imresize(image, 3))) == 1
    assert len(find(sheet, result)) == 1
    half = result[: result.shape[0] // 3 - 9, : result.shape[1] // 3 - 9]  # the first tile but for its outline
    assert len(find(sheet, half)) >= 8


def test_a_comparison_is_a_row_per_crop_and_a_column_per_network(
    checkpoint: Path, work_dir: Path, cat: Path, tmp_path: Path
) -> None:
    first = work_dir / "checkpoints/iter_000005.pth"
    options = ("--truth", "--crop", "9,15,24,18", "--crop", "30,30,24,24", "--width", 24)
    visualize("compare", cat, "--checkpoints", first, checkpoint, *options, "-o", tmp_path / "a.png")
    sheet, truth = read_image(tmp_path / "a.png"), read_image(cat)
    lq = imresize(truth, 1 / 3)
    versions = [imresize(lq, 3), *(upscale(load_network(path), lq) for path in (first, checkpoint)), truth]
    for number, version in enumerate(versions, start=1):
        assert [x for _, x in find(sheet, version[15:33, 9:33])] == [GAP + number * (24 + GAP)]
        assert [x for _, x in find(sheet, version[30:54, 30:54])] == [GAP + number * (24 + GAP)]
    visualize("compare", cat, "--checkpoints", checkpoint, "--names", "mine", "--width", 216, "-o", tmp_path / "b.png")
    assert len(find(read_image(tmp_path / "b.png"), upscale(load_network(checkpoint), truth))) == 1


def test_bars_and_curves(work_dir: Path, tmp_path: Path) -> None:
    scores = {"Bicubic": {"set5": {"psnr": 30.4, "seconds": 1, "images": {}}, "set14": {"psnr": "inf"}}}
    scores["espcn"] = {"set5": {"psnr": 32.9, "ssim": 0.91}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    visualize("bars", tmp_path / "scores.json", "-o", tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape[2] == 3
    visualize("curves", work_dir, "--join", "--log", "-o", tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").shape[2] == 3


def test_planes_of_a_test_and_of_a_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = {"set5": {"psnr_y": 30.4, "niqe": 7.5, "own": 3.0, "images": {}}, "real": {"niqe": 6.0, "images": {}}}
    other = {"set5": {"psnr_y": 29.0, "niqe": 4.5, "own": 2.0, "images": {}}, "real": {"niqe": 5.0, "images": {}}}
    (tmp_path / "scores.json").write_text(json.dumps({"Bicubic": sets, "gan": other}))
    visualize("plane", tmp_path / "scores.json", "-o", tmp_path / "a.png")
    assert capsys.readouterr().out.splitlines()[0] == "set5: niqe over psnr_y"
    visualize("plane", tmp_path / "scores.json", "-o", tmp_path / "b.png", "--y", "own", "--lower", "own")
    assert capsys.readouterr().out.splitlines()[0] == "set5: own over psnr_y"
    metrics = {
        name: {"kind": kind, "higher_is_better": kind == "PSNR"} for name, kind in (("q", "PSNR"), ("p", "NIQE"))
    }
    scores = {name: {"set5": {"q": 30.0 - number, "p": 5.0}} for number, name in enumerate("ab")}
    report = {"kind": "srtoolbox report", "metrics": metrics, "scores": scores}
    (tmp_path / "report.json").write_text(json.dumps(report))
    visualize("plane", tmp_path / "report.json", "-o", tmp_path / "c.svg", "--sets", "set5")
    assert capsys.readouterr().out.splitlines()[0] == "set5: p over q"
    assert (tmp_path / "c.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scann"], "visualize has no 'scann'. Did you mean 'scan'?"),
        (["training", "{run}", "-o", "x.avi"], "x.avi: the suffix"),
        (["training", "{tmp}", "-o", "x.gif"], "no snapshots in snapshots/patches; a training keeps some where"),
        (["training", "{tmp}/no", "-o", "x.gif"], "no: no such folder"),
        (["training", "{run}", "--patches", "cat", "-o", "x.gif"], "kept no 'cat'. Did you mean 'cat1'?"),
        (
            ["features", "{ckpt}", "{cat}", "--layer", "conv11", "-o", "x.png"],
            "Did you mean 'conv1'? Its layers: conv1, conv2",
        ),
        (
            ["features", "{ckpt}", "{cat}", "--layer", "conv1", "--channels", "8", "-o", "x.png"],
            "channels 0 ... 7, not 8",
        ),
        (["features", "{run}", "-o", "x.gif"], "kept conv1, conv2: choose one with --layer"),
        (
            ["features", "{run}", "--layer", "conv1", "--channels", "1", "-o", "x.gif"],
            "the training kept [0, 2, 5], not [1]",
        ),
        (["features", "{tmp}", "{cat}", "--layer", "conv1", "-o", "x.gif"], "no iter_*.pth"),
        (["filters", "{ckpt}", "--layer", "conv7", "-o", "x.png"], "has no layer 'conv7'"),
        (["filters", "{ckpt}", "-o", "x.txt"], "its suffix one of .bmp, .j"),
        (
            ["features", "nowhere.pth", "{cat}", "--layer", "conv1", "-o", "x.gif"],
            "its work dir instead of a checkpoint",
        ),
        (["compare", "{cat}", "--checkpoints", "nowhere.pth", "-o", "x.gif"], "x.gif: a sheet is one image"),
        (
            [
                "compare",
                "{cat}",
                "--checkpoints",
                "{ckpt}",
                "--degradations",
                "[dict(type='GaussianNoise')]",
                "-o",
                "x.png",
            ],
            "degradations are for true images (--truth)",
        ),
        (
            ["compare", "{cat}", "--checkpoints", "{ckpt}", "--truth", "--degradations", "[1]", "-o", "x.png"],
            "--degradations is a list as in a config",
        ),
        (["scan", "{ckpt}", "{cat}", "--crop", "0,0,99,9", "-o", "x.gif"], "crop 0,0,99,9 lies outside of"),
        (["scan", "{ckpt}", "nowhere.png", "-o", "x.gif"], "nowhere.png"),
        (
            ["compare", "{cat}", "--checkpoints", "{ckpt}", "--truth", "--crop", "1,0,9,9", "-o", "x.png"],
            "multiples of 3",
        ),
        (["compare", "{cat}", "--checkpoints", "{ckpt}", "--crop", "60,0,30,9", "-o", "x.png"], "lies outside of"),
        (["bars", "nowhere.json", "-o", "x.png"], "nowhere.json: no such file"),
        (["curves", "{run}", "--bicubic", "nowhere.json", "-o", "x.png"], "nowhere.json: no such file"),
        (["bars", "{tmp}/list.json", "-o", "x.png"], "list.json: not scores"),
        (["plane", "{tmp}/scores.json", "-o", "x.png"], "no set has two networks with a distortion (PSNR, MSE"),
        (["plane", "{tmp}/scores.json", "-o", "x.png", "--x", "psnrr"], "no metric 'psnrr'. Did you mean 'psnr'?"),
        (
            ["plane", "{tmp}/scores.json", "-o", "x.png", "--y", "own"],
            "which direction of 'own' is better is not",
        ),
        (["plane", "{tmp}/scores.json", "-o", "x.png", "--sets", "set14"], "no set 'set14'"),
    ],
)
def test_errors_name_what_is_wrong_and_write_nothing(
    words: list[str],
    message: str,
    work_dir: Path,
    checkpoint: Path,
    cat: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "scores.json").write_text('{"a": {"set5": {"psnr": 30.0, "own": 1.0}}, "b": {"set5": {"psnr": 31.0}}}')
    monkeypatch.chdir(tmp_path)
    places = {"run": work_dir, "ckpt": checkpoint, "cat": cat, "tmp": tmp_path}
    assert main(["visualize", *(word.format(**places) for word in words)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and message in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.json", "scores.json"]


@pytest.mark.parametrize("words", [["--frames", "0"], ["--seconds", "x"], ["--seconds", "nan"], ["--width", "-1"]])
def test_numbers_out_of_range_are_refused(words: list[str], work_dir: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["visualize", "training", str(work_dir), *words])
    assert caught.value.code == 2 and words[1] in capsys.readouterr().err


def test_damaged_snapshots_are_named(work_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(work_dir / "snapshots", tmp_path / "snapshots")
    (tmp_path / "snapshots/features/conv1/iter_000010.npz").write_bytes(b"PK half")
    (tmp_path / "snapshots/patches/cat1/truth.png").unlink()
    assert main(["visualize", "features", str(tmp_path), "--layer", "conv1", "-o", str(tmp_path / "a.gif")]) == 2
    assert "iter_000010.npz: not feature maps" in capsys.readouterr().err
    assert main(["visualize", "training", str(tmp_path), "-o", str(tmp_path / "a.gif")]) == 2
    assert "cat1" in capsys.readouterr().err and not (tmp_path / "a.gif").exists()


def test_an_image_smaller_than_a_tile_is_one_tile(checkpoint: Path, photo: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "tiny.png", photo[:5, :6])
    visualize("scan", checkpoint, tmp_path / "tiny.png", "-o", tmp_path / "a.gif")
    assert len(frames_of(tmp_path / "a.gif")) == 2


def test_help_lists_the_parts_each_with_an_example_and_loads_no_torch() -> None:
    code = (
        "import sys\nfrom srtoolbox.cli import main\n"
        "for part in sys.argv[1:]:\n"
        "    try:\n        main(['visualize', part, '--help'])\n"
        "    except SystemExit:\n        pass\n"
        "main(['visualize', '--help'])\n"
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *parts()], capture_output=True, text=True, check=True)
    assert all(f"python tools/visualize.py {part} " in done.stdout for part in parts() if part != "curves")
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  {part} " in done.stdout for part in parts())
