"""The images of a dataset as columns, by number."""

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.data.datasets import entries as module
from srtoolbox.data.datasets.entries import Entries, Part
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.errors import DataError
from tests.data.stores import tiny_store

KEYS = [f"{number:03d}" for number in range(40)]
SIZES = {key: (2 + number % 5, 3 + number % 3) for number, key in enumerate(KEYS)}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    larger = {key: (2 * height, 2 * width) for key, (height, width) in SIZES.items()}
    return tiny_store(tmp_path / "gt.lmdb", KEYS, larger), tiny_store(tmp_path / "lq.lmdb", KEYS, SIZES)


def test_entries_are_those_of_all_parts_and_of_what_is_kept(pair: tuple[Path, Path], monkeypatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 5)
    gt, lq = map(LmdbStore, pair)
    swapped = np.arange(40)[::-1]
    parts = [Part(gt, lq, range(40), range(40)), Part(gt, None, range(0), range(0)), Part(gt, None, swapped, swapped)]
    entries = Entries(parts, 2)
    expected = [(gt, lq, n, n, *SIZES[KEYS[n]], KEYS[n]) for n in range(40)]
    expected += [(gt, None, n, n, *SIZES[KEYS[n]], KEYS[n]) for n in range(39, -1, -1)]
    assert [entries[n] for n in range(80)] == expected and len(entries) == 80 and len(entries._kept) <= 5
    assert [entries.key(n) for n in range(80)] == KEYS + KEYS[::-1] == [entries[n].lq_key for n in range(80)]
    assert np.concatenate([np.stack(each, 1) for each in entries.sizes()]).tolist() == [
        list(SIZES[key]) for key in KEYS + KEYS[::-1]
    ]
    assert entries.channels().tolist() == [3] * 80
    kept = np.arange(80) % 3 == 1
    chosen = [each[2:] for n, each in enumerate(expected) if n % 3 == 1]
    for some in (entries.only(kept), entries.only(np.ones(80, bool)).only(kept)):
        assert [tuple(each)[2:] for each in map(some.__getitem__, range(len(some)))] == chosen
        again = pickle.loads(pickle.dumps(some))
        assert [tuple(again[n])[2:] for n in range(len(again))] == chosen


def test_what_is_too_small_is_left_out_and_the_first_are_named(pair: tuple[Path, Path], caplog) -> None:
    caplog.set_level(logging.INFO, "srtoolbox")
    gt, lq = map(str, pair)
    kept = [key for key in KEYS if min(SIZES[key]) >= 4]
    for dataset in (
        PairedDataset(gt, lq, 2, gt_size=8, small="skip", sampling="area"),
        GTOnlyDataset(gt, 2, gt_size=8, small="skip", sampling="area"),
    ):
        assert dataset.keys() == kept and len(dataset) == len(kept)
        assert dataset.draw_weights().tolist() == [SIZES[key][0] * SIZES[key][1] for key in kept]
        assert [dataset.sample(Draw(n, n, 0))["key"] for n in range(len(kept))] == kept
        assert [dataset[n]["lq"].shape[:2] for n in (0, -1)] == [SIZES[kept[0]], SIZES[kept[-1]]]
    assert len(caplog.messages) == 2 and "000.png: 6x4" in caplog.messages[0]
    assert caplog.messages[0].endswith(f"and {40 - len(kept) - 10} more")
    with pytest.raises(DataError, match=rf"{40 - len(kept)} of 40 images smaller(.|\n)*000\.png: 6x4"):
        PairedDataset(gt, lq, 2, gt_size=8)


def test_the_first_images_and_single_colours(pair: tuple[Path, Path]) -> None:
    gt, lq = map(str, pair)
    assert PairedDataset([gt, gt], [lq, lq], 2, max_images=3).keys() == KEYS[:3] * 2
    with pytest.raises(DataError, match=r"40 images are in colour(.|\n)*000\.png(.|\n)*and 30 more"):
        PairedDataset(gt, lq, 2, channels=1)
    with pytest.raises(DataError, match=r"gt\.lmdb:000\.png: 6x4 is too small to be reduced by 5"):
        GTOnlyDataset(gt, 5)
