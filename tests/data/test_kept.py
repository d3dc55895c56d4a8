"""Sets kept on a device: the loader's samples, bit for bit, cut there. The CPU is the device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading import kept
from srtoolbox.data.loading.draws import EndlessSampler, Rng, Rngs
from srtoolbox.data.loading.kept import fault, kept_batches
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.errors import RunError
from srtoolbox.image import write_image

CPU = torch.device("cpu")
FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip"), dict(type="RandomTranspose")]
SOME = dict(turn=dict(type="RandomTranspose", p=0.3), mirror=dict(type="RandomVerticalFlip", p=0.9))


@pytest.fixture(scope="module")
def stores(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    out = tmp_path_factory.mktemp("lmdb")
    paths = (str(out / "gt.lmdb"), str(out / "lq.lmdb"))
    write_stores(make_plan(photo_folder, Recipe(scale=3)), list(paths))
    return paths


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Images of many sizes, gray and in colour, most smaller in one side than a crop of 24."""
    folder, rng = tmp_path_factory.mktemp("odd"), np.random.default_rng(0)
    for number, (height, width) in enumerate([(20, 60), (61, 19), (13, 14), (24, 24), (50, 47), (48, 24)]):
        write_image(folder / f"{number}.png", rng.integers(0, 256, (height, width, 1 + 2 * (number % 2)), np.uint8))
    return str(folder)


Sets = dict[str, Callable[[tuple[str, str], str, str], SRDataset]]
SETS: Sets = {
    "paired": lambda stores, folder, odd: PairedDataset(*stores, 3, gt_size=24, transforms=FLIPS),
    "area": lambda stores, folder, odd: PairedDataset(*stores, 3, gt_size=48, transforms=SOME, sampling="area"),
    "made": lambda stores, folder, odd: GTOnlyDataset(folder, 2, gt_size=24, transforms=FLIPS[2:]),
    "plain": lambda stores, folder, odd: GTOnlyDataset(folder, 4, gt_size=32),
    "centre": lambda stores, folder, odd: GTOnlyDataset(folder, 3, gt_size=33, crop="center", transforms=FLIPS),
    "reflect": lambda stores, folder, odd: GTOnlyDataset(odd, 2, gt_size=24, small="reflect", transforms=FLIPS),
    "zero": lambda stores, folder, odd: GTOnlyDataset(odd, 3, gt_size=24, small="zero", transforms=FLIPS),
    "skip": lambda stores, folder, odd: GTOnlyDataset(odd, 3, gt_size=24, small="skip", transforms=FLIPS),
    "several": lambda stores, folder, odd: ConcatDataset(
        [
            ConcatDataset(
                [GTOnlyDataset(folder, 3, gt_size=24, transforms=SOME), PairedDataset(*stores, 3, gt_size=24)]
            ),
            GTOnlyDataset(odd, 3, gt_size=24, crop="center", small="reflect", transforms=FLIPS),
        ],
        weights=[1, 2],
    ),
}


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys() and first["key"] == second["key"]
    for name in ("lq", "gt", "index", "draw"):
        assert first[name].dtype == second[name].dtype and first[name].shape == second[name].shape
        assert torch.equal(first[name], second[name]), name
        assert second[name].is_contiguous()


@pytest.mark.parametrize("name", SETS)
def test_they_are_the_batches_of_the_loader(
    name: str, stores: tuple[str, str], photo_folder: Path, odd_folder: str
) -> None:
    dataset = SETS[name](stores, str(photo_folder), odd_folder)
    for seed, start, rank, world in [(0, 0, 0, 1), (2**63 + 5, 6, 1, 2), (-3, 10**12, 0, 1)]:
        loader = build_train_loader(dataset, 5, seed=seed, start=start, rank=rank, world=world)
        found = kept_batches(dataset, EndlessSampler(dataset, 5, seed, start, rank, world), CPU, wanted=True)
        assert found is not None
        for one, other in islice(zip(loader, found, strict=False), 12):
            assert_same(one, other)
        found.close()
        with pytest.raises(RunError, match="closed"):
            next(found)


def test_many_numbers_are_those_of_each() -> None:
    numbers = np.concatenate((np.arange(200), [2**40, 2**62 + 1]))
    high = np.arange(1, 203, dtype=np.int64) ** 4
    for seed in (0, 1, -7, 2**64 - 1):
        many, each = Rngs(seed, numbers), [Rng(seed, int(number)) for number in numbers]
        for _ in range(3):
            expected = [rng.integers(0, int(top)) for rng, top in zip(each, high, strict=True)]
            assert many.integers(high).tolist() == expected
        assert many.random().tolist() == [rng.random() for rng in each]
        assert many.at(3).random().tolist() == [rng.at(3).random() for rng in each]
        assert many.at(2).at(0).integers(high).tolist() == [
            rng.at(2).at(0).integers(0, int(top)) for rng, top in zip(each, high, strict=True)
        ]


class Own(PairedDataset):
    """A plugin's data set, whose samples may be anything."""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rotation", "RandomRotation is not made there"),
        ("plugin", "Own is not made there"),
        ("ten", "crop='ten' is not made there"),
        ("whole", "crop=None is not made there"),
        ("sizes", "its parts differ in size, scale or channels"),
        ("chosen", "OneOf is not made there"),
    ],
)
def test_what_a_device_cannot_make_is_the_loaders(
    name: str, reason: str, stores: tuple[str, str], photo_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = str(photo_folder)
    dataset: SRDataset = {
        "rotation": lambda: GTOnlyDataset(folder, 2, gt_size=24, transforms=[dict(type="RandomRotation", degrees=5)]),
        "plugin": lambda: Own(*stores, 3, gt_size=24),
        "ten": lambda: GTOnlyDataset(folder, 2, gt_size=24, crop="ten"),
        "whole": lambda: GTOnlyDataset(folder, 2, crop=None),
        "sizes": lambda: ConcatDataset([GTOnlyDataset(folder, 2, gt_size=size) for size in (24, 32)]),
        "chosen": lambda: GTOnlyDataset(folder, 2, gt_size=24, transforms=[dict(type="OneOf", transforms=FLIPS)]),
    }[name]()
    assert fault(dataset) == reason
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    assert kept_batches(dataset, EndlessSampler(dataset, 2, 0), CPU, wanted=True) is None
    assert [line for line in caplog.messages if "the loader makes the batches" in line and reason in line]


def test_images_of_16_bits_are_the_loaders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", np.full((30, 30, 3), 300 * number, np.uint16))
    dataset = GTOnlyDataset(str(tmp_path), 2, gt_size=24)
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    assert kept_batches(dataset, EndlessSampler(dataset, 2, 0), CPU, wanted=True) is None
    assert "16 bits" in caplog.messages[-1]


def test_auto_keeps_what_fits_on_a_device(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24)
    sampler, device = EndlessSampler(dataset, 2, 0), torch.device("cuda", 0)
    assert kept_batches(dataset, sampler, CPU) is None, "on a CPU the loader is as fast"
    size = int(dataset.sizes().prod(1).sum()) * 3 * (1 + 9)
    monkeypatch.setattr(kept, "KeptSet", lambda parts, device: type("Kept", (), {"device": CPU, "pixels": ()}))
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    for free, fits in ((4 * size, True), (4 * size - 4, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10 * free))
        assert (kept_batches(dataset, sampler, device) is not None) == fits
        assert ("is kept on the device" in caplog.messages[-1]) == fits
    assert kept_batches(dataset, sampler, device, wanted=True) is not None
    assert kept_batches(dataset, sampler, device, wanted=False) is None


def test_a_set_larger_than_a_chunk(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_CHUNK", 20_000)
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=FLIPS)
    found = kept_batches(dataset, EndlessSampler(dataset, 6, 0), CPU, wanted=True)
    assert found is not None
    for one, other in islice(zip(build_train_loader(dataset, 6), found, strict=False), 6):
        assert_same(one, other)
