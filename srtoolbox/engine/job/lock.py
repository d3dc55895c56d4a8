"""The lock of a run's folder, and what it notes of the run: whose it is, and which job began it.

torchrun starts a job again after a failure, SLURM after a preemption, by the same command: what the
first attempt did as it was asked to (`--overwrite`, `--resume-from`) must not be done twice, and
must be done if that attempt did not come so far.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srtoolbox import dist
from srtoolbox.engine.job.workdir import is_used
from srtoolbox.errors import RunError, SrtoolboxError
from srtoolbox.io.files import make_folder, read_json, write_fault, write_json
from srtoolbox.system import FileLock, acquire_or_warn, environment_of, parent_of, started_at


class RunLock:
    """Keeps a work dir for one run, by a lock on its file `run.lock`; `run.json` says for whom.

    The lock is the system's and ends with the process, however that ends (`system.FileLock`).
    """

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / "run.json"
        self._lock = FileLock(work_dir / "run.lock")
        self._is_taken = False

    def acquire(self) -> None:
        """Take the work dir, made if it is not there. Again is nothing.

        Raises:
            RunError: another run has it, or it cannot be made.
        """
        if self._is_taken:
            return
        work_dir = self.path.parent
        try:
            make_folder(work_dir)
            is_free = acquire_or_warn(self._lock, "see that no second run writes here")
        except OSError as error:
            raise RunError(write_fault(self._lock.path, error)) from error
        if not is_free:
            notes = self.read_notes()
            owner = {key: notes[key] for key in ("pid", "host")} if notes else None
            holder = json.dumps(owner) if owner else "which has just started"
            raise RunError(
                f"{work_dir} is in use by another run ({holder}). Wait for it, stop it, or choose another --work-dir"
            )
        self._is_taken = True
        self._note({})

    def acquire_for_use(self) -> None:
        """`acquire`, where the work dir was unused when looked at, without a lock, before.

        Raises:
            RunError: as `acquire`, or a run has come and gone since.
        """
        if self._is_taken:
            return
        self.acquire()
        if is_used(work_dir := self.path.parent):
            raise RunError(f"{work_dir} was used by another run meanwhile; start this one again")

    def read_notes(self) -> dict[str, Any]:
        """Return `pid`, `host` of the holder, and `began`, `job`, `from`, `finished` of the run."""
        try:
            notes = read_json(self.path)
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def note_start(self, resumed_from: Path | None) -> None:
        """Note that the work dir is this job's from now on, and where its run began."""
        source = str(resumed_from.resolve()) if resumed_from else None
        self._note({"began": time.time(), "job": slurm_job(), "from": source, "finished": None})

    def note_end(self, iteration: int) -> None:
        """Note that the run has finished with this iteration, its evaluation and log included."""
        self._note({"finished": iteration})

    def has_finished(self, path: Path, iteration: int) -> bool:
        """True if the run whose checkpoint `path` is has noted that it finished at this iteration.

        A run that was killed between its last save and the end of its last evaluation has not.
        """
        is_own = path.resolve().parent == (self.path.parent / "checkpoints").resolve()
        return is_own and self.read_notes().get("finished") == iteration

    def _note(self, more: dict[str, Any]) -> None:
        holder = {"pid": os.getpid(), "host": socket.gethostname()}
        try:
            write_json(self.path, {**self.read_notes(), **holder, **more})
        except SrtoolboxError as error:
            raise RunError(str(error)) from error

    def release(self) -> None:
        """Let others have the work dir."""
        self._lock.release()
        self._is_taken = False


def slurm_job() -> str | None:
    """Return the job's number, which it keeps when it is queued again."""
    return os.environ.get("SLURM_JOB_ID")


def is_later_attempt(notes: Mapping[str, Any]) -> bool:
    """True if an earlier attempt of this job has begun the run of a work dir.

    Args:
        notes: what `RunLock.read_notes` tells of the last run that began there: `began` (seconds
            since the epoch), `job` (of SLURM).
    """
    is_requeued = bool(int(os.environ.get("SLURM_RESTART_COUNT") or 0))
    if is_requeued and slurm_job() and notes.get("job") == slurm_job():
        return True
    return dist.restarts() > 0 and notes.get("began", 0.0) > launched_at()


def launched_at() -> float:
    """Return when torchrun was started, in seconds since the epoch; 0 where nothing says.

    On each machine that is before the first attempt began, since this waits for all. torchrun is
    the nearest process above this one that has not got its variables.
    """
    if os.environ.get("SRTOOLBOX_LAUNCHED"):
        return float(os.environ["SRTOOLBOX_LAUNCHED"])
    launcher: int | None = os.getppid()
    while launcher is not None and b"TORCHELASTIC_RUN_ID=" in (environment_of(launcher) or b""):
        launcher = parent_of(launcher)
    return (started_at(launcher) if launcher is not None else None) or 0.0
