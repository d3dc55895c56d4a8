"""The exponential moving average of a network's weights, as a network of its own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import foreach_lerp_, is_persistent, own_buffers
from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import unwrap
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run


@HOOKS.register
class EMAHook(Hook):
    """Keep `ema = decay * ema + (1 - decay) * weights` of one network and of its buffers.

    Whole numbers and booleans (indices, masks, counters) are copied, and so is a buffer that has
    just appeared or changed its shape. Evaluation and `load_network` use the average.

    Args:
        decay: share of the old average kept at each iteration, in [0, 1).
        network: which of the model's networks.
    """

    phase = Phase.UPDATE

    def __init__(self, decay: float = 0.999, network: str = "generator") -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"EMAHook: decay is a share in [0, 1), got {decay}", key="decay")
        self.decay, self.network = decay, network

    def set_up(self, run: Run) -> None:
        self.average = copy.deepcopy(run.networks[self.network]).requires_grad_(False)
        run.networks[f"{self.network}_ema"] = self.average

    @torch.no_grad()
    def after_iter(self, run: Run) -> None:
        source = unwrap(run.networks[self.network])
        pairs = list(zip(self.average.parameters(), source.parameters(), strict=True))
        averages, values = [], []
        for average, value in pairs + _paired_buffers(self.average, source):
            if value.is_floating_point() or value.is_complex():
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)
        foreach_lerp_(averages, values, 1 - self.decay)


def _paired_buffers(average: nn.Module, source: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return the buffers of both networks in pairs, but for new ones: `average` gets copies."""
    pairs = []
    done: set[int] = set()  # of buffers that several modules share
    for ours, theirs in zip(average.modules(), source.modules(), strict=True):
        for name, value in own_buffers(theirs).items():
            own = own_buffers(ours).get(name)
            if value is None or own is None or own.shape != value.shape or own.dtype != value.dtype:
                new = None if value is None else value.detach().clone()
                ours.register_buffer(name, new, is_persistent(theirs, name))
            elif id(value) not in done:
                pairs.append((own, value))
            if value is not None:
                done.add(id(value))
    return pairs
