"""`test.py` and `upscale.py` on a network trained for a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.cli import main, upscale
from srtoolbox.image import read_image, write_image


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> tuple[Path, Path]:
    from tests.conftest import TINY

    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tiny.py"
    config.write_text(TINY.format(folder=str(photo_folder)))
    assert main(["train", str(config), "--work-dir", str(folder / "run")]) == 0
    return config, folder / "run/checkpoints/iter_000020.pth"


def test_json_has_means_and_images(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config, checkpoint = trained
    best = checkpoint.with_name("best_photos_psnr.pth")
    assert (
        main(["test", str(config), str(checkpoint), str(best), "--baseline", "--json", str(tmp_path / "s.json")]) == 0
    )
    results = json.loads((tmp_path / "s.json").read_text())
    assert list(results) == ["Bicubic", "iter_000020", "best_photos_psnr"]
    photos = results["Bicubic"]["photos"]
    assert len(photos["images"]) == 6
    np.testing.assert_allclose(photos["psnr"], np.mean([scores["psnr"] for scores in photos["images"].values()]))


def test_out_keeps_only_best_and_worst(trained: tuple[Path, Path], tmp_path: Path) -> None:
    config, checkpoint = trained
    arguments = [
        str(config),
        str(checkpoint),
        "--out",
        str(tmp_path),
        "--best",
        "1",
        "--sheets",
        str(tmp_path / "sheets"),
    ]
    assert main(["test", *arguments]) == 0
    assert len(list((tmp_path / "iter_000020/photos").glob("*.png"))) == 2
    assert len(list((tmp_path / "sheets").glob("sheet_photos_*.png"))) == 6


def test_unknown_set_is_answered_with_the_right_one(trained: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    config, checkpoint = trained
    assert main(["test", str(config), str(checkpoint), "--datasets", "fotos"]) == 2
    assert "Did you mean 'photos'?" in capsys.readouterr().err


def test_absent_sets_are_skipped_and_none_at_all_is_an_error(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, checkpoint = trained
    more = "data.val.datasets.absent={'type': 'GTOnlyDataset', 'gt': 'nowhere', 'scale': 3}"
    assert main(["test", str(config), str(checkpoint), more, "--json", str(tmp_path / "s.json")]) == 0
    assert list(json.loads((tmp_path / "s.json").read_text())["iter_000020"]) == ["photos"]
    assert main(["test", str(config), str(checkpoint), more, "--datasets", "absent"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_network_with_weights_needs_a_checkpoint(trained: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    assert main(["test", str(trained[0])]) == 2
    assert "CHECKPOINT" in capsys.readouterr().err


def test_upscale_folders_and_files(trained: tuple[Path, Path], photo: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "in/deep/gray.png", photo[:20, :31, :1])
    write_image(tmp_path / "in/colour.png", photo[:7, :5])
    assert main(["upscale", str(trained[1]), str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert read_image(tmp_path / "out/colour_sr.png").shape == (21, 15, 3)
    assert read_image(tmp_path / "out/deep/gray_sr.png").shape == (60, 93, 1)
    assert main(["upscale", str(trained[1]), str(tmp_path / "in/colour.png")]) == 0
    assert (tmp_path / "in/colour_sr.png").exists()


def test_a_damaged_picture_is_named_and_the_rest_goes_on(
    trained: tuple[Path, Path], photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_image(tmp_path / "good.png", photo[:9, :9])
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(data[: len(data) // 2])
    assert main(["upscale", str(trained[1]), str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().out
    assert "bad.png" in printed and "1 upscaled, 1 failed" in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good_sr.png"]


def test_messages_are_not_wrapped(
    trained: tuple[Path, Path], photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    name = "a_long_name_with_many_words_" * 4 + ".png"
    (tmp_path / name).write_bytes(b"no picture")
    assert main(["upscale", str(trained[1]), str(tmp_path / name)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert name in line and len(line) > 150


def planned(inputs: list[Path], out: Path | None = None) -> tuple[dict[str, str], list[str]]:
    jobs, skipped = upscale.plan([str(path) for path in inputs], out and str(out))
    return {source.name: target.name for source, target in jobs}, [path.name for path in skipped]


def test_earlier_results_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.jpg", "a_sr.png", "b_sr.png", "sub/c.png", "sub/c.png_sr.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    folder = tmp_path / "in"
    jobs = {"a.jpg": "a_sr.png", "b_sr.png": "b_sr_sr.png", "c.png": "c_sr.png"}
    for inputs in ([folder], [*folder.iterdir(), folder / "sub"]):
        names, skipped = planned(inputs)
        assert names == jobs and sorted(skipped) == ["a_sr.png", "c.png_sr.png"]
    names, skipped = planned([folder], tmp_path / "out")
    assert len(names) == 5 and not skipped
    assert names["a_sr.png"] == "a_sr_sr.png"


def test_a_picture_given_twice_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "t1.png").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for again in (tmp_path / "t1.png", tmp_path / "link/t1.png", tmp_path / "../" / tmp_path.name / "t1.png"):
        jobs, _ = upscale.plan([str(tmp_path / "t1.png"), str(again)], None)
        assert jobs == [(tmp_path / "t1.png", tmp_path / "t1_sr.png")]


def test_the_suffix_stays_in_the_name_where_two_would_collide(tmp_path: Path) -> None:
    for name in ("photo.bmp", "photo.tiff", "other.bmp"):
        (tmp_path / name).touch()
    jobs = {"photo.bmp": "photo.bmp_sr.png", "photo.tiff": "photo.tiff_sr.png", "other.bmp": "other_sr.png"}
    assert planned([tmp_path])[0] == jobs
    assert planned([tmp_path], tmp_path / "out")[0] == jobs


def test_two_inputs_with_one_output_are_refused_first(
    trained: tuple[Path, Path], photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("a/x.png", "b/x.png"):
        write_image(tmp_path / name, photo[:9, :9])
    inputs = [str(tmp_path / "a/x.png"), str(tmp_path / "b/x.png")]
    assert main(["upscale", str(trained[1]), *inputs, "-o", str(tmp_path / "out")]) == 2
    assert "would both be written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
