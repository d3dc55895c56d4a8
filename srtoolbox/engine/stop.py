"""The stop of a run before its last iteration, by a signal or a fault, with what can be saved.

SIGTERM, SIGINT and SIGUSR1 end a run after the iteration at hand, a second SIGINT at once. Windows
has no SIGUSR1, and SIGBREAK (Ctrl-Break) beside SIGINT (Ctrl-C). One in an evaluation ends that;
the iteration it belongs to is saved, and the resumed run evaluates anew. A signal to one rank stops
all, after the same iteration.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from srtoolbox import dist
from srtoolbox.data.loading.kept import KeptBatches
from srtoolbox.data.loading.loader import WaitInterrupted
from srtoolbox.dist.heartbeat import exit_now, say
from srtoolbox.engine.evaluate import EvaluationInterrupted
from srtoolbox.engine.hooks.base import Phase
from srtoolbox.errors import RunError, WriteError
from srtoolbox.logger import CONSOLE, LOGGER
from srtoolbox.system import STOP_SIGNALS

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

# what a shell expects of a process that a signal ended, whose number differs between systems
_CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 138, "SIGBREAK": 149}
EXIT_CODES: dict[int, int] = {signum: _CODES[signum.name] for signum in STOP_SIGNALS}
REQUEST = 255
"""The number of a stop asked for in Python, beside those of signals."""
AT_ONCE = "stopped at once; what was saved before is intact"


class Interrupted(KeyboardInterrupt):
    """A signal stopped a run. `except Exception` does not catch it; the message says what is saved.

    Attributes:
        exit_code: what a process should end with: 130 of Ctrl-C, 143 of SIGTERM, 138 of SIGUSR1.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Stop(RunError):  # noqa: N818 - most often a request, not an error
    """The end of a run before its last iteration.

    Args:
        signum: the signal that was received, or REQUEST; 0 where a fault ends the run.
        may_go_back: True where the run may continue from a checkpoint with samples not drawn yet.
    """

    def __init__(self, message: str, *, signum: int = 0, may_go_back: bool = False) -> None:
        super().__init__(message)
        self.signum, self.may_go_back = signum, may_go_back

    @property
    def exit_code(self) -> int:
        """The exit code of the process: 143, 130, 138 for signals, 2 for faults."""
        return {**EXIT_CODES, REQUEST: EXIT_CODES[signal.SIGTERM], 0: 2}[self.signum]


@contextlib.contextmanager
def stopping(run: Run) -> Iterator[None]:
    """Turn whatever breaks off a run into a `Stop`, and undo a step that is half done.

    What is left is the state after the iteration before it, but for BatchNorm's count of batches,
    which nothing reads, and the vectors of spectral norms, which change with every forward pass.
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
    state = "nothing is saved: no iteration is finished, or the config has no CheckpointHook"
    if run.iter > 0 and _is_saving(run):
        state = "the state is saved, --resume continues"
    name = "Job.stop()" if run.stop_signal == REQUEST else signal.Signals(run.stop_signal).name
    return Stop(f"stopped by {name}; {state}", signum=run.stop_signal)


def _is_saving(run: Run) -> bool:
    return any(hook.phase is Phase.SAVE for hook in run.hooks.values())


def _stop_out_of_memory(run: Run) -> Stop:
    """Save the last whole iteration if that can be done, and say what to do."""
    is_stepping = run.undo_step()
    has_stepped = any([optim.nonfinite_flag is not None for optim in run.optims.values()])
    for optim in run.optims.values():
        optim.optimizer.zero_grad(set_to_none=True)
    if run.device.type == "cuda":
        torch.cuda.empty_cache()
    state = "Earlier checkpoints are intact; --resume continues from the newest"
    # not with others in a collective, one network a step ahead, or nothing to save
    if not _is_saving(run):
        state = "Nothing is saved: the config has no CheckpointHook"
    elif run.world == 1 and run.iter > 0 and not (is_stepping and has_stepped):
        run.stop_signal = signal.SIGTERM  # what makes the hooks save now
        state = f"The state after iteration {run.iter}"
        try:
            run.call("after_iter", phases=(Phase.SAVE,))
            state = f"{state} is saved; --resume continues"
        except WriteError as error:
            state = f"{state} could not be saved ({error}); --resume continues before it"
    size, parts = run.config["data"]["train"]["batch_size"], run.accumulation
    advice = (
        f"Try data.train.batch_size={max(size // 2, 1)} accumulate={2 * parts} (the same batch in "
        f"smaller parts), a smaller data.train.dataset.gt_size, or runtime.amp=bf16"
    )
    if isinstance(run.batches, KeptBatches):
        advice += f", or data.train.on_device=False: the training set takes {run.batches.nbytes / 2**30:.2f} GiB there"
    place = "a training step" if is_stepping else "what follows it (an evaluation, most likely)"
    fault = f"iteration {run.iter + is_stepping}: {run.device} is out of memory in {place}"
    return Stop(f"{fault}. {state}. {advice}")


class StopSignals:
    """Signals to this process: while active, `received` is the first that came (0: none).

    Only the main thread gets signals; a run in another one is stopped by `request`.
    """

    def __init__(self) -> None:
        self.received = 0
        self._is_interrupted = False
        self._is_interactive = CONSOLE.is_jupyter or hasattr(sys, "ps1")
        self._previous: dict[int, Any] = {}
        self._writer: socket.socket | None = None

    def request(self) -> None:
        """Stop the run as a signal would, from any thread."""
        self.received = REQUEST  # over a signal that came before, too

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # signals go to no other
            self._previous = {each: signal.signal(each, self._handle) for each in STOP_SIGNALS}
            if not self._is_interactive:
                self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        if self._writer is not None:
            signal.set_wakeup_fd(self._listened_before)
            self._writer.close()
            self._writer = None

    def _listen(self) -> None:
        """Hear of signals in a thread, too: the main one runs no handler in a collective."""
        reader, self._writer = socket.socketpair()  # Python wakes no pipe on Windows
        self._writer.setblocking(False)
        writer = self._writer.fileno()
        self._listened_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_end_at_second_interrupt, args=(reader,), name="signals", daemon=True).start()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT and self._is_interrupted:
            LOGGER.warning(AT_ONCE)
            if self._is_interactive:  # a kernel or a prompt goes on, with all its user has in it
                raise KeyboardInterrupt(AT_ONCE)
            exit_now(EXIT_CODES[signal.SIGINT])
        self._is_interrupted = self._is_interrupted or signum == signal.SIGINT
        self.received = self.received or signum


def _end_at_second_interrupt(reader: socket.socket) -> None:
    """Read the numbers of the signals that come, until the other end is closed."""
    interrupts = 0
    while numbers := reader.recv(64):
        interrupts += numbers.count(signal.SIGINT)
        if interrupts > 1:
            time.sleep(0.5)  # the handler is first where it can be
            say(LOGGER.warning, AT_ONCE)
            os._exit(EXIT_CODES[signal.SIGINT])
    reader.close()
