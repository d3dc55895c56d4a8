"""Steps replayed from a graph equal steps taken operator by operator, or the run goes on without one and says why.

On the CPU by the stand-in `RecordedGraphs`, to the last bit; `tests/gpu` has the same tests for CUDA, to rounding.
"""

from __future__ import annotations

import itertools
import logging
import math
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox import dist
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import iterations
from srtoolbox.engine.run import Run
from srtoolbox.engine.step import cuda, frozen, graph
from srtoolbox.engine.step.capture import distance
from srtoolbox.models.restorers.base import Restorer
from srtoolbox.registry import HOOKS, LOSSES, MODELS, OPTIMIZERS, TRANSFORMS
from tests.engine.ranks import run_on_ranks
from tests.engine.recorded import RecordedGraphs
from tests.engine.runs import build, differing, final_state, flatten, records, run
from tests.engine.stand_in import waits_of
from tests.engine.test_no_waiting import CASES, QUIET, config_of

QUICK = ("max_iters=9", "hooks.evaluate=None", "hooks.checkpoint=None")


class Place(NamedTuple):
    """Where the tests run: what captures there, settings, and whether equal is equal to the bit."""

    graphs: Any  # counts captures and replays
    settings: tuple[str, ...]
    is_exact: bool


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    graphs = RecordedGraphs()
    monkeypatch.setattr(graph, "graphs_for", lambda device: graphs)
    return Place(graphs, ("runtime.device=cpu",), is_exact=True)


Trained = Callable[..., tuple[Run, Run]]
Act = Callable[[Run], None]


@pytest.fixture
def trained(place: Place, tiny_config: Path, tmp_path: Path) -> Iterator[Trained]:
    """Train a config eagerly and by graphs, `act` after each iteration; what they end with must be alike."""

    def both(*changes: str, act: Act = lambda run: None) -> tuple[Run, Run]:
        runs: list[Run] = []
        for name, setting in (("eager", False), ("graph", True)):
            settings = (*QUICK, *place.settings, *changes, f"runtime.graph={setting}")
            runner = build(tiny_config, tmp_path / f"{name}{len(list(tmp_path.iterdir()))}", *settings)
            for _ in iterations(runner):
                act(runner)
            runner.close()
            runs.append(runner)
        assert_alike(*runs, is_exact=place.is_exact)
        return runs[0], runs[1]

    yield both


def assert_alike(eager: Run, by_graph: Run, *, is_exact: bool) -> None:
    left, right = (strip(runner.state_dict()) for runner in (eager, by_graph))
    if is_exact:
        assert differing(flatten(left), flatten(right)) == []
        return
    for name, weights in left["networks"].items():
        for key, value in weights.items():
            torch.testing.assert_close(right["networks"][name][key], value, rtol=1e-2, atol=1e-3)


def strip(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != "config"}


@LOSSES.register
class SureLoss(nn.Module):
    """The mean distance; NaN for some batches, told on the device."""

    capturable = True

    def __init__(self, above: float = math.inf) -> None:
        super().__init__()
        self.above = above

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        factor = torch.where(target.mean() > self.above, torch.full_like(target.mean(), math.nan), 1.0)
        return factor * F.l1_loss(pred, target)


NORM = "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 1, '_delete_': True}"
GAN = (
    "model.type=GANRestorer",
    "model.generator.colour=rgb",
    "model.gan_loss={'type': 'GANLoss', 'r1_weight': 1.0, 'r1_interval': 2}",
    "model.discriminator={'type': 'VGGDiscriminator', 'input_size': 24, 'channels': [4, 4], 'fc': [8]}",
    "optim.discriminator={'optimizer': {'type': 'Adam'}}",
)
MOMENTUM = "optim.generator.optimizer={'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, '_delete_': True}"
RPROP = "optim.generator.optimizer={'type': 'Rprop', 'lr': 0.001, '_delete_': True}"


@TRANSFORMS.register
class Noising:
    """A degradation that chooses its strength on the host."""

    def __init__(self) -> None:
        pass

    def __call__(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        strength = torch.rand(()).item()
        return {**images, "lq": images["lq"] + strength * torch.rand_like(images["lq"])}


@TRANSFORMS.register
class Sharpening:
    """Adds another image, which losses may compare with."""

    def __call__(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**images, "sharp": images["gt"] + torch.rand_like(images["gt"])}


VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "accumulated": ("accumulate=3",),
    "clipped": ("optim.generator.clip=0.01",),
    "bf16": ("runtime.amp=bf16",),
    "fp16": ("runtime.amp=fp16",),
    "fp16, clipped": ("runtime.amp=fp16", "optim.generator.clip=0.01"),
    "fp16, not fused": ("runtime.amp=fp16", RPROP),
    "degraded": ("model.preprocess={'type': 'Noising'}",),
    "degraded, accumulated": ("model.preprocess={'type': 'Noising'}", "accumulate=2"),
    "another target": ("model.preprocess={'type': 'Sharpening'}", "model.targets={'pixel': 'sharp'}"),
    "normalised": (NORM,),
    "frozen": (NORM, "optim.generator.frozen=['conv_first']"),
    "groups": ("optim.generator.param_groups={'conv3': {'lr': 1e-4, 'weight_decay': 0.1}}",),
    "momentum": (MOMENTUM,),
    "not fused": (RPROP,),
    "SGD": ("optim.generator.optimizer={'type': 'SGD', 'lr': 0.01, '_delete_': True}",),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_graph_takes_the_steps_of_the_operators(variant: str, trained: Trained, place: Place) -> None:
    trained(*VARIANTS[variant])
    assert place.graphs.captures == 1
    assert place.graphs.replays == (9 if variant == "SGD" else 8)  # the first step makes the moments


@pytest.mark.parametrize(
    ("changes", "captures", "eager_steps"),
    # of the last: four, since where the generator's moments come, a kind that has a graph is captured anew
    [((), 2, 1), (("model.disc_steps=2", "model.disc_init_iters=3"), 4, 2)],
)
def test_each_kind_of_step_of_a_gan_has_its_graph(
    changes: tuple[str, ...], captures: int, eager_steps: int, trained: Trained, place: Place
) -> None:
    trained(*GAN, *changes)
    assert place.graphs.captures == captures and place.graphs.replays == 9 - eager_steps


def test_a_bad_first_step_makes_no_momentum(trained: Trained, place: Place) -> None:
    eager, _ = trained(MOMENTUM, "model.losses.pixel={'type': 'SureLoss', 'above': 0.41, '_delete_': True}")
    assert place.graphs.replays == 7 and eager.optims["generator"].skipped_steps.total


def test_a_bad_step_is_left_out_within_the_graph(trained: Trained, place: Place) -> None:
    eager, by_graph = trained(NORM, "model.losses.pixel={'type': 'SureLoss', 'above': 0.45, '_delete_': True}")
    assert 0 < by_graph.optims["generator"].skipped_steps.total < 9
    assert eager.optims["generator"].skipped_steps.total == by_graph.optims["generator"].skipped_steps.total
    assert place.graphs.captures == 1


# --- what changes under a graph


def replace_data(runner: Run) -> None:
    if runner.iter == 4:
        parameter = next(runner.networks["generator"].parameters())
        parameter.data = parameter.detach() * 0.5


def load_again(runner: Run) -> None:
    if runner.iter == 3:
        vars(runner)["kept"] = strip(runner.state_dict())
        kept = vars(runner)["kept"]
        for part in ("networks", "optims"):
            kept[part] = {name: _copied(state) for name, state in kept[part].items()}
    if runner.iter == 6:
        for name, state in vars(runner)["kept"]["networks"].items():
            runner.networks[name].load_state_dict(state)
        for name, state in vars(runner)["kept"]["optims"].items():
            runner.optims[name].load_state_dict(state)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value.clone() if isinstance(value, Tensor) else value


def halve_the_weight(runner: Run) -> None:
    if runner.iter == 5:
        runner.model.losses["pixel"].weight /= 2


def thaw(runner: Run) -> None:
    if runner.iter == 5:
        next(runner.networks["generator"].parameters()).requires_grad_(False)


@LOSSES.register
class Tabled(SureLoss):
    """Weighs the distance by what containers hold."""

    capturable = True

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.table = [1.0, 3.0], {"scale": ([2.0], "mean")}

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.weights[0] * self.table["scale"][0][0] * super().forward(pred, target)


def change_a_list(runner: Run) -> None:
    if runner.iter == 5:
        runner.model.losses["pixel"].weights[0] = 0.25


def change_within_a_dict(runner: Run) -> None:
    if runner.iter == 5:
        runner.model.losses["pixel"].table["scale"][0][0] = 0.5


@pytest.mark.parametrize("act", [change_a_list, change_within_a_dict])
def test_what_a_hook_changes_in_place_is_captured_anew(act: Act, trained: Trained, place: Place) -> None:
    trained(loss("Tabled"), act=act)
    assert place.graphs.captures == 2 and place.graphs.replays == 8


@pytest.mark.parametrize(
    ("value", "is_constant"),
    [
        ([1, {"a": (None, {2.0})}], True),
        ([0] * (frozen.MOST_VALUES + 1), False),
        ([torch.ones(2)], False),
        ({"a": nn.ReLU()}, False),
    ],
    ids=["nested", "large", "tensors", "modules"],
)
def test_small_containers_of_plain_values_are_constants(
    value: object, is_constant: bool, tiny_config: Path, tmp_path: Path
) -> None:
    runner = build(tiny_config, tmp_path, *QUICK, loss("Tabled"))
    runner.close()
    vars(runner.model.losses["pixel"])["value"] = value
    constants = frozen.Constants(runner, {})
    assert constants.change() is None
    container = value if isinstance(value, list) else list(value.values())  # type: ignore[attr-defined]
    container.append(torch.ones(3))  # with which nothing compares
    container[0] = torch.ones(3)
    assert constants.change() == ("losses.pixel.value" if is_constant else None)


@pytest.mark.parametrize("act", [replace_data, load_again, halve_the_weight, thaw])
def test_what_changes_under_a_graph_is_captured_anew(act: Act, trained: Trained, place: Place) -> None:
    trained(act=act)
    assert place.graphs.captures == 2 and place.graphs.replays == 8


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "srtoolbox")
    return caplog


def ramp(runner: Run) -> None:
    runner.model.losses["pixel"].weight = 1 + runner.iter


ONE_CYCLE = "optim.generator.scheduler={'type': 'OneCycleLR', 'max_lr': 0.01, 'total_steps': 20, '_delete_': True}"


@pytest.mark.parametrize(
    ("changes", "act", "name"),
    [
        ((), ramp, "losses.pixel.weight"),
        ((ONE_CYCLE, "optim.generator.milestones=None"), lambda runner: None, "optim.generator.optimizer.betas"),
    ],
    ids=["weight", "betas"],
)
def test_what_changes_in_each_step_is_captured_no_more(
    changes: tuple[str, ...], act: Act, name: str, trained: Trained, warnings: pytest.LogCaptureFixture
) -> None:
    trained(*changes, act=act)
    (message,) = warnings.messages
    assert f"{name} changes from step to step" in message


# --- what a capture would freeze


class Plugin(nn.Module):
    """Base of losses as a user writes them; says nothing of graphs."""

    def __init__(self) -> None:
        super().__init__()

    def factor(self) -> float:
        return 1.0

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.factor() * F.l1_loss(pred, target)


@LOSSES.register
class Innocent(Plugin):
    """Does the same in each step."""


@LOSSES.register
class Counting(Plugin):
    """Ramps by a counter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = [1000]

    def factor(self) -> float:
        self.calls[0] += 1
        return self.calls[0] / 1000


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


def loss(kind: str) -> str:
    return f"model.losses.pixel={{'type': '{kind}', '_delete_': True}}"


def tick(runner: Run) -> None:
    CLOCK[0] = runner.iter


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (loss("Counting"), "draws or counts on the host, where a graph does nothing (losses.pixel.calls changed)"),
        (loss("Dicing"), "Python's random numbers changed"),
        (loss("Asking"), "Asking.forward (test_graph_step.py, line"),
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


@pytest.mark.parametrize(
    ("kind", "words"), [("NAdam", "operation not permitted"), ("Slowing", "optimizer.state changed")]
)
def test_an_optimizer_that_counts_on_the_host_is_taken_by_operators(
    kind: str, words: str, trained: Trained, warnings: pytest.LogCaptureFixture
) -> None:
    trained(f"optim.generator.optimizer={{'type': '{kind}', 'lr': 0.001, '_delete_': True}}")
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


# --- several processes

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
        CLOCK[0] = 0
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


# --- resume


@pytest.mark.parametrize("changes", [(), GAN], ids=["plain", "gan"])
def test_a_resume_through_graphs_is_exact(
    changes: tuple[str, ...], place: Place, tiny_config: Path, tmp_path: Path
) -> None:
    settings = (*place.settings, *changes, "runtime.graph=True", "hooks.evaluate=None", "max_iters=12")
    settings = (*settings, "hooks.checkpoint.best=None", "runtime.deterministic=True")
    run(tiny_config, tmp_path / "whole", *settings)
    for stop in (4, 7):
        run(tiny_config, tmp_path / f"{stop}", *settings, f"hooks.kill={{'type': 'KillHook', 'at': {stop}}}")
        run(tiny_config, tmp_path / f"{stop}", *settings, resume=True)
        whole, resumed = (final_state(tmp_path / name, 12) for name in ("whole", f"{stop}"))
        assert differing(whole, resumed) == []
        assert records(tmp_path / "whole") == records(tmp_path / f"{stop}")
