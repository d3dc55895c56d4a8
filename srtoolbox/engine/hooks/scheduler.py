"""The steps of learning rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run


@HOOKS.register
class SchedulerHook(Hook):
    """Step schedules by iterations (optimizer steps), never epochs: `milestones=[50_000]`."""

    phase = Phase.UPDATE
    leaves_weights = True

    def after_iter(self, run: Run) -> None:
        for optim in run.optims.values():
            optim.step_scheduler()
