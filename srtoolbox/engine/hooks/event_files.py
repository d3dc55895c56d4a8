"""TensorBoard's event files, of which each must be read after the earlier ones of its run."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import SummaryWriter


def open_writer(folder: Path, *, purge_step: int) -> SummaryWriter:
    """A writer of what follows; what earlier files tell of `purge_step` and later steps is void.

    TensorBoard reads the files of a folder by name, and a name begins with the second in which it was made. Of a run
    that is killed and resumed within one second, or after the clock was set back, the files would be read in another
    order, and the steps of the resumed run be taken for void ones. So the name may be some seconds ahead of its time.
    """
    seconds = [int(time.time())]
    for path in folder.glob("events.out.tfevents.*"):
        with suppress(ValueError):
            seconds.append(int(path.name.split(".")[3]) + 1)
    event_file_writer.time = _Clock(max(seconds))  # the name cannot be given
    try:
        return SummaryWriter(folder, purge_step=purge_step)
    finally:
        event_file_writer.time = time


class _Clock:
    """What the writer takes for the module `time`: it stands still for the thread that makes one."""

    def __init__(self, now: int) -> None:
        self._now, self._thread = now, threading.get_ident()

    def time(self) -> float:
        return self._now if threading.get_ident() == self._thread else time.time()
