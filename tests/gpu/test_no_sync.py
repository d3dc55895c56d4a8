"""On a GPU: between two lines of the log no iteration waits for the device. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.devices import DeviceWaits
from srtoolbox.engine.loop import iterations
from srtoolbox.registry import LOSSES
from tests.engine.runs import build
from tests.engine.test_no_waiting import CASES, QUIET, config_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_GPU = ("runtime.device=cuda", "runtime.amp=None", "runtime.compile=False")


@contextmanager
def strict() -> Iterator[None]:
    """Let CUDA raise where something waits for it, but for events."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_nothing_waits_between_two_lines(case: str, graph: bool, tmp_path: Path, photo_folder: Path) -> None:
    variant, *changes = CASES[case]
    changes = [*QUIET, *ON_GPU, f"runtime.graph={graph}", *changes]
    runner = build(config_of(variant, tmp_path, photo_folder), tmp_path / "run", *changes)
    steps = iterations(runner)
    for _ in range(5):  # kernels are chosen, the optimizer makes its state, a graph is captured, a line is logged
        next(steps)
    with strict(), DeviceWaits() as watch:
        for _ in range(4):
            next(steps)
    assert not watch.calls
    with DeviceWaits() as watch:
        next(steps)  # the line of the log
    assert watch.calls


def test_cuda_and_the_watch_see_one_that_waits(tmp_path: Path, photo_folder: Path, register) -> None:
    class Waiting(nn.Module):
        """A loss as a plugin may have it."""

        def __init__(self) -> None:
            super().__init__()

        def forward(self, pred: Tensor, target: Tensor) -> Tensor:
            loss = (pred - target).abs().mean()
            return loss * float(loss.detach())

    register(LOSSES, Waiting)
    changes = (
        *QUIET,
        *ON_GPU,
        "runtime.graph=False",
        "hooks.patches=None",
        "model.losses={'pixel': {'type': 'Waiting', '_delete_': True}}",
    )
    runner = build(config_of("plain", tmp_path, photo_folder), tmp_path / "run", *changes)
    steps = iterations(runner)
    with DeviceWaits() as watch:
        next(steps)
    assert ("float()", Path(__file__).name) in {(name, Path(place).name.split(":")[0]) for name, place in watch.calls}
    with strict(), pytest.raises(RuntimeError, match="synchroniz"):
        next(steps)
