"""`upscale --tile` and `--ensemble`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from srtoolbox.cli import main
from srtoolbox.image import read_image


def test_tiles_and_ensemble(espcn: str, photo_folder: Path, tmp_path: Path) -> None:
    results = {}
    for name, options in {
        "whole": [],
        "tiles": ["--tile", "16"],
        "batched": ["--tile", "16", "--batch", "3"],
        "ensemble": ["--ensemble", "--tile", "20"],
    }.items():
        assert main(["upscale", espcn, str(photo_folder / "cat0.png"), "-o", str(tmp_path / name), *options]) == 0
        results[name] = read_image(tmp_path / name / "cat0_sr.png").astype(int)
    assert results["whole"].shape == (180, 216, 3)
    for name in ("tiles", "batched"):
        assert np.abs(results[name] - results["whole"]).max() <= 1  # rounding of a value between two levels
    difference = np.abs(results["ensemble"] - results["whole"])
    assert 0 < difference.mean() < 20  # not trained, it prefers an orientation


def test_the_whole_image_in_one_piece(espcn: str, photo_folder: Path, tmp_path: Path) -> None:
    assert main(["upscale", espcn, str(photo_folder), "-o", str(tmp_path / "out"), "--tile", "0"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 6
