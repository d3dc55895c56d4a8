"""The transforms of docs/data.md: its examples build and do what is said, its table names all there is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.config import Config
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw, Rng
from srtoolbox.data.transforms.batch.codecs import VideoCompression
from srtoolbox.image import write_image
from srtoolbox.registry import TRANSFORMS
from srtoolbox.resize import imresize

TEXT = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
BATCHES = (Path(__file__).parents[2] / "docs/degradations.md").read_text(encoding="utf-8")
SECTION = re.search(r"## Transforms\n(.*?)\n## ", TEXT, re.S).group(1)
MIXTURE, DEGRADED, RECIPE = re.findall(r"```python\n(.*?)```", SECTION, re.S)


def config_of(text: str, folder: Path) -> dict:
    (folder / "example.py").write_text(text)
    return Config.fromfile(folder / "example.py").to_dict()


@pytest.fixture
def pair(tmp_path: Path, photo: np.ndarray) -> tuple[str, str]:
    write_image(tmp_path / "gt/a.png", photo[:96, :96])
    write_image(tmp_path / "lq/a.png", imresize(photo[:96, :96], 0.25))
    return str(tmp_path / "gt"), str(tmp_path / "lq")


def test_spatial_and_hard_transforms_happen_as_often_as_said(pair: tuple[str, str], tmp_path: Path) -> None:
    transforms = config_of(MIXTURE, tmp_path)["transforms"]
    dataset = PairedDataset(*pair, 4, gt_size=96, transforms=transforms)
    plain = PairedDataset(*pair, 4)[0]
    counts = dict.fromkeys(("flipped", "transposed", "clean", "compressed", "holes"), 0)
    ways = {"flipped": lambda image: image[:, ::-1], "transposed": lambda image: image.swapaxes(0, 1)}
    for number in range(2000):
        sample = dataset[Draw(0, number, 11)]
        lq = plain["lq"]
        for name, way in ways.items():
            if np.array_equal(sample["gt"], way(plain["gt"])):
                counts[name] += 1
                lq = way(lq)
        changed = (sample["lq"] != lq).any(axis=2)
        black = changed & (sample["lq"] == 0).all(axis=2)
        counts["clean"] += not changed.any()
        counts["holes"] += black.any()
        counts["compressed"] += (changed & ~black).any()
    expected = dict(flipped=250, transposed=750, clean=1125, compressed=500, holes=500)
    for name, count in counts.items():
        assert abs(count - expected[name]) < 90, (name, counts)  # 4 sigma


def test_the_degraded_recipe_spoils_what_evaluation_sees(pair: tuple[str, str], tmp_path: Path) -> None:
    options = config_of(DEGRADED, tmp_path)["dataset"]
    assert options.pop("type") == "GTOnlyDataset"
    spoilt, clean = (GTOnlyDataset(**{**options, "gt": pair[0], **more})[0] for more in ({}, {"degradations": []}))
    assert np.array_equal(spoilt["gt"], clean["gt"]) and not np.array_equal(spoilt["lq"], clean["lq"])


def test_the_rotation_recipe_runs(tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "large.png", photo)
    write_image(tmp_path / "small.png", photo[:100, :160])
    cfg = config_of(RECIPE, tmp_path)["dataset"]
    dataset = GTOnlyDataset(str(tmp_path), **{k: v for k, v in cfg.items() if k not in ("type", "gt")})
    for number in range(6):
        sample = dataset[Draw(number % 2, number, 0)]
        assert sample["gt"].shape == (128, 128, 3) and sample["lq"].shape == (32, 32, 3)
        assert (not sample["gt"][100:].any()) == (sample["key"] == "small")


def test_the_codecs_of_a_pipeline_build(tmp_path: Path, photo: np.ndarray) -> None:
    section = re.search(r"## Codecs\n(.*?)\n## ", BATCHES, re.S).group(1)
    step = TRANSFORMS.build(config_of(re.search(r"```python\n(.*?)```", section, re.S).group(1), tmp_path)["codec"])
    lq = np.ascontiguousarray(photo[:32, :48])
    results = {step({"lq": lq, "gt": lq, "key": "a"}, Rng(0, draw))["lq"].tobytes() for draw in range(8)}
    assert len(results) == 8
    rows = re.findall(r"\| (`[^|]*) \|[^|]*\| ([^|]*) \|", section)
    said = {name: limits for names, text in rows for name, limits in _said(names, text)}
    assert said == {name: tuple(limits) for name, limits in VideoCompression.quantisers.items()}


def _said(names: str, text: str) -> list[tuple[str, tuple[int, int]]]:
    """The codecs of a row with their ranges: one for all, or one for each."""
    codecs, ranges = re.findall(r"`(\w+)`", names), re.findall(r"(\d+) to (\d+)", text)
    ranges = [(int(low), int(high)) for low, high in ranges]
    return list(zip(codecs, ranges * len(codecs) if len(ranges) == 1 else ranges, strict=True))


def test_every_transform_is_in_the_table_with_its_arguments() -> None:
    tables = SECTION[: SECTION.index("What says LQ")] + re.search(r"## The steps\n(.*?)\n## ", BATCHES, re.S).group(1)
    rows = dict(re.findall(r"`(\w+)\(([^`)]*)\)`", tables))
    ours = [name for name in TRANSFORMS.names() if TRANSFORMS.get(name).__module__.startswith("srtoolbox.")]
    assert set(rows) == set(ours)  # other tests register some of their own
    for name, arguments in rows.items():
        known = TRANSFORMS.get(name).__init__.__code__.co_varnames
        assert set(arguments.split(", ")) == set(known[1 : 1 + len(arguments.split(", "))]), name


def test_ten_crops_of_gt_alone(tmp_path: Path, photo: np.ndarray) -> None:
    """Against the definition, written out: corners, centre, then the same of the mirrored crops."""
    write_image(tmp_path / "a.png", photo[:120, :180])
    dataset = GTOnlyDataset(str(tmp_path), 3, gt_size=48, crop="ten")
    whole_lq = imresize(np.ascontiguousarray(photo[:120, :180]), 1 / 3)
    assert len(dataset) == 10
    places = [(0, 0), (0, 132), (72, 0), (72, 132), (36, 66)]
    for number, (top, left) in enumerate(places * 2):
        turn = slice(None, None, -1 if number >= 5 else 1)
        for sample in (dataset[number], dataset[Draw(number, 77, 3)]):
            assert np.array_equal(sample["gt"], photo[top : top + 48, left : left + 48][:, turn])
            lq = whole_lq[top // 3 : top // 3 + 16, left // 3 : left // 3 + 16]
            assert np.array_equal(sample["lq"], lq[:, turn])
