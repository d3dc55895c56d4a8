"""One job at a time on the parts of a video."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from srtoolbox.errors import SrtoolboxError
from srtoolbox.io import files
from srtoolbox.system import FileLock, acquire_or_warn


class PartsLock:
    """Keep a folder of parts for one job by its file `lock`; `holder.json` says whose it is.

    The lock is the system's and ends with the process, however that ends (`system.FileLock`).

    Args:
        folder: made if it is not there.

    Raises:
        SrtoolboxError: another job has it, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._lock, self._holder = FileLock(folder / "lock"), folder / "holder.json"
        try:
            files.make_folder(folder)
            is_free = acquire_or_warn(self._lock, "see that no second job writes there")
        except OSError as error:
            raise SrtoolboxError(files.write_fault(self._lock.path, error)) from error
        if not is_free:
            raise SrtoolboxError(
                f"{folder} is in use by another job ({self._holder_text()}). Wait for it, stop it, or choose another "
                "output"
            )
        try:
            files.write_json(self._holder, {"pid": os.getpid(), "host": socket.gethostname()})
        except SrtoolboxError:
            self.release()
            raise

    def release(self) -> None:
        """Let others have the folder, in which nothing of the lock stays. Again is nothing."""
        if self._lock.is_held:
            self._holder.unlink(missing_ok=True)
        self._lock.release(remove=True)

    def _holder_text(self) -> str:
        try:
            holder = files.read_json(self._holder)
            return f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "which has just started"
