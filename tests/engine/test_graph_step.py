"""Steps replayed from a graph equal steps taken operator by operator.

On the CPU by the stand-in `RecordedGraphs`, to the last bit; `tests/gpu` has the same tests for CUDA, to rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.engine.run import Run
from srtoolbox.engine.step import frozen
from srtoolbox.registry import LOSSES, TRANSFORMS
from tests.engine.graph_losses import SureLoss
from tests.engine.graphs import GAN, QUICK, Act, Place, Trained, loss, strip
from tests.engine.runs import build, differing, final_state, records, run

NORM = "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 1, '_delete_': True}"
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
    "Muon": ("optim.generator.optimizer={'type': 'Muon', 'lr': 0.003, 'adamw_lr': 0.001, '_delete_': True}",),
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
