"""A run's folder: locked, never overwritten unasked, with what a resumed run continues from.

torchrun starts a job again after a failure, SLURM after a preemption, by the same command: what the
first attempt did as it was asked to (`--overwrite`, `--resume-from`) must not be done twice, and
must be done if that attempt did not come so far.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from srtoolbox import dist
from srtoolbox.engine.job.run_config import CONFIG, EARLIER
from srtoolbox.errors import RunError, SrtoolboxError
from srtoolbox.io.files import make_folder, read_json, replace, write_fault, write_json
from srtoolbox.logger import LOGGER
from srtoolbox.system import FileLock, acquire_or_warn, environment_of, parent_of, started_at
from srtoolbox.weights.checkpoint import (
    commit,
    committed_entry,
    iteration_of,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    sidecar_path,
    verify_checkpoint,
)

# what a run writes into its folder, and all that --overwrite may delete
RUN_FILES = ["checkpoints", CONFIG, EARLIER, "scores.jsonl", "train.log", "snapshots", "faults"]
RUN_FILES += ["events.out.tfevents.*"]
_LOOK = 0.2  # seconds, longer than `is_in_use` has a lock that it only tries


def is_used(work_dir: Path) -> bool:
    """True if a run has written here; RunError where the folder cannot be looked at."""
    try:
        return any(next(work_dir.glob(pattern), None) is not None for pattern in RUN_FILES)
    except OSError as error:
        raise RunError(f"{work_dir}: cannot be read ({error.strerror}). Choose another --work-dir") from error


def refuse_used(work_dir: Path) -> None:
    """Raise RunError, with the ways on, where a new run would mix with an older one."""
    if is_used(work_dir):
        saved = list_checkpoints(work_dir / "checkpoints")
        state = "saved no checkpoint: --resume trains from iteration 0. Choose"
        if saved:
            state = f"reached iteration {iteration_of(saved[-1])}. Continue it with --resume, choose"
        raise RunError(
            f"{work_dir} holds a run that {state} another --work-dir, or delete that run and start "
            "anew with --overwrite (in Python: resume=True, work_dir=..., overwrite=True)."
        )


def refuse_mixing(work_dir: Path, resumed_from: Path | None) -> None:
    """Refuse a used folder, but to the run that goes on from the newest whole checkpoint there."""
    saved = reversed(list_checkpoints(work_dir / "checkpoints"))
    newest = next((path for path in saved if verify_checkpoint(path) is None), None)
    if resumed_from is None or newest is None or resumed_from.resolve() != newest.resolve():
        refuse_used(work_dir)


def find_state(
    work_dir: Path, *, resume: bool = False, resume_from: str | Path | None = None
) -> tuple[dict[str, Any] | None, Path | None]:
    """Return the checkpoint to continue from, as (state, file); (None, None) for a fresh start.

    Args:
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
    """Make the folder ready for a run after `iteration`, once it is sure that it can begin.

    With `overwrite` what an earlier run wrote is deleted; other files stay. Otherwise checkpoints
    beyond `iteration` are moved to `checkpoints/superseded`, so that the next --resume does not
    jump to them, and so are those without a sidecar, which kills left. The one resumed from, if it
    is such a one, is committed: the next save may be killed too.

    Raises:
        RunError: something cannot be deleted, moved or made.
    """
    folder = work_dir / "checkpoints"
    aside = folder / "superseded"
    try:
        if overwrite:
            for path in [path for pattern in RUN_FILES for path in work_dir.glob(pattern)]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        work_dir.mkdir(parents=True, exist_ok=True)
        is_bare = resumed_from is not None and not sidecar_path(resumed_from).exists()
        if resumed_from and is_bare and resumed_from.resolve().parent == folder.resolve():
            commit(resumed_from)
        for path in list(_superseded(folder, iteration, aside)):
            aside.mkdir(exist_ok=True)
            LOGGER.info("%s is beyond iteration %d, or without a .json: moved to %s", path.name, iteration, aside)
            for file in filter(Path.exists, (sidecar_path(path), path)):
                replace(file, aside / file.name)
    except OSError as error:
        raise RunError(write_fault(Path(error.filename or work_dir), error)) from error


def _superseded(folder: Path, iteration: int, aside: Path) -> Iterator[Path]:
    """Yield the checkpoints of a later iteration, and those of an earlier one without a sidecar.

    Of the best ones those that are whole. One whose namesake lies `aside` stays: that may be whole.
    """
    for path in list_checkpoints(folder):
        is_left = not sidecar_path(path).exists() and not (aside / path.name).exists()
        if iteration_of(path) > iteration or is_left:
            yield path
    for path in folder.glob("best_*.pth"):
        state = committed_entry(path)  # of two files, where a kill broke off a save
        if isinstance(state, dict) and state["iter"] > iteration:
            yield path


def read_notes(work_dir: Path) -> dict[str, Any]:
    """Return `began`, `job`, `from`, `finished`, `ending` of the run in a work dir, {} where there are none."""
    try:
        notes = read_json(work_dir / "run.json")
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def note_ending(work_dir: Path, ending: str) -> None:
    """Note how a run has ended that could not say so itself; until it is started again."""
    make_folder(work_dir)
    write_json(work_dir / "run.json", {**read_notes(work_dir), "finished": None, "ending": ending})


def is_in_use(work_dir: Path) -> bool:
    """True if a run is going on in a work dir; False where its file system has no locks."""
    lock = FileLock(work_dir / "run.lock")
    if not lock.path.exists():
        return False
    is_free = acquire_or_warn(lock, "who trains there is not known")
    lock.release()
    return not is_free


class RunLock:
    """Keeps a work dir for one run by a lock on `run.lock`; `run.json` says for whom."""

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / "run.json"
        self._lock = FileLock(work_dir / "run.lock")
        self._is_taken = False

    def acquire(self, *, unused: bool = False) -> None:
        """Take the work dir, made if it is not there, still `unused` if it was; again is nothing.

        Raises:
            RunError: another run has it, or has come and gone, or the folder cannot be made.
        """
        if self._is_taken:
            return
        work_dir = self.path.parent
        try:
            make_folder(work_dir)
            is_free = self._take()
            if not is_free:
                time.sleep(_LOOK)
                is_free = self._take()
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
        if unused and is_used(work_dir):
            raise RunError(f"{work_dir} was used by another run meanwhile; start this one again")

    def _take(self) -> bool:
        return acquire_or_warn(self._lock, "see that no second run writes here")

    def read_notes(self) -> dict[str, Any]:
        """Return `pid`, `host` of the holder, and what `read_notes` has of the run."""
        return read_notes(self.path.parent)

    def note_start(self, resumed_from: Path | None) -> None:
        """Note that the work dir is this job's from now on, and where its run began."""
        source = str(resumed_from.resolve()) if resumed_from else None
        job = os.environ.get("SLURM_JOB_ID")
        self._note({"began": time.time(), "job": job, "from": source, "finished": None, "ending": None})

    def note_end(self, iteration: int | None, ending: str) -> None:
        """Note that the run has finished with this iteration, its evaluation and log included, and how.

        The iteration is None of one that ended before it could finish.
        """
        self._note({"finished": iteration, "ending": ending})

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


def is_later_attempt(notes: Mapping[str, Any]) -> bool:
    """True if an earlier attempt of this job began the run of these notes (`read_notes`)."""
    job = os.environ.get("SLURM_JOB_ID")  # which it keeps when it is queued again
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0) and job and notes.get("job") == job:
        return True
    return dist.restarts() > 0 and notes.get("began", 0.0) > launched_at()


def launched_at() -> float:
    """Return when torchrun was started, in seconds since the epoch; 0 where nothing says.

    On each machine that is before the first attempt began, which waits for all. torchrun is the
    nearest process above this one that has not got its variables.
    """
    if os.environ.get("SRTOOLBOX_LAUNCHED"):
        return float(os.environ["SRTOOLBOX_LAUNCHED"])
    launcher: int | None = os.getppid()
    while launcher is not None and b"TORCHELASTIC_RUN_ID=" in (environment_of(launcher) or b""):
        launcher = parent_of(launcher)
    return (started_at(launcher) if launcher is not None else None) or 0.0
