"""The stop of a run before its last iteration, by a signal or a fault, with what can be saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from srtoolbox import dist
from srtoolbox.data.loading.loader import WaitInterrupted
from srtoolbox.engine.evaluate import EvaluationInterrupted
from srtoolbox.engine.hooks.base import Phase
from srtoolbox.engine.job.signals import EXIT_CODES
from srtoolbox.errors import RunError, WriteError

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run


class Stop(RunError):  # noqa: N818 - most often a request, not an error
    """The end of a run before its last iteration.

    Args:
        message: the sentence for users.
        signum: the signal that was received, 0 where a fault ends the run.
        may_go_back: True where the run may continue from a checkpoint with samples not drawn yet.
    """

    def __init__(self, message: str, *, signum: int = 0, may_go_back: bool = False) -> None:
        super().__init__(message)
        self.signum, self.may_go_back = signum, may_go_back

    @property
    def exit_code(self) -> int:
        """The exit code of the process: 143, 130, 138 for signals, 2 for faults."""
        return EXIT_CODES[signal.Signals(self.signum)] if self.signum else 2


@contextlib.contextmanager
def stopping(run: Run) -> Iterator[None]:
    """Turn whatever breaks off a run into a `Stop`, and undo a step that is half done.

    Such a step leaves the state that the iteration before it left, but for BatchNorm's count of
    batches, which nothing reads, and the vectors of spectral norms, which change with every forward
    pass.
    """
    try:
        try:
            yield
        except (WaitInterrupted, EvaluationInterrupted):
            run.undo_step()
            run.stop_signal = dist.Vote(run.signals.received).result()
            raise stop_by_signal(run) from None
        except torch.OutOfMemoryError as error:
            raise _stop_out_of_memory(run) from error
    except WriteError as error:
        place = f"iteration {run.iter}; --resume continues from the newest save"
        raise Stop(f"{error} The run stops at {place}") from error


def stop_by_signal(run: Run) -> Stop:
    """Save the run, and return the stop of its `stop_signal`.

    A resumed run enters the iteration of such a save after SAVE: what was not evaluated then is.
    """
    if run.iter > 0:
        run.call("after_iter", phases=(Phase.SAVE,))
    is_saved = run.iter > 0 and any(hook.phase is Phase.SAVE for hook in run.hooks.values())
    state = (
        "the state is saved, --resume continues"
        if is_saved
        else "nothing is saved: no iteration is finished, or the config has no CheckpointHook"
    )
    name = signal.Signals(run.stop_signal).name
    return Stop(f"stopped by {name}; {state}", signum=run.stop_signal)


def _stop_out_of_memory(run: Run) -> Stop:
    """Save the last whole iteration if that can be done, and say what to do."""
    is_stepping = run.undo_step()
    has_stepped = any([optim.nonfinite_flag is not None for optim in run.optims.values()])
    for optim in run.optims.values():
        optim.optimizer.zero_grad(set_to_none=True)
    if run.device.type == "cuda":
        torch.cuda.empty_cache()
    # others are in a collective; one network is a step ahead; there is nothing to save
    if run.world > 1 or (is_stepping and has_stepped) or run.iter == 0:
        state = "Earlier checkpoints are intact; --resume continues from the newest"
    else:
        state = _save_now(run)
    size, parts = run.config["data"]["train"]["batch_size"], run.accumulation
    advice = (
        f"Try data.train.batch_size={max(size // 2, 1)} accumulate={2 * parts} (the same batch in "
        f"smaller parts), a smaller data.train.dataset.gt_size, or runtime.amp=bf16"
    )
    place = "a training step" if is_stepping else "what follows it (an evaluation, most likely)"
    fault = f"iteration {run.iter + is_stepping}: {run.device} is out of memory in {place}"
    return Stop(f"{fault}. {state}. {advice}")


def _save_now(run: Run) -> str:
    """Save the iteration that is finished; return the sentence on how that went."""
    run.stop_signal = signal.SIGTERM  # what makes the hooks save now
    try:
        run.call("after_iter", phases=(Phase.SAVE,))
    except WriteError as error:
        state = f"The state after iteration {run.iter} could not be saved ({error})"
        return f"{state}; --resume continues before it"
    return f"The state after iteration {run.iter} is saved; --resume continues"
