"""A run's folder: never overwritten unasked, and where a resumed run finds what to continue."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

from srtoolbox.engine.job.restarts import slurm_job
from srtoolbox.engine.job.run_config import CONFIG, EARLIER
from srtoolbox.errors import RunError, SrtoolboxError
from srtoolbox.io.files import make_folder, read_json, write_fault, write_json
from srtoolbox.logger import LOGGER
from srtoolbox.system import FileLock, acquire_or_warn, replace
from srtoolbox.weights.checkpoint import (
    commit,
    committed,
    iteration_of,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    sidecar_path,
)

# what a run writes into its folder, and all that --overwrite may delete
RUN_FILES = (
    "checkpoints",
    CONFIG,
    EARLIER,
    "scores.jsonl",
    "train.log",
    "events.out.tfevents.*",
    "snapshots",
    "faults",
)


def is_used(work_dir: Path) -> bool:
    """Whether a run has written here.

    Raises:
        RunError: the folder cannot be looked at.
    """
    try:
        return any(next(work_dir.glob(pattern), None) is not None for pattern in RUN_FILES)
    except OSError as error:
        raise RunError(f"{work_dir}: cannot be read ({error.strerror}). Choose another --work-dir") from error


def refuse_used(work_dir: Path) -> None:
    """Stop where a new run would mix with an older one.

    Raises:
        RunError: the folder is used; the message gives the ways on.
    """
    if is_used(work_dir):
        found = list_checkpoints(work_dir / "checkpoints")
        state = f"a run that reached iteration {iteration_of(found[-1])}" if found else "a run without a checkpoint yet"
        raise RunError(
            f"{work_dir} holds {state}. Continue it with --resume, choose another --work-dir, "
            f"or delete that run and start anew with --overwrite."
        )


class RunLock:
    """Keeps a work dir for one run, by a lock on its file `run.lock`; `run.json` says whose it is, since when.

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
            told = self.told()
            holder = json.dumps({key: told[key] for key in ("pid", "host")}) if told else "which has just started"
            raise RunError(
                f"{work_dir} is in use by another run ({holder}). Wait for it, stop it, or choose another --work-dir"
            )
        self._is_taken = True
        self._tell({})

    def acquire_for_use(self) -> None:
        """`acquire`, where the work dir was seen unused before without its lock (looking must not write).

        Raises:
            RunError: as `acquire`, or a run has come and gone since.
        """
        if self._is_taken:
            return
        self.acquire()
        if is_used(self.path.parent):
            raise RunError(f"{self.path.parent} was used by another run while this one was built; start this one again")

    def told(self) -> dict[str, Any]:
        """What the file says: `pid`, `host` of its last holder; `began`, `job`, `from`, `finished` of the last run."""
        try:
            told = read_json(self.path)
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def begun(self, resumed_from: Path | None) -> None:
        """Note that the work dir is this job's run's from now on, and where that began: a later start must know."""
        named = str(resumed_from.resolve()) if resumed_from else None
        self._tell({"began": time.time(), "job": slurm_job(), "from": named, "finished": None})

    def finished(self, iteration: int) -> None:
        """Note that the run has done all there is to do up to this iteration, its evaluation and log included."""
        self._tell({"finished": iteration})

    def has_finished(self, path: Path, iteration: int) -> bool:
        """True if the run whose checkpoint `path` is has noted that it finished at this iteration.

        A run that was killed between its last save and the end of its last evaluation has not.
        """
        own = path.resolve().parent == (self.path.parent / "checkpoints").resolve()
        return own and self.told().get("finished") == iteration

    def _tell(self, more: dict[str, Any]) -> None:
        try:
            write_json(self.path, {**self.told(), "pid": os.getpid(), "host": socket.gethostname(), **more})
        except SrtoolboxError as error:
            raise RunError(str(error)) from error

    def release(self) -> None:
        """Let others have the work dir."""
        self._lock.release()
        self._is_taken = False


def find_state(
    work_dir: Path, *, resume: bool = False, resume_from: str | None = None
) -> tuple[dict[str, Any] | None, Path | None]:
    """The checkpoint to continue from, as (state, file); (None, None) for a fresh start.

    Args:
        work_dir: the run's.
        resume: take the newest in the work dir.
        resume_from: take this one; with `resume`, only where the work dir holds none.

    Raises:
        CheckpointError: the named one is damaged, or there are checkpoints and none is usable.
        RunError: the named one holds networks only, or a new run would mix with an older one.
    """
    path = latest_checkpoint(work_dir / "checkpoints") if resume else None
    if path is None and resume_from:
        path = Path(resume_from)
    if not resume and not (path and path.resolve().is_relative_to(work_dir.resolve())):
        refuse_used(work_dir)
    if path is None:
        if resume:
            LOGGER.info("%s holds no checkpoint: starting at iteration 0", work_dir)
        return None, None
    state = load_checkpoint(path)
    if "optims" not in state:
        raise RunError(f"{path} holds networks only (a best one, say): take its weights with --load-from")
    LOGGER.info("resuming from %s at iteration %d", path, state["iter"])
    return state, path


def prepare(work_dir: Path, *, iteration: int, overwrite: bool, resumed_from: Path | None = None) -> None:
    """Make the folder ready for a run that begins after `iteration`, once it is sure that the run can begin.

    With `overwrite` what an earlier run wrote is deleted; other files stay. Otherwise checkpoints beyond `iteration`
    are moved to `checkpoints/superseded`, so that the next --resume does not jump to them, and so are those without a
    sidecar, which kills left. The one resumed from, if it is such a one, is committed: the next save may be killed too.

    Raises:
        RunError: something cannot be deleted, moved or made.
    """
    try:
        _prepare(work_dir, iteration, overwrite, resumed_from)
    except OSError as error:
        raise RunError(write_fault(Path(error.filename or work_dir), error)) from error


def _prepare(work_dir: Path, iteration: int, overwrite: bool, resumed_from: Path | None) -> None:
    if overwrite:
        for pattern in RUN_FILES:
            for path in work_dir.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    work_dir.mkdir(parents=True, exist_ok=True)
    own = resumed_from is not None and resumed_from.resolve().parent == (work_dir / "checkpoints").resolve()
    if own and not sidecar_path(resumed_from).exists():
        commit(resumed_from)
    aside = work_dir / "checkpoints/superseded"
    for path in beyond(work_dir / "checkpoints", iteration) + killed(work_dir / "checkpoints", iteration, aside):
        aside.mkdir(exist_ok=True)
        LOGGER.info("%s is beyond iteration %d, or without a .json: moved to %s", path.name, iteration, aside)
        for file in (sidecar_path(path), path):
            if file.exists():
                replace(file, aside / file.name)


def beyond(folder: Path, iteration: int) -> list[Path]:
    """The checkpoints of a later iteration, of the best ones those that are whole."""
    later = [path for path in list_checkpoints(folder) if iteration_of(path) > iteration]
    for path in folder.glob("best_*.pth"):
        found = committed(path)  # the sidecar may vouch for two: a save over an older one was killed
        if isinstance(found, dict) and found["iter"] > iteration:
            later.append(path)
    return later


def killed(folder: Path, iteration: int, aside: Path) -> list[Path]:
    """The checkpoints up to an iteration that a kill in a save or a deletion left without a sidecar.

    But for those whose namesake lies in `aside` already: that may be a whole one.
    """
    earlier = [path for path in list_checkpoints(folder) if iteration_of(path) <= iteration]
    return [path for path in earlier if not sidecar_path(path).exists() and not (aside / path.name).exists()]
