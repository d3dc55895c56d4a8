"""A DataLoader of PyTorch's own over a training dataset: whole images by index, random crops by `crops(seed)`."""

from __future__ import annotations

import pickle
import re
import shutil
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, random_split

from srtoolbox.data.datasets.base import RandomCrops
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.image import write_image

FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomTranspose")]
DOCS = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dataset(photo_folder: Path) -> GTOnlyDataset:
    return GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=FLIPS)


def epoch_of(loader: DataLoader) -> dict[str, bytes]:
    """Image -> its crop, of one epoch in which each image stands once."""
    pairs = [pair for batch in loader for pair in zip(batch["key"], batch["gt"], batch["lq"], strict=True)]
    crops = {key: gt.numpy().tobytes() + lq.numpy().tobytes() for key, gt, lq in pairs}
    assert len(crops) == len(pairs) == len(loader.dataset)
    return crops


def epochs(dataset: GTOnlyDataset, seed: int = 5, count: int = 3, **options: object) -> list[dict[str, bytes]]:
    loader = DataLoader(dataset.crops(seed), batch_size=4, shuffle=True, **options)
    return [epoch_of(loader) for _ in range(count)]


def test_every_epoch_is_fresh_and_follows_from_the_seed(dataset: GTOnlyDataset) -> None:
    first = epochs(dataset)
    assert len({crop for epoch in first for crop in epoch.values()}) == 18
    assert epochs(dataset) == first
    other = epochs(dataset, seed=6)
    assert not {*first[0].values()} & {*other[0].values()}
    later = DataLoader(dataset.crops(5, epoch=2), batch_size=2, shuffle=True)
    assert epoch_of(later) == first[2]


@pytest.mark.parametrize(
    "options",
    [
        dict(num_workers=2, persistent_workers=True),
        dict(num_workers=1),
        pytest.param(dict(num_workers=1, multiprocessing_context="spawn"), marks=pytest.mark.slow),
    ],
)
def test_workers_of_every_kind_change_nothing(dataset: GTOnlyDataset, options: dict[str, object]) -> None:
    assert epochs(dataset, count=2, **options) == epochs(dataset, count=2)


def test_a_copy_for_a_worker_that_starts_anew_counts_with_the_original(dataset: GTOnlyDataset) -> None:
    here = dataset.crops(3)
    there = ForkingPickler.loads(ForkingPickler.dumps(here))
    drawn = [here[1], there[1], here[1]]
    for epoch, item in enumerate(drawn):
        assert np.array_equal(item["gt"], dataset[Draw(1, epoch * 6 + 1, 3)]["gt"])


def test_an_item_is_a_crop_of_its_image_by_the_datasets_own_rules(dataset: GTOnlyDataset) -> None:
    crops = dataset.crops(3)
    assert len(crops) == len(dataset) == 6
    for epoch in range(2):
        for index in range(6):
            item, expected = crops[index], dataset[Draw(index, epoch * 6 + index, 3)]
            assert item["key"] == dataset.keys()[index]
            for name in ("lq", "gt"):
                assert np.array_equal(item[name], expected[name])
                assert item[name].flags.c_contiguous and item[name].flags.writeable
    assert dataset.crops(0)[-1]["key"] == crops[np.int64(5)]["key"] == dataset.keys()[5]
    with pytest.raises(IndexError):
        crops[6]
    assert len(list(crops)) == 6


def test_what_torch_builds_on_map_style_datasets_works(dataset: GTOnlyDataset) -> None:
    both = ConcatDataset([dataset, dataset]).crops(1)
    keys = [key for batch in DataLoader(Subset(both, [7, 0]), batch_size=2) for key in batch["key"]]
    assert keys == [dataset.keys()[1], dataset.keys()[0]]
    training, rest = random_split(dataset.crops(1), [4, 2])
    assert len({item["key"] for part in (training, rest) for item in part}) == 6
    crops = pickle.loads(pickle.dumps(dataset.crops(2)))
    assert isinstance(crops, RandomCrops) and np.array_equal(crops[4]["gt"], dataset.crops(2)[4]["gt"])


def test_indices_give_whole_images(dataset: GTOnlyDataset, photo_folder: Path) -> None:
    (batch,) = DataLoader(dataset, batch_size=6)
    assert batch["key"] == dataset.keys() and batch["gt"].shape == (6, 60, 72, 3)
    assert torch.equal(batch["lq"][2], torch.from_numpy(dataset[2]["lq"].copy()))
    ten = GTOnlyDataset(str(photo_folder), 3, gt_size=24, crop="ten")  # half of them are mirrored views
    (batch,) = DataLoader(ten, batch_size=60, num_workers=1)
    assert torch.equal(batch["gt"][9], torch.from_numpy(ten[9]["gt"].copy()))
    assert batch["key"] == ten.keys() and len(DataLoader(ten.crops(0), batch_size=10)) == 6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_and_16_bits(photo: np.ndarray, tmp_path: Path, dtype: type) -> None:
    image = photo[:60, :60, :1].astype(dtype) * (257 if dtype == np.uint16 else 1)
    for name in "ab":
        write_image(tmp_path / f"{name}.png", np.ascontiguousarray(image))
    for dataset in (GTOnlyDataset(str(tmp_path), 2, gt_size=20), GTOnlyDataset(str(tmp_path), 2, gt_size=20).crops(0)):
        (batch,) = DataLoader(dataset, batch_size=2)
        assert batch["gt"].dtype == getattr(torch, dtype.__name__) and batch["gt"].shape[3] == 3


def test_the_documented_loop_runs(photo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(photo_folder, tmp_path / "datasets/T91")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(from torch.*?)```", DOCS, re.S)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["gt"].shape == (6, 3, 48, 48) and names["lq"].shape == (6, 3, 16, 16)
    assert names["gt"].dtype == torch.float32 and 0 <= names["gt"].min() < names["gt"].max() <= 1
