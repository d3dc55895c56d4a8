"""TensorBoard's event files, of which each must be read after the earlier ones of its run."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from tensorboard.summary.writer import event_file_writer
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from srtoolbox.errors import WriteError
from srtoolbox.io.files import append_bytes
from srtoolbox.logger import LOGGER
from srtoolbox.text import counted

_MOST_WAITING = 64 << 20  # bytes


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
    event_file_writer.time = _Clock(max(seconds))  # the name cannot be given, nor the file
    event_file_writer.RecordWriter = lambda file: RecordWriter(_PatientFile(_path_of(file)))
    try:
        return SummaryWriter(folder, purge_step=purge_step)
    finally:
        event_file_writer.time, event_file_writer.RecordWriter = time, RecordWriter


def _path_of(file: object) -> Path:
    """Return the path of a file of TensorBoard's own kind, or of TensorFlow's where that is installed."""
    return Path(os.fsdecode(getattr(file, "filename", None) or file.name))


class _PatientFile:
    """An event file for its writer's thread. A record is appended whole or not at all; no run ends for one.

    What a full or failing disk refuses waits and is tried again, in its order; it is reported once.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.closed = path, False
        self._waiting: deque[bytes] = deque()
        self._is_failing = False

    def write(self, record: bytes) -> None:
        """Append a record, after those that wait. Beyond 64 MB of them it is lost."""
        if sum(map(len, self._waiting)) < _MOST_WAITING:
            self._waiting.append(record)
        self.flush()

    def flush(self) -> None:
        """Append what waits, if the disk takes it."""
        try:
            while self._waiting:
                append_bytes(self._path, self._waiting[0])
                self._waiting.popleft()
            self._is_failing = False
        except WriteError as error:
            if not self._is_failing:
                LOGGER.warning("%s The training goes on; TensorBoard's records wait until they can be written", error)
            self._is_failing = True

    def close(self) -> None:
        """Append what waits; what cannot be appended now is lost to TensorBoard."""
        self.flush()
        self.closed = True
        if self._waiting:
            LOGGER.warning("%s lacks its last %s", self._path, counted(len(self._waiting), "record"))


class _Clock:
    """What the writer takes for the module `time`: it stands still for the thread that makes one."""

    def __init__(self, now: int) -> None:
        self._now, self._thread = now, threading.get_ident()

    def time(self) -> float:
        return self._now if threading.get_ident() == self._thread else time.time()
