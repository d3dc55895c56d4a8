"""Checkpoints: the whole run at intervals, and the best network by each of several metrics."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srtoolbox import dist
from srtoolbox.check.truth import gives_truth
from srtoolbox.engine.hooks.base import Hook, Phase, fit_interval, positive_interval
from srtoolbox.errors import ConfigError, Fault, RunError, WriteError
from srtoolbox.interfaces import needs_target
from srtoolbox.io.files import Digests, prepare_folder, sync_file
from srtoolbox.io.threads import BackgroundCall
from srtoolbox.logger import LOGGER
from srtoolbox.registry import HOOKS, METRICS
from srtoolbox.weights.checkpoint import list_checkpoints, save_checkpoint, sidecar_path, verify_checkpoint
from srtoolbox.weights.state_copy import StateCopy

if TYPE_CHECKING:
    from srtoolbox.engine.evaluate import Evaluation
    from srtoolbox.engine.run import Run


def best_keys(best: Sequence[str] | str | None) -> list[str]:
    """Return the scores that bests are kept by, as `CheckpointHook(best=...)` names them."""
    return [best] if isinstance(best, str) else list(best or ())


def best_path(folder: Path, key: str) -> Path:
    """Return the file of the best network by a score, among a run's checkpoints."""
    return folder / f"best_{key.replace('/', '_')}.pth"


def score_fault(key: str, context: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a score to go by, '<set>/<metric>', after its name.

    None for a good one.

    `context` is the config. No evaluation gives it, or it has no better direction.
    """
    val = (context.get("data") or {}).get("val") or {}
    sets, metrics = val.get("datasets") or {}, val.get("metrics") or {}
    names = {metric: str(cfg.get("type")) for metric, cfg in metrics.items()}
    kinds = {f"{name}/{metric}": (name, kind) for name in sets for metric, kind in names.items()}
    if key not in kinds:
        return f"{key!r} is no score of data.val; there are {', '.join(kinds) or 'none'}"
    set_name, kind = kinds[key]
    if kind in METRICS and getattr(METRICS.get(kind), "higher_is_better", True) is None:
        return f"{key!r}: {kind} is neither better higher nor better lower, so no best can be kept by it"
    if kind in METRICS and needs_target(METRICS.get(kind)) and not gives_truth(sets[set_name]):
        return f"{key!r}: {kind} compares with the truth, which the set {set_name!r} has not"
    return None


@HOOKS.register
class CheckpointHook(Hook):
    """Write `checkpoints/iter_005000.pth` every `interval` iterations, at the end and at a signal.

    The training waits for a copy of the state in memory only; a thread writes it, one save at a
    time. A write that fails ends the run as soon as it is known, and no later than the next save;
    the last save, at the end or at a signal, is tried even so. It is written before the hook
    returns.

    While steps are left out, a save that is due waits for the next one that succeeds, and no
    network is kept as the best.

    Args:
        interval: iterations between saves; None: a tenth of the run, at most 5000.
        keep_last: how many to keep, at least 2 (the newest may turn out damaged); None keeps all.
        best: scores to keep the best network by, as '<set>/<metric>', each in its own
            `checkpoints/best_<set>_<metric>.pth`; of equal scores the earlier stays. None: no best.
        best_after: no best before this many iterations (the first evaluations are all 'best').
    """

    phase = Phase.SAVE

    def __init__(
        self,
        interval: int | None = None,
        keep_last: int | None = 3,
        best: Sequence[str] | str | None = (),
        best_after: int = 0,
    ) -> None:
        if keep_last is not None and keep_last < 2:
            fault = f"at least 2, so that one good one is always there, got {keep_last}"
            raise ConfigError(f"CheckpointHook: keep_last is {fault}", key="keep_last")
        self.interval = 0 if interval is None else positive_interval("CheckpointHook", interval)
        self.keep_last, self.best_after = keep_last, best_after
        self.best_keys = best_keys(best)
        self.best: dict[str, dict[str, float]] = {}
        self._missing: set[str] = set()
        self._copy, self._writer = StateCopy(), BackgroundCall("save")

    @classmethod
    def check(cls, cfg: dict[str, Any], context: dict[str, Any]) -> list[Fault]:
        """Report a best score that no evaluation gives, or that has no better direction."""
        faults = [score_fault(key, context) for key in best_keys(cfg.get("best"))]
        return [Fault("best", f"best={fault}") for fault in faults if fault]

    def set_up(self, run: Run) -> None:
        self.interval = self.interval or fit_interval(run.max_iters, most=5000, times=10)

    def before_train(self, run: Run) -> None:
        self.folder = run.work_dir / "checkpoints"
        self.resumed_from = run.resumed_from.resolve() if run.resumed_from else None
        self.saved_at = run.iter
        self._digests = Digests()  # of this run: what lies here as it begins is read anew
        if dist.is_main():
            for folder in (run.work_dir, self.folder):
                prepare_folder(folder)
            self._forget_lost()
        self.best = dist.all_gather_object(self.best)[0]

    def _forget_lost(self) -> None:
        """Let any score be the best again if the best network's file is not here, or damaged.

        Another run's checkpoint names files of its folder, an earlier one files replaced since.
        """
        for key, best in list(self.best.items()):
            path = best_path(self.folder, key)
            if fault := verify_checkpoint(path):
                LOGGER.warning(
                    "%s of iteration %d is not in %s (%s): the best is looked for anew",
                    path.name, best["iter"], self.folder, fault,
                )  # fmt: skip
                del self.best[key]

    def after_iter(self, run: Run) -> None:
        is_due = run.iter // self.interval > self.saved_at // self.interval  # or overdue
        is_last = run.iter == run.max_iters or bool(run.stop_signal)
        # the last save is tried, whatever became of the one before
        if not (is_last or run.signals.received):
            self._writer.check()
        if is_due or is_last:
            with run.pausing("save"):
                with _without_collections():
                    self._save(run, is_last=is_last)
                if is_last:
                    self._writer.wait()
            self.saved_at = run.iter

    def after_train(self, run: Run, error: BaseException | None = None) -> None:
        self._writer.wait()
        self._copy = StateCopy()  # gives the memory back

    def when_written(self, call: Callable[[], object]) -> None:
        self._writer.then(call)

    def _save(self, run: Run, *, is_last: bool) -> None:
        """Copy the state, and let a thread write it while the training goes on."""
        run.synchronise_buffers()
        state = run.state_dict()  # a collective: every rank gives its random state
        try:
            self._writer.wait()
        except Exception as error:  # whatever ended that thread, the last save is tried
            if not is_last:
                raise
            kind = "" if isinstance(error, WriteError) else f"{type(error).__name__}: "
            LOGGER.error("a save before the last one failed: %s%s", kind, error)
        if not dist.is_main():
            refuse_broken(run.iter, state["networks"])
            return
        with self._copy.taking(state) as copied:
            refuse_broken(run.iter, state["networks"])  # beside the copy
        del state  # thousands of tensors: each may wait for Python's lock once the thread runs
        self._writer.start(partial(self._write, self.folder / f"iter_{run.iter:06d}.pth", copied))

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        # after a power loss a checkpoint must find the lines that others wrote before it
        for log in ("scores.jsonl", "train.log"):
            sync_file(self.folder.parent / log)
        save_checkpoint(path, state)
        self._retain(newest=path)

    def after_eval(self, run: Run, evaluation: Evaluation) -> None:
        # the weights a run began with are no result: a best of theirs would hide all others
        if run.iter < max(self.best_after, 1) or run.last_step_skipped:
            return
        scores, paths = evaluation.scores, []
        for key in self.best_keys:
            value = scores.get(key, math.nan)
            if key not in scores and key not in self._missing:
                self._missing.add(key)
                if dist.is_main():
                    LOGGER.warning("no best by %s is kept: that set is not there", key)
            if self._is_better(run, key, value):
                self.best[key] = {"iter": run.iter, "score": value}
                paths.append(best_path(self.folder, key))
                if dist.is_main():
                    LOGGER.info("best %s so far: %.4f, kept as %s", key, value, paths[-1].name)
        if paths and dist.is_main():
            self._writer.wait()
            with _without_collections():
                state = self._copy.take({**run.network_state(), "scores": scores})
            self._writer.start(partial(self._write_best, paths, state))
            if run.iter == run.max_iters:
                self._writer.wait()

    def _write_best(self, paths: Sequence[Path], state: dict[str, Any]) -> None:
        for path in paths:
            save_checkpoint(path, state)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def _is_better(self, run: Run, key: str, value: float) -> bool:
        if math.isnan(value) or key not in self.best:
            return not math.isnan(value)
        higher = run.higher_is_better(key.rsplit("/", 1)[1])
        return value > self.best[key]["score"] if higher else value < self.best[key]["score"]

    def _retain(self, newest: Path) -> None:
        """Delete all but the newest `keep_last` *whole* checkpoints and the one resumed from.

        Damaged ones do not count, and nothing is deleted where the newest is damaged.
        """
        if self.keep_last is None or verify_checkpoint(newest, self._digests) is not None:
            return
        older, whole = [], 0
        for path in reversed(list_checkpoints(self.folder)):
            if whole == self.keep_last:
                older.append(path)
            elif verify_checkpoint(path, self._digests) is None:
                whole += 1
        for path in [path for path in reversed(older) if path.resolve() != self.resumed_from]:
            try:
                sidecar_path(path).unlink(missing_ok=True)  # first, since it commits the other
                path.unlink(missing_ok=True)
            except OSError as error:
                LOGGER.warning("%s: an old checkpoint that cannot be deleted (%s)", path, error.strerror)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Let Python's collector of cycles wait.

    The thousands of objects that a save makes for itself would call it up to look at every object
    of the process, for longer than the copy takes. They are gone when the block ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_finite(values: Sequence[Tensor]) -> bool:
    """True if every value is finite, found with one wait for the device.

    A sum is infinite or NaN if one of its values is, and costs a sixth of looking at each. Where
    one is that (it may also be too large a sum), each value is looked at.
    """
    values = [torch.view_as_real(value) if value.is_complex() else value for value in values]
    sums = [value.sum(dtype=torch.float32) for value in values if value.is_floating_point()]
    if not sums or bool(torch.stack(sums).isfinite().all()):
        return True
    return all(bool(value.isfinite().all()) for value in values)


def refuse_broken(iteration: int, networks: Mapping[str, Mapping[str, object]]) -> None:
    """Raise RunError where a weight is not finite: a save would replace good ones by it."""
    for name, weights in networks.items():
        if not _is_finite([value for value in weights.values() if isinstance(value, Tensor)]):
            raise RunError(
                f"iteration {iteration}: weights of {name} are no longer finite; this state is not saved. "
                f"Earlier ones are intact. Lower the learning rate, clip the gradients "
                f"(optim.{name}.clip) or train without amp"
            )
