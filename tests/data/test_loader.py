"""Batches: the same bit for bit for any number of workers and from any point on; failures told plainly."""

import multiprocessing
import multiprocessing.util
import os
import signal
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import srtoolbox.data.loading.loader as loader_module
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.loader import WaitInterrupted, build_eval_loader, build_train_loader
from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.errors import DataError, RunError, SrtoolboxError
from tests.faults.disk import in_child

FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip"), dict(type="RandomTranspose")]


@pytest.fixture(scope="module")
def dataset(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PairedDataset:
    out = tmp_path_factory.mktemp("lmdb")
    stores = [str(out / "gt.lmdb"), str(out / "lq.lmdb")]
    write_stores(make_plan(photo_folder, Recipe(scale=3)), stores)
    return PairedDataset(*stores, 3, gt_size=24, transforms=FLIPS)


def same(first: dict, second: dict) -> bool:
    tensors = all(torch.equal(first[name], second[name]) for name in ("lq", "gt", "index", "draw"))
    return tensors and first["key"] == second["key"]


def take(count: int, *args, **kwargs) -> list[dict]:
    batches = build_train_loader(*args, **kwargs)
    try:
        return list(islice(batches, count))
    finally:
        batches.close()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(dataset: PairedDataset, workers: int) -> None:
    alone, shared = take(12, dataset, 4, seed=1), take(12, dataset, 4, workers=workers, seed=1)
    assert all(map(same, alone, shared))
    assert not same(alone[0], take(1, dataset, 4, seed=2)[0])


def test_every_resume_point_continues_the_run(dataset: PairedDataset) -> None:
    unbroken = take(15, dataset, 4, seed=1)  # two and a half epochs
    for done in range(15):
        rest = take(15 - done, dataset, 4, workers=2 if done in (1, 7) else 0, seed=1, start=4 * done)
        assert all(map(same, unbroken[done:], rest))
    assert unbroken[-1]["draw"].tolist() == [56, 57, 58, 59]


def test_two_ranks_draw_what_one_process_draws(dataset: PairedDataset) -> None:
    whole = take(6, dataset, 8, seed=1)
    halves = [take(6, dataset, 4, seed=1, rank=rank, world=2) for rank in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        assert torch.equal(batch["gt"], torch.cat([first["gt"], second["gt"]]))


def test_a_batch_in_use_is_left_alone(dataset: PairedDataset) -> None:
    batches = build_train_loader(dataset, 4)
    first = next(batches)
    copy = first["gt"].clone()
    for _ in range(20):
        next(batches)
    assert torch.equal(first["gt"], copy)


def test_batches_hold_the_images(dataset: PairedDataset, photo_folder: Path) -> None:
    batch = take(1, dataset, 6)[0]
    assert sorted(batch["key"]) == sorted(dataset.keys())
    for key, gt in zip(batch["key"], batch["gt"], strict=True):
        whole = dataset[dataset.keys().index(key)]["gt"]
        colours = {tuple(pixel) for pixel in whole.reshape(-1, 3).tolist()}
        assert {tuple(pixel) for pixel in gt.reshape(-1, 3).tolist()} <= colours


def test_a_killed_worker_is_reported(dataset: PairedDataset) -> None:
    batches = build_train_loader(dataset, 4, workers=2)
    next(batches)
    os.kill(batches._batches._workers[0].pid, signal.SIGKILL)
    others = batches._batches._workers[1:]
    time.sleep(1)  # PyTorch's own watch would raise here, in the middle of whatever the training loop does
    with pytest.raises(RunError, match=r"worker died.*pid \d+, SIGKILL"):
        for _ in range(50):
            next(batches)
    assert not any(worker.is_alive() for worker in others)


class Stuck(GTOnlyDataset):
    """A data set whose samples from draw 8 on take very long, as on a network disk that is gone."""

    def sample(self, draw: Draw) -> dict:
        if draw.number >= 8:
            time.sleep(600)
        return super().sample(draw)


def test_closing_ends_workers_that_are_stuck(photo_folder: Path) -> None:
    batches = build_train_loader(Stuck(str(photo_folder), 3, gt_size=24), 4, workers=2)
    workers = batches._batches._workers
    assert len(list(islice(batches, 2))) == 2
    batches.close()
    assert not any(worker.is_alive() for worker in workers)
    assert -signal.SIGKILL in [worker.exitcode for worker in workers]  # not waited for
    with pytest.raises(RunError, match="closed"):
        next(batches)


@pytest.mark.timeout(30)
def test_a_process_with_stuck_workers_ends(photo_folder: Path) -> None:
    """Also where nothing closes the loader: what Python does at its end asks with SIGTERM, which workers ignore."""

    def work() -> None:
        batches = build_train_loader(Stuck(str(photo_folder), 3, gt_size=24), 4, workers=2)
        assert len(list(islice(batches, 2))) == 2
        multiprocessing.util._exit_function()

    assert in_child(work) == 0


def test_a_signal_ends_the_wait_for_a_batch_that_does_not_come(photo_folder: Path) -> None:
    received, asked = [], []

    def interrupted() -> bool:
        asked.append(bool(received))
        return asked[-1]

    batches = build_train_loader(Stuck(str(photo_folder), 3, gt_size=24), 4, workers=2, interrupted=interrupted)
    try:
        assert len(list(islice(batches, 1))) == 1
        received.append(signal.SIGTERM)  # what is there is still handed out
        assert len(list(islice(batches, 1))) == 1
        asked.clear()
        with pytest.raises(WaitInterrupted):
            next(batches)
        assert asked == [True]  # after one turn of waiting
    finally:
        batches.close()


def test_a_bad_image_in_a_worker_is_one_plain_error(photo_folder: Path, tmp_path: Path) -> None:
    for file in photo_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damaged = GTOnlyDataset(str(tmp_path), 3, gt_size=24)
    data = (tmp_path / "cat1.png").read_bytes()
    (tmp_path / "cat1.png").write_bytes(data[: len(data) // 2])
    for workers in (0, 1):
        with pytest.raises(SrtoolboxError, match=r"cat1\.png") as caught:
            take(20, damaged, 4, workers=workers)
        assert "Traceback" not in str(caught.value)


def test_small_shared_memory_is_refused_with_advice(dataset: PairedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    full = loader_module.shutil.disk_usage("/")._replace(free=4096)
    monkeypatch.setattr(loader_module.shutil, "disk_usage", lambda path: full)
    with pytest.raises(RunError, match=r"/dev/shm.*workers=0.*--shm-size"):
        build_train_loader(dataset, 4, workers=2)
    assert len(take(1, dataset, 4)) == 1


def test_bus_error_is_explained() -> None:
    worker = multiprocessing.Process(target=time.sleep, args=(60,))
    worker.start()
    os.kill(worker.pid, signal.SIGBUS)
    worker.join()
    assert "--shm-size" in loader_module._death_notice([worker], RuntimeError())


def test_images_of_different_sizes_are_refused(dataset: PairedDataset, photo: np.ndarray, tmp_path: Path) -> None:
    from srtoolbox.image import write_image

    write_image(tmp_path / "a.png", photo[:24, :24])
    write_image(tmp_path / "b.png", photo[:27, :24])
    with pytest.raises(DataError, match="give the dataset a gt_size"):
        take(1, GTOnlyDataset(str(tmp_path), 3), 2)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_evaluation_sees_each_image_once(dataset: PairedDataset, world: int) -> None:
    seen = [pair for rank in range(world) for pair in build_eval_loader(dataset, rank, world)]
    assert sorted(index for index, _ in seen) == list(range(6))
    assert all(sample["key"] == dataset.keys()[index] for index, sample in seen)
