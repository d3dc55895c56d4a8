"""Runs by operators and by graphs, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from srtoolbox.engine.run import Run
from tests.engine.runs import differing, flatten

QUICK = ("max_iters=9", "hooks.evaluate=None", "hooks.checkpoint=None")
GAN = (
    "model.type=GANRestorer",
    "model.generator.colour=rgb",
    "model.gan_loss={'type': 'GANLoss', 'r1_weight': 1.0, 'r1_interval': 2}",
    "model.discriminator={'type': 'VGGDiscriminator', 'input_size': 24, 'channels': [4, 4], 'fc': [8]}",
    "optim.discriminator={'optimizer': {'type': 'Adam'}}",
)


class Place(NamedTuple):
    """Where the tests run: what captures there, settings, and whether equal is equal to the bit."""

    graphs: Any  # counts captures and replays
    settings: tuple[str, ...]
    is_exact: bool


Trained = Callable[..., tuple[Run, Run]]
Act = Callable[[Run], None]


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


def loss(kind: str) -> str:
    return f"model.losses.pixel={{'type': '{kind}', '_delete_': True}}"
