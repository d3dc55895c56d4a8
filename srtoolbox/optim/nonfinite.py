"""Steps that are skipped because a gradient is not finite: detected on the device, alike on all
ranks, counted, and the running statistics (BatchNorm) that they would ruin.

A step follows from gradients that DDP has averaged, so a NaN on one rank is one on all: every rank
skips the same steps, with no message of its own. A loss can be NaN while all gradients are finite
(`sign(nan)` is 0), so a loss that is not finite starts its backward pass with NaN.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from srtoolbox.compat.pytorch import NormBase, find_non_finite_, foreach_copy_

LAG = 2  # steps after which a GPU's flag is read: it has arrived by then, so that nothing waits


def seed_gradient(loss: Tensor, *, ask: bool) -> Tensor | None:
    """Return the start of a loss's backward pass: 1 (as None), or NaN if it is not finite.

    With `ask` the loss is looked at, which costs less on the CPU and waits for a device.
    """
    if ask:
        return None if math.isfinite(loss.item()) else torch.full_like(loss, math.nan)
    return loss.detach() * 0 + 1


def flag_nonfinite(gradients: list[Tensor]) -> Tensor:
    """Return 1.0 if any value is NaN or infinite, else 0.0, on their device, without waiting."""
    flag = torch.zeros((), device=gradients[0].device)
    find_non_finite_(gradients, flag, _one(flag.device))  # a factor of 1 changes nothing
    return flag


@functools.cache
def _one(device: torch.device) -> Tensor:
    return torch.ones((), device=device)


class SkippedSteps:
    """The number of skipped steps: `total`, and `in_a_row` up to the last one counted.

    On the CPU that is the last step; on a GPU the one `LAG` steps before, on every rank the same.
    """

    def __init__(self) -> None:
        self.total = self.in_a_row = 0
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def record(self, flag: Tensor, *, wait: bool) -> None:
        """Count a step's flag (see `flag_nonfinite`): at once with `wait`, else when it arrives."""
        event, device = None, flag.device  # which need not be the current one of torch
        if device.type == "cuda" and not wait:
            flag = torch.empty((), pin_memory=True).copy_(flag, non_blocking=True)
            event = torch.cuda.current_stream(device).record_event()
        self._pending.append((flag, event))
        self.settle(0 if wait else LAG)

    def settle(self, lag: int = 0) -> None:
        """Wait for all flags that are on their way, but for the last `lag` ones."""
        while len(self._pending) > lag:
            flag, event = self._pending.popleft()
            if event is not None:
                event.synchronize()
            bad = bool(flag)
            self.total += bad
            self.in_a_row = self.in_a_row + 1 if bad else 0


class StatisticsGuard:
    """Running means and variances of some networks, put back after each step that was left out.

    They enter no training step, only evaluations and checkpoints: a NaN shows when it is too late.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        modules = [module for network in networks for module in network.modules()]
        norms = [module for module in modules if isinstance(module, NormBase)]
        buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
        groups: dict[torch.dtype, list[Tensor]] = {}
        for buffer in buffers:
            if buffer is not None:
                groups.setdefault(buffer.dtype, []).append(buffer)
        self._by_dtype = list(groups.values())
        self._live = [buffer for group in self._by_dtype for buffer in group]
        self._flat = [torch.cat([buffer.flatten() for buffer in group]) for group in self._by_dtype]
        self._kept = [
            part.view_as(buffer)
            for flat, group in zip(self._flat, self._by_dtype, strict=True)
            for part, buffer in zip(flat.split([buffer.numel() for buffer in group]), group, strict=True)
        ]

    def restore(self) -> None:
        """Put back what the last good step left."""
        if self._live:
            foreach_copy_(self._live, self._kept)

    @property
    def tensors(self) -> list[Tensor]:
        """The statistics of the last good step."""
        return self._flat

    def after_step(self, flags: Sequence[Tensor], *, ask: bool | None = None) -> None:
        """Put the statistics back if a flag (`optim.nonfinite_flag`) is set, else keep them.

        With `ask` a flag is looked at, else all is left to the device (default: if it is one).
        """
        if not self._live or not flags:
            return
        bad = reduce(torch.maximum, flags)
        if bad.device.type == "cpu" if ask is None else ask:
            source, target = (self._kept, self._live) if bad else (self._live, self._kept)
            foreach_copy_(target, source)
            return
        is_bad = bad > 0  # the device is not asked, and has a few operations for all statistics
        for flat, live in zip(self._flat, self._by_dtype, strict=True):
            torch.where(is_bad, flat, torch.cat([buffer.flatten() for buffer in live]), out=flat)
        foreach_copy_(self._live, self._kept)
