"""The page of what a network is given, of every shipped config, every transform and every dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import srtoolbox
from srtoolbox.apps.browse import Browsed
from srtoolbox.config import Config
from srtoolbox.data.transforms import Transform
from srtoolbox.data.transforms.batch.base import BatchDegradation
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, write_image
from srtoolbox.registry import DATASETS, TRANSFORMS
from srtoolbox.resize import imresize
from tests.apps.test_browse import config_of, gt_only
from tests.data.batch.test_all import ARGUMENTS, CASES
from tests.test_configs import CONFIGS, name
from tests.test_configs_start import data_root

__all__ = ["data_root"]  # a fixture

pytestmark = pytest.mark.slow


def given(path: Path) -> str:
    """Return all of a config that decides what its network is given; '' where nothing is."""
    config = Config.fromfile(path)
    train = {key: value for key, value in config.get("data", {}).get("train", {}).items() if key != "batch_size"}
    model = config.get("model", {})
    return repr((train, model.get("preprocess"), model["generator"]["scale"])) if train else ""


DISTINCT = {given(path): path for path in CONFIGS if path.parent.name != "quickstart"}  # that makes its own images
"""A config for each way in which a network is given samples."""
INNER = {"transforms": [{"type": "RandomHorizontalFlip"}, {"type": "RandomVerticalFlip"}]}
OF_SAMPLES: dict[str, dict[str, Any]] = {
    "ColourJitter": {"brightness": 0.3},
    "OneOf": INNER,
    "RandomApply": INNER,
    "RandomRotation": {"degrees": 20},
    "Repeat": INNER,
    "Sequence": INNER,
    "Shuffle": INNER,
}
"""Arguments of the transforms of samples that have no defaults, or do nothing by them."""
SAMPLES = [
    each
    for each in TRANSFORMS
    if issubclass(TRANSFORMS.get(each), Transform) and not issubclass(TRANSFORMS.get(each), BatchDegradation)
    and TRANSFORMS.get(each).__module__.startswith("srtoolbox.")
]  # fmt: skip
FEW: dict[str, Any] = {"count": 2, "samples": 6, "severity": 3}


def assert_seen(done: Browsed, scale: int) -> None:
    """Assert that the samples of a page are as a network takes them, and that both files are there."""
    for sample in done.samples:
        height, width = sample.lq.shape[:2]
        assert sample.images["gt"].shape[:2] == (scale * height, scale * width)
    assert done.measured == FEW["samples"] and done.page.stat().st_size > 5000
    assert read_image(done.sheet).shape[0] > 100


@pytest.mark.parametrize("path", [path for way, path in DISTINCT.items() if way], ids=name)
def test_every_config(path: Path, data_root: Path, tmp_path: Path) -> None:
    root = f"data_root={data_root}"
    config = Config.fromfile(path, [root])
    scale, changes = config["model"]["generator"]["scale"], [root, "data.train.workers=0", "data.train.batch_size=2"]
    if "preprocess" in config["model"]:
        changes += [f"model.preprocess.gt_size={16 * scale}", f"data.train.dataset.gt_size={24 * scale}"]
    elif config["data"]["train"]["dataset"].get("gt_size", 0) > 264:  # the photographs' height
        changes.append(f"data.train.dataset.gt_size={48 * scale}")
    done = srtoolbox.browse_data(path, tmp_path / "page.html", overrides=changes, **FEW)
    assert_seen(done, scale)
    if "preprocess" in config["model"]:
        assert done.ladders and all(sample.steps for sample in done.samples)
    whole = srtoolbox.browse_data(path, tmp_path / "whole.html", overrides=changes, whole=True, count=1, samples=0)
    assert min(whole.samples[0].images["gt"].shape[:2]) > 16 * scale


@pytest.mark.parametrize("name", CASES)
def test_every_degradation(name: str, photo_folder: Path, tmp_path: Path) -> None:
    step = {"type": name.split()[0], **ARGUMENTS.get(name, {})}
    steps = {"mine": step, "end": {"type": "Resize", "to": "lq", "modes": ["area"]}}
    made = {"type": "DegradationPipeline", "scale": 2, "gt_size": 32, "steps": steps}
    done = srtoolbox.browse_data(config_of(gt_only(photo_folder), preprocess=made), tmp_path / "page.html", **FEW)
    assert_seen(done, 2)
    assert "mine" in done.parameters


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_transform_of_samples(kind: str, photo_folder: Path, tmp_path: Path) -> None:
    transform = {"type": kind, **OF_SAMPLES.get(kind, {})}
    dataset = {**gt_only(photo_folder), "transforms": {"mine": transform}}
    done = srtoolbox.browse_data(config_of(dataset), tmp_path / "page.html", **FEW)
    assert_seen(done, 2)
    assert done.untold and all(each.startswith("mine") for each in done.untold)


def test_every_dataset(photo_folder: Path, tmp_path: Path) -> None:
    for file in photo_folder.iterdir():
        write_image(tmp_path / "lq" / file.name, imresize(read_image(file), 0.5))
    pairs = {"type": "PairedDataset", "gt": str(photo_folder), "lq": str(tmp_path / "lq"), "scale": 2, "gt_size": 40}
    sets = {
        "PairedDataset": pairs,
        "GTOnlyDataset": gt_only(photo_folder),
        "ConcatDataset": {"type": "ConcatDataset", "datasets": [pairs, gt_only(photo_folder)]},
    }
    assert {*sets, "FolderDataset"} == {each for each in DATASETS if DATASETS.get(each).__module__[:9] == "srtoolbox"}
    for kind, dataset in sets.items():
        assert_seen(srtoolbox.browse_data(config_of(dataset), tmp_path / f"{kind}.html", **FEW), 2)
    folder = {"type": "FolderDataset", "lq": str(photo_folder)}  # no truth: nothing to train on
    with pytest.raises(SrtoolboxError, match=r"gt|GT|truth"):
        srtoolbox.browse_data(config_of(folder), tmp_path / "none.html", **FEW)
