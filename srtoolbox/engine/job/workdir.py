"""A run's folder: never overwritten unasked, and where a resumed run finds what to continue."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from srtoolbox.engine.job.run_config import CONFIG, EARLIER
from srtoolbox.errors import RunError
from srtoolbox.io.files import write_fault
from srtoolbox.logger import LOGGER
from srtoolbox.system import replace
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
    """True if a run has written here.

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
        saved = list_checkpoints(work_dir / "checkpoints")
        state = f"a run that reached iteration {iteration_of(saved[-1])}" if saved else "a run without a checkpoint yet"
        raise RunError(
            f"{work_dir} holds {state}. Continue it with --resume, choose another --work-dir, "
            "or delete that run and start anew with --overwrite (in Python: resume=True, "
            "work_dir=..., overwrite=True)."
        )


def refuse_mixing(work_dir: Path, resumed_from: Path | None) -> None:
    """Stop where a run would write over another: a fresh one, or one from an older checkpoint.

    Raises:
        RunError: the folder is used, and not by the run of the newest whole checkpoint there.
    """
    saved = reversed(list_checkpoints(work_dir / "checkpoints"))
    newest = next((path for path in saved if verify_checkpoint(path) is None), None)
    if resumed_from is None or newest is None or resumed_from.resolve() != newest.resolve():
        refuse_used(work_dir)


def find_state(
    work_dir: Path, *, resume: bool = False, resume_from: str | Path | None = None
) -> tuple[dict[str, Any] | None, Path | None]:
    """Return the checkpoint to continue from, as (state, file); (None, None) for a fresh start.

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

    With `overwrite` what an earlier run wrote is deleted; other files stay. Otherwise checkpoints
    beyond `iteration` are moved to `checkpoints/superseded`, so that the next --resume does not
    jump to them, and so are those without a sidecar, which kills left. The one resumed from, if it
    is such a one, is committed: the next save may be killed too.

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
    folder = (work_dir / "checkpoints").resolve()
    if resumed_from is not None and resumed_from.resolve().parent == folder and not sidecar_path(resumed_from).exists():
        commit(resumed_from)
    aside = work_dir / "checkpoints/superseded"
    for path in beyond(work_dir / "checkpoints", iteration) + uncommitted(work_dir / "checkpoints", iteration, aside):
        aside.mkdir(exist_ok=True)
        LOGGER.info("%s is beyond iteration %d, or without a .json: moved to %s", path.name, iteration, aside)
        for file in (sidecar_path(path), path):
            if file.exists():
                replace(file, aside / file.name)


def beyond(folder: Path, iteration: int) -> list[Path]:
    """Return the checkpoints of a later iteration, of the best ones those that are whole."""
    later = [path for path in list_checkpoints(folder) if iteration_of(path) > iteration]
    for path in folder.glob("best_*.pth"):
        state = committed_entry(path)  # the sidecar may vouch for two: a save over an older one was killed
        if isinstance(state, dict) and state["iter"] > iteration:
            later.append(path)
    return later


def uncommitted(folder: Path, iteration: int, aside: Path) -> list[Path]:
    """Return the checkpoints up to an iteration that a kill in a save or a deletion left without a sidecar.

    But for those whose namesake lies in `aside` already: that may be a whole one.
    """
    earlier = [path for path in list_checkpoints(folder) if iteration_of(path) <= iteration]
    return [path for path in earlier if not sidecar_path(path).exists() and not (aside / path.name).exists()]
