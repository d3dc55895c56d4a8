"""The exponential moving average of a network's weights, as a network of its own."""

from __future__ import annotations

import copy
import operator
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import foreach_copy_, foreach_lerp_, is_persistent, own_buffers, tables
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
    just appeared or changed its shape. Evaluation and `load_network` use the average. Under a
    schedule-free optimizer the weights are those that it averages; a decay of 0 keeps just them.

    Args:
        decay: share of the old average kept at each iteration, in [0, 1).
        network: which of the model's networks.
    """

    phase = Phase.UPDATE
    capturable = True

    def __init__(self, decay: float = 0.999, network: str = "generator") -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"EMAHook: decay is a share in [0, 1), got {decay}", key="decay")
        self.decay, self.network = decay, network

    def set_up(self, run: Run) -> None:
        self.average = copy.deepcopy(run.networks[self.network]).requires_grad_(False)
        run.networks[f"{self.network}_ema"] = self.average
        # for losses that compare with it
        getattr(run.model, "averages", {})[self.network] = self.average
        self._pairs: _Pairs | None = None

    @torch.no_grad()
    def after_iter(self, run: Run) -> None:
        source = run.networks[self.network]
        if self._pairs is None or not self._pairs.hold(source):
            self._pairs = _Pairs(self.average, source)
        optim = getattr(run, "optims", {}).get(self.network)  # a schedule-free one averages itself
        values = self._pairs.values if optim is None else optim.averaged(self._pairs.values)
        foreach_lerp_(self._pairs.averages, values, 1 - self.decay)
        if self._pairs.copies:
            foreach_copy_(self._pairs.copies, self._pairs.originals)


class _Pairs:
    """The tensors of an average beside those of its network, as long as both have the same ones.

    Attributes:
        averages, values: what is averaged.
        copies, originals: what is copied.
    """

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        source = unwrap(network)
        pairs = [*zip(average.parameters(), source.parameters(), strict=True), *_paired_buffers(average, source)]
        self._network = network
        self._tables = [table for root in (average, source) for module in root.modules() for table in tables(module)]
        self._members = self._present()
        # may be resized in place
        self._buffers = [value for value in source.buffers() if value.ndim]
        self._shapes = [value.shape for value in self._buffers]
        quantities = [pair for pair in pairs if pair[1].is_floating_point() or pair[1].is_complex()]
        others = [pair for pair in pairs if not (pair[1].is_floating_point() or pair[1].is_complex())]
        self.averages, self.values = [own for own, _ in quantities], [value for _, value in quantities]
        self.copies, self.originals = [own for own, _ in others], [value for _, value in others]

    def hold(self, network: nn.Module) -> bool:
        """True if neither network has another tensor or module since; takes microseconds."""
        now = self._present()
        return (
            network is self._network
            and len(now) == len(self._members)
            and all(map(operator.is_, now, self._members))
            and [value.shape for value in self._buffers] == self._shapes
        )

    def _present(self) -> list[object]:
        return list(chain.from_iterable(map(dict.values, self._tables)))


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
