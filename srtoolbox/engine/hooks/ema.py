"""Exponential moving average of a network's weights, as a network of its own: `<network>_ema`, never swapped in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from srtoolbox.dist import unwrap
from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.errors import ConfigError
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from srtoolbox.engine.runner import Runner


@HOOKS.register
class EMAHook(Hook):
    """Keeps `ema = decay * ema + (1 - decay) * weights` of one network, buffers (BatchNorm statistics) averaged too.

    Evaluation and `load_network` use the average where there is one.

    Args:
        decay: share of the old average kept at each iteration, in [0, 1).
        network: which of the model's networks.
    """

    phase = Phase.UPDATE

    def __init__(self, decay: float = 0.999, network: str = "generator") -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"EMAHook: decay is a share in [0, 1), got {decay}")
        self.decay = decay
        self.network = network

    def set_up(self, runner: Runner) -> None:
        source = runner.networks[self.network]
        self.average = AveragedModel(source, multi_avg_fn=get_ema_multi_avg_fn(self.decay), use_buffers=True)
        self.average.requires_grad_(False)
        # the counter stays on the CPU, where testing it for zero costs no wait for the device
        self.average.n_averaged = self.average.n_averaged.cpu()
        self.average.update_parameters(source)  # the first update copies: the average starts at the initial weights
        runner.networks[f"{self.network}_ema"] = self.average.module

    def after_iter(self, runner: Runner) -> None:
        self.average.update_parameters(unwrap(runner.networks[self.network]))

    def state_dict(self) -> dict[str, Any]:
        return {"n_averaged": int(self.average.n_averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.n_averaged = torch.tensor(state["n_averaged"])
