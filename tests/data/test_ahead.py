"""Batches made ahead of a device: the loader's, in its order, whatever the device is late with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from srtoolbox.data.datasets.base import Batch
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.loading.ahead import AHEAD, BatchesAhead, Rates, Waits, batches_for
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.loader import WaitInterrupted, build_train_loader
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.errors import DataError, RunError
from srtoolbox.interfaces import BEGUN
from tests.data.batch import steps as _steps
from tests.data.late_device import LateDevice

assert _steps  # registered
FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip"), dict(type="RandomTranspose")]


@pytest.fixture(scope="module")
def dataset(photo_folder: Path) -> GTOnlyDataset:
    return GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=FLIPS)


def same(first: Batch, second: Batch) -> bool:
    tensors = all(torch.equal(first[name], second[name]) for name in ("lq", "gt", "index", "draw"))
    return tensors and first["key"] == second["key"]


class Made:
    """Batches that count up, of which some fail or take long; as many as a test asks for are made."""

    workers = 0

    def __init__(self, hook: Callable[[int], object] = lambda number: None) -> None:
        self.count, self.hook, self.is_closed = 0, hook, False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self.make(torch.empty)

    def make(self, allocate: Callable[..., Tensor]) -> Batch:
        self.count += 1
        self.hook(self.count)
        return {"lq": allocate((2, 3), dtype=torch.uint8).fill_(self.count), "key": [str(self.count)]}

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("eager", [True, False])
def test_they_are_the_batches_of_the_loader(dataset: GTOnlyDataset, workers: int, eager: bool) -> None:
    device = LateDevice(eager=eager)
    expected = list(islice(build_train_loader(dataset, 4, seed=1, start=8), 30))
    batches = BatchesAhead(build_train_loader(dataset, 4, workers=workers, seed=1, start=8), device)
    try:
        found = list(islice(batches, 30))  # before the device has done anything
    finally:
        batches.close()
    device.work_up_to(len(device.work))
    assert all(map(same, expected, found))
    assert device.buffers == 4 * (AHEAD + 4), "buffers are used again"
    assert device.threads == {threading.main_thread()}, "another thread would break a capture"


def test_batches_that_are_begun(photo_folder: Path) -> None:
    """What is left of their plans travels beside the tensors, whose sizes change with the images'."""
    steps = [{"type": kind} for kind in ("Enlarging", "HostBrightening", "Brightening", "Fitting")]
    pipeline = DegradationPipeline(steps, scale=3)
    dataset = GTOnlyDataset(str(photo_folder), 3, gt_size=24, transforms=FLIPS)
    dataset.leave_out_lq()
    loaders = [build_train_loader(dataset, 4, begin=partial(pipeline.begin, group=4)) for _ in range(2)]
    expected = [pipeline.finish(batch) for batch in islice(loaders[0], 20)]
    batches = BatchesAhead(loaders[1], device := LateDevice())
    found = list(islice(batches, 20))
    batches.close()
    device.work_up_to(len(device.work))
    assert len({batch["lq"].shape for batch in found}) > 1 and BEGUN in found[0]
    for one, batch in zip(expected, found, strict=True):
        other = pipeline.finish(batch)
        assert torch.equal(one["lq"], other["lq"]) and torch.equal(one["gt"], other["gt"])


def test_batches_of_any_sizes(photo_folder: Path) -> None:
    whole = GTOnlyDataset(str(photo_folder), 3, crop=None)
    batches = BatchesAhead(build_train_loader(whole, 1), device := LateDevice())
    found = list(islice(batches, 20))
    batches.close()
    device.work_up_to(len(device.work))
    assert all(map(same, build_train_loader(whole, 1), found))


def test_a_buffer_waits_for_its_copy() -> None:
    device = LateDevice()
    batches = BatchesAhead(Made(), device)
    found = [next(batches) for _ in range(3 * AHEAD + 9)]
    assert 0 < device.done < len(device.work), "the host runs ahead, but not so far that buffers are written again"
    batches.close()
    device.work_up_to(len(device.work))
    assert [batch["lq"].unique().tolist() for batch in found] == [[number + 1] for number in range(len(found))]


def test_at_most_a_few_are_made_ahead() -> None:
    made = Made()
    batches = BatchesAhead(made, LateDevice())
    next(batches)
    deadline = time.monotonic() + 10
    while made.count < AHEAD + 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert AHEAD + 3 <= made.count <= AHEAD + 6
    batches.close()


def test_a_batch_does_not_wait_for_the_one_after_it() -> None:
    taken, in_time = threading.Event(), []

    def wait(number: int) -> None:
        if number == 2:
            in_time.append(taken.wait(5))

    batches = BatchesAhead(Made(wait), LateDevice(eager=True))
    next(batches)
    taken.set()
    next(batches)
    batches.close()
    assert in_time == [True]


def test_an_error_comes_with_its_batch_and_not_before() -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise DataError("no such image")

    made = Made(fail)
    batches = BatchesAhead(made, LateDevice(eager=True))
    assert [next(batches)["key"] for _ in range(2)] == [["1"], ["2"]]
    with pytest.raises(DataError, match="no such image"):
        next(batches)
    batches.close()
    assert made.is_closed


def test_closing_ends_the_thread_and_workers_that_are_stuck(photo_folder: Path) -> None:
    before = set(threading.enumerate())
    loader = build_train_loader(Stuck(str(photo_folder), 3, gt_size=24), 4, workers=2)
    batches = BatchesAhead(loader, LateDevice(eager=True))
    assert [batch["draw"].tolist() for batch in islice(batches, 2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    batches.close()
    others = set(threading.enumerate()) - before
    for thread in others:  # a timer that was called off, and what feeds a queue that is closed, end soon
        thread.join(10)
    assert not [thread for thread in others if thread.is_alive()]
    with pytest.raises(RunError, match="closed"):
        next(batches)


class Stuck(GTOnlyDataset):
    """A data set whose samples from draw 8 on take very long, as on a network disk that is gone."""

    def sample(self, draw: Draw) -> dict:
        if draw.number >= 8:
            time.sleep(600)
        return super().sample(draw)


def test_a_signal_ends_the_wait_for_workers(photo_folder: Path) -> None:
    loader = build_train_loader(
        Stuck(str(photo_folder), 3, gt_size=24), 4, workers=1, interrupted=lambda: time.monotonic() > until
    )
    until = time.monotonic() + 600
    batches = BatchesAhead(loader, LateDevice(eager=True))
    list(islice(batches, 2))
    until = time.monotonic()
    with pytest.raises(WaitInterrupted):
        next(batches)
    batches.close()


def test_waits_are_those_that_the_device_has_passed() -> None:
    device = LateDevice()
    batches = BatchesAhead(Made(), device)
    for _ in range(3):
        next(batches)
    assert batches.waits.seconds() == 0
    device.work_up_to(len(device.work))
    first = batches.waits.seconds()
    assert first > 0
    assert batches.waits.seconds() == 0
    assert batches.waits.total == first
    batches.close()


def test_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)

    def sentence(makes: float, asks: float, share: float, workers: int = 0) -> str:
        waits = Waits(LateDevice().mark)
        rates = Rates(workers, waits)
        rates.made, rates.making, waits.total = 1000, 1000 / makes, 100 * share
        rates.taken, rates._start = round(asks * 100 * (1 - share)), time.perf_counter() - 100
        return rates.sentence()

    both = "data: the loader makes {} batches a second, the device asks for {}"
    assert Rates(0, Waits(LateDevice().mark)).sentence() == ""
    assert sentence(2000, 400, 0) == both.format(2000, 400)
    assert sentence(800, 3200, 0.75) == (
        f"{both.format(800, 3200)} and waits 75 % of the time. Try data.train.workers=4 (this machine has 8 CPUs)"
    )
    assert "workers=8 " in sentence(80, 3200, 0.97)
    assert sentence(800, 3200, 0.75, workers=8).endswith(
        "Try smaller samples, or a store that is faster to read (a raw LMDB)"
    )


def test_a_cpu_takes_the_loader_as_it_is(dataset: GTOnlyDataset) -> None:
    loader = build_train_loader(dataset, 4)
    assert batches_for(loader, torch.device("cpu")) is loader
