"""Graphs of several processes: gradients are averaged between them, and all ranks go the same way."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import pytest
from torch import Tensor

from srtoolbox import dist
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.step import graph
from srtoolbox.registry import LOSSES
from tests.engine.graph_losses import Plugin, SureLoss
from tests.engine.graphs import GAN, QUICK, loss, strip
from tests.engine.ranks import run_on_ranks
from tests.engine.recorded import RecordedGraphs
from tests.engine.runs import build, differing, final_state, flatten, run

RELATIVISTIC = "model.gan_loss.type=RelativisticGANLoss"


@pytest.mark.parametrize(
    "changes",
    [(), ("accumulate=2", "optim.generator.clip=0.01"), GAN, (*GAN, RELATIVISTIC)],
    ids=["plain", "accumulated", "gan", "relativistic"],
)
def test_two_ranks_average_their_gradients_between_graphs(
    changes: tuple[str, ...], tiny_config: Path, tmp_path: Path
) -> None:
    captured = tmp_path / "captured"

    def work() -> int:
        for name, setting in (("eager", False), ("graph", True)):
            graphs = RecordedGraphs()
            graph.graphs_for = lambda device, graphs=graphs: graphs  # type: ignore[misc] # of this process alone
            more = ("hooks.evaluate=None", "hooks.checkpoint.best=None", "max_iters=5", f"runtime.graph={setting}")
            run(tiny_config, tmp_path / name, *more, *changes)
            captured.write_text(f"{graphs.captures} {graphs.replays}")
        dist.leave(0)
        return 0

    run_on_ranks(tmp_path / "ranks", work, seconds=200)
    eager, by_graph = (final_state(tmp_path / name, 5) for name in ("eager", "graph"))
    assert differing(eager, by_graph) == []
    if RELATIVISTIC in changes:  # its ranks ask each other in the middle of a step
        assert captured.read_text() == "0 0"
    elif changes == GAN:  # two kinds of steps, of three parts each
        assert captured.read_text() == "6 12"
    else:
        assert captured.read_text() == "2 8"


def test_ddp_comes_where_steps_of_two_ranks_are_taken_by_operators(tiny_config: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def work() -> int:
        graph.graphs_for = lambda device: RecordedGraphs()  # type: ignore[assignment] # of this process alone
        runner = build(tiny_config, tmp_path / "run", *QUICK, loss("Counting"), "runtime.graph=True")
        kinds = [type(runner.model.generator).__name__]
        for number in iterations(runner):
            if number in (1, 9):  # the first makes the moments, and the next is not captured
                kinds.append(type(runner.model.generator).__name__)
        if dist.is_main():
            seen.write_text(" ".join(kinds))
        runner.close()
        dist.leave(0)
        return 0

    run_on_ranks(tmp_path / "ranks", work, seconds=200)
    assert seen.read_text() == "ESPCN ESPCN DistributedDataParallel"


@LOSSES.register
class CountingOnOne(Plugin):
    """Counts its calls on one rank only."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = [0]

    def factor(self) -> float:
        self.calls[0] += dist.is_main()
        return 1.0


def test_what_one_rank_counts_ends_the_graphs_of_all(tiny_config: Path, tmp_path: Path) -> None:
    def work() -> int:
        for name, setting in (("eager", False), ("graph", True)):
            graph.graphs_for = lambda device: RecordedGraphs(3)  # type: ignore[assignment] # of this process alone
            more = ("hooks.evaluate=None", "hooks.checkpoint.best=None", "max_iters=4", f"runtime.graph={setting}")
            run(tiny_config, tmp_path / name, *more, loss("CountingOnOne"))
        dist.leave(0)
        return 0

    run_on_ranks(tmp_path / "ranks", work, seconds=60)
    eager, by_graph = (final_state(tmp_path / name, 4) for name in ("eager", "graph"))
    assert differing(eager, by_graph) == []


CALLS = [0]


@LOSSES.register
class FailingOnOne(SureLoss):
    """Fails in its `at`-th call, on rank 1 only; says that a graph can hold it."""

    capturable = True

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        CALLS[0] += 1
        if CALLS[0] == self.at and dist.rank() == 1:
            raise ValueError("no such thing")
        return super().forward(pred, target)


def test_what_fails_on_one_rank_at_any_point_of_a_capture_ends_the_graphs_of_all(
    tiny_config: Path, tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    """The first call makes moments, three warm up, the fifth is captured."""

    def work() -> int:
        for at in (0, *range(1, 6)):
            graph.graphs_for = lambda device: RecordedGraphs(3)  # type: ignore[assignment] # of this process alone
            CALLS[0] = 0
            failing = f"model.losses.pixel={{'type': 'FailingOnOne', 'at': {at}, '_delete_': True}}"
            runner = build(tiny_config, tmp_path / f"{at}", *QUICK, failing, f"runtime.graph={at > 0}", "max_iters=3")
            for _ in iterations(runner):
                pass
            runner.close()
            (tmp_path / f"weights{at}_{dist.rank()}").write_bytes(pickle.dumps(flatten(strip(runner.state_dict()))))
            (tmp_path / f"lines{at}_{dist.rank()}").write_text("\n".join(warnings.messages))
            warnings.clear()
        dist.leave(0)
        return 0

    run_on_ranks(tmp_path / "ranks", work, seconds=60)
    for at, rank in itertools.product(range(1, 6), range(2)):
        states = [pickle.loads((tmp_path / f"weights{number}_{rank}").read_bytes()) for number in (0, at)]
        assert differing(*states) == []
        assert "ValueError: no such thing" in (tmp_path / f"lines{at}_{rank}").read_text()
