"""Worker processes by fork and by forkserver: the same bits, and the same plain words for what goes wrong."""

import gc
import multiprocessing
import multiprocessing.util
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox import system
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.loader import TrainLoader, build_train_loader
from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.data.transforms import Transform
from srtoolbox.errors import RunError
from srtoolbox.plugins import load_plugins

PLUGIN = """from srtoolbox.data.transforms import Transform, map_images
from srtoolbox.registry import TRANSFORMS

@TRANSFORMS.register
class {name}(Transform):
    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, sample, rng):
        return map_images(sample, lambda image: {change}) if rng.random() < self.p else sample
"""


@pytest.fixture(params=["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def method(request) -> Iterator[str]:
    """Worker processes start in this way; a server that was started forks all of its kind."""
    if request.param not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {request.param} on this system")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)


def batches(loader: TrainLoader, count: int) -> list[dict]:
    try:
        return list(islice(loader, count))
    finally:
        loader.close()


def same(first: dict, second: dict) -> bool:
    return first["key"] == second["key"] and all(torch.equal(first[name], second[name]) for name in ("lq", "gt"))


def test_plugins_of_one_stem_give_the_bits_of_one_process(method: str, photo_folder: Path, tmp_path: Path) -> None:
    for folder, name, change in (("a", "Negative", "~image"), ("b", "Halved", "image // 2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my_parts.py").write_text(PLUGIN.format(name=name, change=change))
        load_plugins(None, [tmp_path / folder / "my_parts.py"])
    mine = [dict(type="Negative"), dict(type="Halved", p=0.3)]
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=mine)
    alone = batches(build_train_loader(dataset, 4, seed=1), 8)
    plain = batches(build_train_loader(GTOnlyDataset(str(photo_folder), 3, gt_size=24), 4, seed=1), 8)
    assert not any(map(same, alone, plain)), "the transforms must show"
    assert all(map(same, alone, batches(build_train_loader(dataset, 4, workers=2, seed=1), 8)))


@pytest.mark.parametrize("encoding", ["raw", "raw_tiled", "zstd", "png"])
def test_all_kinds_of_lmdb_travel(method: str, encoding: str, photo_folder: Path, tmp_path: Path) -> None:
    if encoding == "zstd":
        pytest.importorskip("zstandard")
    stores = [str(tmp_path / "gt.lmdb"), str(tmp_path / "lq.lmdb")]
    write_stores(make_plan(photo_folder, Recipe(scale=3, encoding=encoding)), stores)
    dataset = PairedDataset(*stores, 3, gt_size=24)
    alone = batches(build_train_loader(dataset, 4, seed=1), 3)
    assert all(map(same, alone, batches(build_train_loader(dataset, 4, workers=1, seed=1), 3)))


class Failing(Transform):
    """Fails in one of several ways from the first sample on, but not in the process that made it."""

    def __init__(self, how: str) -> None:
        self.how, self.parent = how, os.getpid()

    def __call__(self, sample, rng):
        if os.getpid() != self.parent:
            if self.how == "raise":
                raise ValueError("no such\ncamera")
            if self.how == "exit":
                sys.exit("no licence")
            if self.how == "memory":
                raise MemoryError
            if self.how == "leave":
                os._exit(3)
            os.kill(os.getpid(), getattr(signal, self.how))
        return sample


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise", rf"a data worker failed: {__file__}:\d+: ValueError: no such camera\. workers=0 shows"),
        ("exit", rf"a data worker failed: {__file__}:\d+: SystemExit: no licence\."),
        ("memory", rf"a data worker failed: {__file__}:\d+: MemoryError\. Try fewer workers"),
        ("leave", r"data worker died: .*exit code 3\)\. It ended by itself"),
        ("SIGKILL", r"data worker died: .*SIGKILL\)\. The system kills where memory runs out"),
        ("SIGSYS", r"data worker died: .*SIGSYS\)\. That is a crash in compiled code"),
    ],
)
def test_the_true_cause_is_told_on_one_line(method: str, how: str, says: str, photo_folder: Path) -> None:
    if how.startswith("SIG") and not hasattr(signal, how):
        pytest.skip(f"no {how} on this system")
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=[Failing(how)])
    with pytest.raises(RunError, match=says) as caught:
        batches(build_train_loader(dataset, 4, workers=1), 1)
    said = str(caught.value)
    assert "\n" not in said and "Traceback" not in said
    assert how == "SIGKILL" or " memory " not in said


class Always(Transform):
    """Fails in any process."""

    def __call__(self, sample, rng):
        return {}["lq"]


def test_a_transform_that_fails_at_once_is_told_before_a_worker_starts(photo_folder: Path) -> None:
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=[Always()])
    with pytest.raises(RunError, match=rf"^no sample can be made: {__file__}:\d+: KeyError: 'lq'\. workers=0 shows"):
        build_train_loader(dataset, 4, workers=1)
    with pytest.raises(KeyError):  # with its whole traceback
        batches(build_train_loader(dataset, 4), 1)


class Unopenable(GTOnlyDataset):
    """Cannot be made again in another process."""

    def __setstate__(self, state: dict) -> None:
        raise OSError("the camera is in use")


@pytest.mark.parametrize("method", ["forkserver"], indirect=True)
def test_a_dataset_that_fails_as_it_arrives_is_told_with_its_line(method: str, photo_folder: Path) -> None:
    loader = build_train_loader(Unopenable(str(photo_folder), 3, gt_size=24), 4, workers=1)
    with pytest.raises(RunError, match=rf"the training set: cannot be opened.*{__file__}:\d+: OSError: the camera"):
        batches(loader, 1)
    lambdas = GTOnlyDataset(str(photo_folder), 3, gt_size=24)
    lambdas.sort_key = lambda key: key
    with pytest.raises(RunError, match=r"the training set\.sort_key, an attribute of GTOnlyDataset, cannot travel"):
        build_train_loader(lambdas, 4, workers=2)
    assert batches(build_train_loader(lambdas, 4), 1)


def test_images_that_were_read_stay_behind(photo_folder: Path) -> None:
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24)
    before = len(pickle.dumps(dataset))
    for index in range(len(dataset)):
        dataset.sample(Draw(index, index, 0))
    assert dataset._kept and len(pickle.dumps(dataset)) < before + 2000
    travelled = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(travelled.sample(Draw(1, 2, 3))["lq"], dataset.sample(Draw(1, 2, 3))["lq"])


class Cycle:
    """Garbage for the collector alone, which notes the process that collects it."""

    def __init__(self, path: Path) -> None:
        self.path, self.itself = path, self

    def __del__(self) -> None:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")


class CollectTransform(Transform):
    """Collects garbage wherever it runs, as Python may at any time."""

    def __call__(self, sample, rng):
        if multiprocessing.parent_process() is not None:
            gc.collect()
        return sample


@pytest.mark.skipif(not hasattr(system.os, "register_at_fork"), reason="this system forks no processes")
def test_a_forked_worker_leaves_the_garbage_of_its_parent_alone(
    forking: None, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "_leaves_garbage", False)  # which all forks of the tests do
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=[CollectTransform()])
    multiprocessing.util.register_after_fork(dataset, lambda _: gc.collect())  # before anything of ours runs there
    gc.disable()
    try:
        Cycle(tmp_path / "collected")
        batches(build_train_loader(dataset, 2, workers=1), 2)
    finally:
        gc.enable()
    gc.collect()
    assert (tmp_path / "collected").read_text() == f"{os.getpid()}\n"
