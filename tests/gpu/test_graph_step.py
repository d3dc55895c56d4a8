"""On a GPU: steps replayed from a CUDA graph equal steps taken operator by operator, to rounding; resumes are exact.

The tests of `tests/engine/test_graph_{step,capture}.py`, by CUDA's own graphs. Skipped where no GPU is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srtoolbox.devices import DeviceWaits
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.step import graph
from srtoolbox.engine.step.cuda import CudaGraphs
from srtoolbox.registry import LOSSES
from tests.engine.conftest import trained, warnings  # noqa: F401 - fixtures
from tests.engine.graph_losses import Plugin
from tests.engine.graphs import Place, Trained, loss
from tests.engine.runs import build
from tests.engine.test_graph_capture import (  # noqa: F401 - tests
    test_a_plugin_that_says_nothing_is_verified_and_captured,
    test_an_average_stays_out_of_the_graph_behind_a_hook_that_changes_weights,
    test_other_tensors_of_a_batch_come_into_the_graph,
    test_random_numbers_of_the_device_go_on_in_a_graph,
    test_what_a_graph_cannot_hold_is_taken_by_operators,
)
from tests.engine.test_graph_step import (  # noqa: F401 - tests
    test_a_bad_first_step_makes_no_momentum,
    test_a_bad_step_is_left_out_within_the_graph,
    test_a_graph_takes_the_steps_of_the_operators,
    test_a_resume_through_graphs_is_exact,
    test_each_kind_of_step_of_a_gan_has_its_graph,
    test_what_changes_in_each_step_is_captured_no_more,
    test_what_changes_under_a_graph_is_captured_anew,
)
from tests.engine.test_no_waiting import CASES, QUIET, config_of
from tests.gpu.test_no_sync import strict

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class CountedGraphs(CudaGraphs):
    """CUDA's graphs; counts captures and replays."""

    captures = replays = 0

    def end(self) -> Callable[[], None]:
        replay = super().end()
        self.captures += 1

        def counted() -> None:
            self.replays += 1
            replay()

        return counted


@pytest.mark.parametrize("case", CASES)
def test_nothing_waits_where_a_graph_is_replayed(case: str, place: Place, tmp_path: Path, photo_folder: Path) -> None:
    variant, *changes = CASES[case]
    changes = [*QUIET, *changes, "runtime.device=cuda", "runtime.graph=True"]
    steps = iterations(build(config_of(variant, tmp_path, photo_folder), tmp_path / "run", *changes))
    for _ in range(5):  # captured, and the first line is logged
        next(steps)
    with strict(), DeviceWaits() as watch:
        for _ in range(4):
            next(steps)
    assert not watch.calls and place.graphs.replays == 8


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    graphs = CountedGraphs(torch.device("cuda", 0))
    monkeypatch.setattr(graph, "graphs_for", lambda device: graphs)
    return Place(graphs, ("runtime.device=cuda", "runtime.deterministic=True"), is_exact=False)


@LOSSES.register
class Synchronising(Plugin):
    """Waits for the device in a way that the sync-debug mode does not see: a capture breaks off."""

    def factor(self) -> float:
        torch.cuda.synchronize()
        return 1.0


def test_memory_of_two_streams_comes_back_after_a_capture_that_broke_off(
    trained: Trained,  # noqa: F811 - the fixture
    warnings: pytest.LogCaptureFixture,  # noqa: F811 - the fixture
) -> None:
    trained(loss("Synchronising"))
    assert "Synchronising.factor" in warnings.messages[0]
    side = torch.cuda.Stream()
    sizes = []
    for _ in range(2):
        for _ in range(8):
            with torch.cuda.stream(side):
                tensor = torch.zeros(1 << 20, device="cuda")
            tensor.record_stream(torch.cuda.current_stream())
            del tensor
            torch.cuda.synchronize()
        torch.zeros(1, device="cuda")
        sizes.append(torch.cuda.memory_stats()["active_bytes.all.current"])
    assert sizes[1] == sizes[0]
