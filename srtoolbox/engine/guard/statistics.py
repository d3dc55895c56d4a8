"""A guard of running statistics (BatchNorm and its kin), in which a NaN would stay for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import NormBase, foreach_copy_


class StatisticsGuard:
    """Running means and variances of some networks, put back after each step that was left out.

    They enter no training step, only evaluations and checkpoints: a NaN shows when it is too late.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        modules = [module for network in networks for module in network.modules()]
        norms = [module for module in modules if isinstance(module, NormBase)]
        buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
        self._live = [buffer for buffer in buffers if buffer is not None]
        self._kept = [buffer.clone() for buffer in self._live]

    def restore(self) -> None:
        """Put back what the last good step left."""
        if self._live:
            foreach_copy_(self._live, self._kept)

    def after_step(self, flags: Sequence[Tensor]) -> None:
        """Put the statistics back if a flag (`optim.nonfinite_flag`) is set, else keep them."""
        if not self._live or not flags:
            return
        bad = reduce(torch.maximum, flags)
        if bad.device.type == "cpu":
            source, target = (self._kept, self._live) if bad else (self._live, self._kept)
            foreach_copy_(target, source)
            return
        for live, kept in zip(self._live, self._kept, strict=True):  # the device is not asked
            torch.where(bad > 0, kept, live, out=live)
        foreach_copy_(self._kept, self._live)
