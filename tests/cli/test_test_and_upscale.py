"""`test.py` on a network trained for a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.apps.scoring.outputs import keep_extremes
from srtoolbox.cli import main
from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.registry import NETWORKS


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
    with pytest.raises(SystemExit, match="2"):
        main(["test", str(config), str(checkpoint), "--datasets", "fotos"])
    assert "error: --datasets: the config has no set 'fotos'. Did you mean 'photos'?" in capsys.readouterr().err


def test_absent_sets_are_skipped_and_none_at_all_is_an_error(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, checkpoint = trained
    more = "data.val.datasets.absent={'type': 'GTOnlyDataset', 'gt': 'nowhere', 'scale': 3}"
    assert main(["test", str(config), str(checkpoint), more, "--json", str(tmp_path / "s.json")]) == 0
    assert list(json.loads((tmp_path / "s.json").read_text())["iter_000020"]) == ["photos"]
    assert main(["test", str(config), str(checkpoint), more, "--datasets", "absent"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_networks_of_several_scales_are_refused_before_any_is_scored(
    trained: tuple[Path, Path], photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, checkpoint = trained
    generator = {"type": "ESPCN", "scale": 2}
    weights = NETWORKS.build(generator).state_dict()
    state = {"networks": {"generator": weights}, "config": json.dumps({"model": {"generator": generator}})}
    save_tensors(tmp_path / "other.pth", state)
    arguments = ["test", str(config), str(checkpoint), str(tmp_path / "other.pth"), "--report", str(tmp_path / "page")]
    assert main(arguments) == 2
    assert "other upscales x2, set photos is x3" in capsys.readouterr().err
    images = f"data.test={{'datasets': {{'mine': {{'type': 'FolderDataset', 'lq': {str(photo_folder)!r}}}}}}}"
    assert main([*arguments, images, "--datasets", "mine"]) == 2
    assert "other upscales x2, Bicubic x3: one test is of one scale" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other.pth"]


def test_a_checkpoint_given_twice_is_named(trained: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    config, checkpoint = trained
    assert main(["test", str(config), str(checkpoint), str(checkpoint)]) == 2
    assert f"{checkpoint}: given twice" in capsys.readouterr().err


def test_a_network_with_weights_needs_a_checkpoint(trained: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    assert main(["test", str(trained[0])]) == 2
    err = capsys.readouterr().err
    assert "has weights to load: srtoolbox test " in err and "CHECKPOINT" in err


def test_an_image_without_a_score_is_among_the_worst_of_every_part(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    values = dict(zip(names, [30.0, float("nan"), 28.0, 29.0, 31.0], strict=True))
    (tmp_path / "net/set5").mkdir(parents=True)
    scores: dict[str, dict[str, float]] = {}
    for name in names:
        (tmp_path / f"net/set5/{name}.png").touch()
        scores[name] = {"psnr": values[name], "seconds": 1.0}
        keep_extremes(tmp_path, {"net": {"set5": scores}}, {"psnr": PSNR()}, 1)
    assert sorted(path.stem for path in (tmp_path / "net/set5").iterdir()) == ["b", "e"]
