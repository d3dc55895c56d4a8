"""A run's folder: never overwritten unasked, and where a resumed run finds what to continue."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from srtoolbox.engine.checkpoint import (
    commit,
    iteration_of,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    sidecar_path,
)
from srtoolbox.errors import RunError
from srtoolbox.files import read_json
from srtoolbox.logger import LOGGER

# what a run writes into its folder, and all that --overwrite may delete
RUN_FILES = ("checkpoints", "config.py", "scores.jsonl", "train.log", "events.out.tfevents.*", "snapshots")


def is_used(work_dir: Path) -> bool:
    """Whether a run has written here."""
    return any(next(work_dir.glob(pattern), None) is not None for pattern in RUN_FILES)


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
    """Keeps a work dir for one run: a lock on its file `run.lock`, which says whose it is.

    The lock is the kernel's and ends with the process, however that ends; a file left behind locks nothing. It is one
    of `lockf`, which loader workers do not inherit: with `flock` those of a killed run would go on holding it.
    """

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / "run.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the work dir, made if it is not there. Again is nothing.

        Raises:
            RunError: another run has it.
        """
        if self._descriptor is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise RunError(
                f"{self.path.parent} is in use by another run ({holder or 'which has just started'}). Wait for it, "
                f"stop it, or choose another --work-dir"
            ) from error
        except OSError as error:  # some network file systems have no locks
            LOGGER.warning("%s: cannot be locked (%s): see that no second run writes here", self.path, error.strerror)
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have the work dir."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def find_state(
    work_dir: Path, *, resume: bool = False, resume_from: str | None = None
) -> tuple[dict[str, Any] | None, Path | None]:
    """The checkpoint to continue from, as (state, file); (None, None) for a fresh start.

    Raises:
        CheckpointError: the named one is damaged, or there are checkpoints and none is usable.
        RunError: the named one holds networks only, or a new run would mix with an older one.
    """
    path = Path(resume_from) if resume_from else latest_checkpoint(work_dir / "checkpoints") if resume else None
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


def prepare(work_dir: Path, *, iteration: int, overwrite: bool) -> None:
    """Make the folder ready for a run that begins after `iteration`, once it is sure that the run can begin.

    With `overwrite` what an earlier run wrote is deleted; other files stay. Otherwise checkpoints beyond `iteration`
    are moved to `checkpoints/superseded`, so that the next --resume does not jump to them. One of `iteration` that was
    used although its save was killed before the commit is committed now: the next save may be killed there, too.
    """
    if overwrite:
        for pattern in RUN_FILES:
            for path in work_dir.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    work_dir.mkdir(parents=True, exist_ok=True)
    for path in list_checkpoints(work_dir / "checkpoints"):
        if iteration_of(path) == iteration and not sidecar_path(path).exists():
            commit(path)
    for path in beyond(work_dir / "checkpoints", iteration):
        aside = path.parent / "superseded"
        aside.mkdir(exist_ok=True)
        LOGGER.info("%s is beyond iteration %d: moved to %s", path.name, iteration, aside)
        for file in (sidecar_path(path), path):
            if file.exists():
                file.replace(aside / file.name)


def beyond(folder: Path, iteration: int) -> list[Path]:
    """The checkpoints of a later iteration, the best ones by what their sidecars say."""
    later = [path for path in list_checkpoints(folder) if iteration_of(path) > iteration]
    for path in folder.glob("best_*.pth"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # what is damaged stays where it is
            if read_json(sidecar_path(path))["iter"] > iteration:
                later.append(path)
    return later
