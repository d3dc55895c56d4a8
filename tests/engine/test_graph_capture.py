"""What a capture would freeze is found: the run goes on without a graph and says why."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.run import Run
from srtoolbox.engine.step import cuda, frozen, graph
from srtoolbox.engine.step.capture import distance
from srtoolbox.models.restorers.base import Restorer
from srtoolbox.registry import HOOKS, LOSSES, MODELS, OPTIMIZERS
from tests.engine.graph_losses import Plugin
from tests.engine.graphs import Place, Trained, loss
from tests.engine.runs import build
from tests.engine.stand_in import waits_of
from tests.engine.test_no_waiting import CASES, QUIET, config_of


@LOSSES.register
class Innocent(Plugin):
    """Does the same in each step."""


@LOSSES.register
class Dicing(Plugin):
    """Draws from Python's random numbers."""

    def factor(self) -> float:
        return random.random()


@LOSSES.register
class Asking(Plugin):
    """Asks the device for a value."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = F.l1_loss(pred, target)
        return loss * 2 if loss.item() > 0.1 else loss


CLOCK = [0]


@LOSSES.register
class Hidden(Plugin):
    """Ramps by what no attribute shows."""

    def factor(self) -> float:
        return 1.0 + CLOCK[0]


@MODELS.register
class Ramping(Restorer):
    """Weighs its losses by the iteration."""

    def image_losses(self, sr: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {name: term * (1 + self.iteration) for name, term in super().image_losses(sr, batch).items()}


@MODELS.register
class ByKey(Restorer):
    """Weighs its losses by the name of an image."""

    def image_losses(self, sr: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {name: term * len(batch["key"][0]) for name, term in super().image_losses(sr, batch).items()}


@MODELS.register
class ByDraw(Restorer):
    """Weighs its losses by a number of the batch that is a tensor."""

    def image_losses(self, sr: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {name: term * batch["draw"][0] for name, term in super().image_losses(sr, batch).items()}


def tick(runner: Run) -> None:
    CLOCK[0] = runner.iter


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (loss("Counting"), "draws or counts on the host, where a graph does nothing (losses.pixel.calls changed)"),
        (loss("Dicing"), "Python's random numbers changed"),
        (loss("Asking"), "Asking.forward (test_graph_capture.py, line"),
        (loss("Hidden"), "the term 'pixel' is"),
        ("model.type=ByKey", "the term 'pixel' is"),
        ("model.type=Ramping", "Ramping.image_losses asks for the iteration"),
    ],
    ids=["counter", "random", "waiting", "hidden", "key", "iteration"],
)
def test_what_a_graph_cannot_hold_is_taken_by_operators(
    change: str, words: str, trained: Trained, warnings: pytest.LogCaptureFixture
) -> None:
    CLOCK[0] = 0
    state = random.getstate()

    def act(runner: Run) -> None:
        if runner.iter == 9:
            CLOCK[0] = 0
        else:
            tick(runner)

    trained(change, act=act)
    random.setstate(state)
    (message,) = warnings.messages
    assert "not captured in a graph" in message and words in message


@OPTIMIZERS.register
class Slowing(torch.optim.Optimizer):
    """Counts its steps by a number of Python's."""

    def __init__(self, params: Any, lr: float = 1e-2) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"] = state.get("step", 0) + 1
                parameter -= parameter.grad * (group["lr"] / state["step"])


@OPTIMIZERS.register
class Grouping(Slowing):
    """Counts its steps in its group."""

    def __init__(self, params: Any, lr: float = 1e-2) -> None:
        torch.optim.Optimizer.__init__(self, params, {"lr": lr, "count": 0})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["count"] += 1
            for parameter in group["params"]:
                parameter -= parameter.grad * (group["lr"] / group["count"])


@OPTIMIZERS.register
class Replacing(Slowing):
    """Keeps tensors in lists, which it changes in place, and then others in their places."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                kept = self.state[parameter].setdefault("kept", [torch.zeros_like(parameter)])
                kept[0] += parameter.grad
                kept[0] = kept[0] * 0.9
                parameter -= kept[0] * group["lr"]


COUNTING = ("Adan", "Prodigy", "SOAP", "ScheduleFreeAdamW", "ScheduleFreeSGD")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("NAdam", "operation not permitted"),
        ("Slowing", "optimizer.state changed"),
        ("Grouping", "optimizer.param_groups[0].count changed"),
        ("Replacing", "optimizer.state changed"),
        ("Adan", "Adan counts its steps on the host"),
        *(pytest.param(kind, f"{kind} counts its", marks=pytest.mark.slow) for kind in COUNTING[1:]),
    ],
)
def test_an_optimizer_that_counts_on_the_host_is_taken_by_operators(
    kind: str, words: str, trained: Trained, warnings: pytest.LogCaptureFixture
) -> None:
    if kind in COUNTING:
        pytest.importorskip("pytorch_optimizer")
    schedule = "optim.generator.scheduler=None", "optim.generator.milestones=None"
    trained(f"optim.generator.optimizer={{'type': '{kind}', 'lr': 0.001, '_delete_': True}}", *schedule)
    (message,) = warnings.messages
    assert words in message


@OPTIMIZERS.register
class Doubting(Slowing):
    """Asks the device for a value in the middle of its step."""

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad.abs().max().item() > 0:
                    parameter -= parameter.grad * group["lr"]


@pytest.mark.parametrize("clip", [None, 0.01])
def test_a_capture_that_breaks_off_leaves_the_scale_as_it_was(
    clip: float | None, trained: Trained, warnings: pytest.LogCaptureFixture
) -> None:
    optimizer = "optim.generator.optimizer={'type': 'Doubting', 'lr': 0.001, '_delete_': True}"
    trained("runtime.amp=fp16", optimizer, f"optim.generator.clip={clip}")
    (message,) = warnings.messages
    assert "Doubting.step" in message


@pytest.mark.parametrize(("factor", "is_same"), [(1.0, True), (1.001, True), (0.0, False), (1.5, False)])
def test_an_update_that_is_missing_is_not_hidden_by_counts_and_scales(factor: float, is_same: bool) -> None:
    start = [torch.zeros(100, 10), *torch.zeros(50), torch.tensor(65536.0), torch.zeros(5, dtype=torch.bool)]
    expected = [torch.full((100, 10), 1e-4), *torch.ones(50), torch.tensor(131072.0), torch.zeros(5, dtype=torch.bool)]
    by_graph = [factor * expected[0], *expected[1:]]
    assert (distance(by_graph, expected, start) is None) is is_same


def test_a_capture_that_broke_off_is_ended_for_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def capture_end(self) -> None:
            raise RuntimeError("operation failed due to a previous error during capture")

    ended: list[object] = []
    graphs = cuda.CudaGraphs.__new__(cuda.CudaGraphs)
    graphs.device, graphs.pool, graphs._graph = torch.device("cuda", 0), (0, 7), Broken()
    monkeypatch.setattr(cuda, "end_captures_in", lambda *place: ended.extend(place))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    generator = SimpleNamespace(clone_state=lambda: None, graphsafe_set_state=lambda state: None)
    monkeypatch.setattr(torch.cuda, "default_generators", (generator,))
    graphs.break_off()
    assert ended == [(0, 7), torch.device("cuda", 0)]


def test_a_plugin_that_says_nothing_is_verified_and_captured(
    trained: Trained, place: Place, warnings: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified, verify = [], graph.GraphStep._verify

    def watched(step: graph.GraphStep, *arguments: Any) -> dict[str, Tensor]:
        verified.append(step.run.iter)
        return verify(step, *arguments)

    monkeypatch.setattr(graph.GraphStep, "_verify", watched)
    trained(loss("Innocent"))
    assert verified == [1, 2, 4, 8] and not warnings.messages and place.graphs.captures == 1


@MODELS.register
class SurelyByDraw(ByDraw):
    """Says of itself that a graph can hold it."""

    capturable = True


@pytest.mark.parametrize("kind", ["ByDraw", "SurelyByDraw"])
def test_other_tensors_of_a_batch_come_into_the_graph(kind: str, trained: Trained, place: Place) -> None:
    trained(f"model.type={kind}")
    assert place.graphs.captures == 1


@HOOKS.register
class ClampHook(Hook):
    """Keeps weights small, before they are averaged."""

    phase = Phase.UPDATE

    @torch.no_grad()
    def after_iter(self, runner: Run) -> None:
        for parameter in runner.networks["generator"].parameters():
            parameter.clamp_(-0.05, 0.05)


def test_an_average_stays_out_of_the_graph_behind_a_hook_that_changes_weights(trained: Trained) -> None:
    _, by_graph = trained("hooks={'clamp': {'type': 'ClampHook'}, 'ema': {'type': 'EMAHook'}, '_delete_': True}")
    assert by_graph.in_step == frozenset()
    _, by_graph = trained("hooks.clamp={'type': 'ClampHook'}")
    assert by_graph.in_step == {"ema"}


@LOSSES.register
class Noisy(Plugin):
    """Draws on the device."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(F.dropout(pred, 0.3), target)


def test_random_numbers_of_the_device_go_on_in_a_graph(trained: Trained, place: Place) -> None:
    trained(loss("Noisy"))
    assert place.graphs.captures == 1


@pytest.mark.parametrize("case", CASES)
def test_nothing_waits_where_a_graph_is_replayed(
    case: str, place: Place, tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, (give, take) = torch.device("cpu"), (frozen.random_state, frozen.set_random_state)
    monkeypatch.setattr(frozen, "random_state", lambda device: give(cpu))  # no GPU has any
    monkeypatch.setattr(frozen, "set_random_state", lambda state, device: take(state, cpu))
    variant, *changes = CASES[case]
    changes = [*QUIET, *changes, "runtime.graph=True"]
    waits = waits_of(build(config_of(variant, tmp_path, photo_folder), tmp_path / "run", *changes), 9, monkeypatch)
    assert place.graphs.replays == 8
    assert [*waits[2:4], *waits[5:]] == [{}] * 6  # of the second the capture reads random states, on the host
    assert waits[4], "a line of the log reads the terms: the watch has not seen it"
