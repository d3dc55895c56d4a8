"""tools/benchmarks/many_images.py, and what it measures: images cost no object each, and little memory."""

from __future__ import annotations

import gc
import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.loader import build_train_loader

BENCHMARKS = Path(__file__).parents[2] / "tools/benchmarks"
COUNT = 1000


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))  # for processes of its own, too
        yield importlib.import_module("many_images")


def objects_of(benchmark: ModuleType, folder: Path) -> tuple[PairedDataset, int]:
    """The training set of a pair, and the number of objects that opening it made."""
    gc.collect()
    before = sys.getallocatedblocks()
    dataset = benchmark.open_pair(folder)
    gc.collect()
    return dataset, sys.getallocatedblocks() - before


@pytest.mark.slow
def test_images_cost_no_object_each_and_train_alike_in_both_versions(benchmark: ModuleType, tmp_path: Path) -> None:
    for name, count, version in (("first", 50, 2), ("few", 50, 2), ("many", COUNT, 2), ("old", COUNT, 1)):
        benchmark.write_pair(tmp_path / name, count, version=version)
    benchmark.write_pair(tmp_path / "shards", COUNT, shards=benchmark.SHARDS)
    objects_of(benchmark, tmp_path / "first")  # what is imported or cached once
    (_, few), (many, more), (old, _) = (objects_of(benchmark, tmp_path / name) for name in ("few", "many", "old"))
    assert more - few < COUNT / 4
    shards = benchmark.open_pair(tmp_path / "shards")
    assert len(many) == COUNT and many.keys() == old.keys() == shards.keys()
    loaders = (build_train_loader(dataset, 16, seed=3, start=160) for dataset in (many, old, shards))
    for one, *others in itertools.islice(zip(*loaders, strict=True), 5):
        for other in others:
            assert one["key"] == other["key"]
            assert all((one[name] == other[name]).all() for name in ("lq", "gt", "draw"))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's account of memory")
def test_a_pair_is_measured(benchmark: ModuleType, tmp_path: Path) -> None:
    benchmark.write_pair(tmp_path, COUNT)
    measured = benchmark.measure(tmp_path, batches=3)
    assert all(value > 0 for value in measured)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's account of memory")
def test_a_hundred_thousand_images_take_little_memory(benchmark: ModuleType, tmp_path: Path) -> None:
    for name, count in (("empty", 1), ("many", 100_000)):
        benchmark.write_pair(tmp_path / name, count)
    empty, many = (benchmark.measure_alone(tmp_path / name) for name in ("empty", "many"))
    assert many.opened_bytes - empty.opened_bytes < 20 << 20
    assert many.trained_bytes - empty.trained_bytes < 40 << 20
