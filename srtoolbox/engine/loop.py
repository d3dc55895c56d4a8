"""The loop: what one iteration does, and in which order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from srtoolbox import dist
from srtoolbox.engine.halt import check_steps
from srtoolbox.engine.hooks.base import Phase
from srtoolbox.engine.job.workdir import refuse_mixing
from srtoolbox.engine.run import Run
from srtoolbox.engine.step.graph import build_step
from srtoolbox.engine.stop import Interrupted, Stop, stop_by_signal, stopping
from srtoolbox.logger import LOGGER


def train(run: Run) -> None:
    """Train a run to its `max_iters`.

    A signal or a fault ends it by a `Stop`, saved if it can be.
    """
    with _ending(run), run.signals, stopping(run):
        for _ in iterations(run):
            pass


def iterations(run: Run) -> Iterator[int]:
    """Train one iteration at a time; yield the number of each when all its hooks have acted."""
    run.set_training_mode()
    run.call("before_train")
    planned = run.max_iters
    dist.barrier()
    if not run.is_resumed:
        run.call("at_start")
    elif not run.iteration_finished:  # it was saved, and then neither evaluated nor logged
        run.call("after_iter", phases=(Phase.EVALUATE, Phase.LOG))
    _finish_iteration(run, planned)
    step = build_step(run)
    while run.iter < run.max_iters:
        vote = dist.Vote(run.signals.received) if run.world > 1 else None  # travels meanwhile
        run.begin_step()
        run.end_step(step.take())
        run.stop_signal = vote.result() if vote else run.signals.received
        run.call("after_iter", phases=(Phase.UPDATE,))
        check_steps(run)
        if run.stop_signal and run.iter < run.max_iters:
            raise stop_by_signal(run)
        if not run.last_step_skipped:  # else the weights may be beyond repair: a save waits
            run.call("after_iter", phases=(Phase.SAVE,))
        run.call("after_iter", phases=(Phase.EVALUATE, Phase.LOG))
        _finish_iteration(run, planned)
        yield run.iter


def _finish_iteration(run: Run, planned: int) -> None:
    """Note that all hooks have acted.

    Save a run that one of them has ended before its `planned` end.
    """
    run.iteration_finished = True
    if run.iter == run.max_iters < planned:
        run.call("after_iter", phases=(Phase.SAVE,))


@contextlib.contextmanager
def _ending(run: Run) -> Iterator[None]:
    """Call the hooks' `after_train` and close the run, however it ends."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        try:
            _call_after_train(run, error)
        finally:
            run.close()


def _call_after_train(run: Run, error: BaseException | None) -> None:
    """Call `after_train` of all hooks; raise a failure if it is the run's first, else log it."""
    late: Exception | None = None
    for name, hook in run.hooks.items():
        try:
            hook.after_train(run, error)
        except Exception as caught:
            if error is None and late is None:
                late = caught
            else:
                kind = type(caught).__name__
                LOGGER.error("hooks.%s failed, too, as the run ended: %s: %s", name, kind, caught)
    if late is not None:
        raise late


class Runner(Run):
    """A run that trains itself, see `Run`."""

    def train(self) -> None:
        """Train up to `max_iters`, in an unused folder, or on from the newest checkpoint there.

        `srtoolbox.train` does more: it locks and logs, and keeps what it replaces.

        Raises:
            RunError: another run is in the folder, or a fault ends this one (`Stop`).
            KeyboardInterrupt: a signal came (`Interrupted`); what can be saved is saved.
        """
        refuse_mixing(self.work_dir, self.resumed_from)
        dist.barrier()  # a slow rank must not find what the first one writes
        try:
            train(self)
        except Stop as stop:
            if stop.signum:
                raise Interrupted(str(stop), stop.exit_code) from None
            raise
