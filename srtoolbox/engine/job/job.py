"""A training as users start it, from the command line or Python: locked, logged, resumable."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from srtoolbox import dist
from srtoolbox.check import check
from srtoolbox.config import Config, resolve_config
from srtoolbox.data.loading.workers import refuse_second_import
from srtoolbox.engine.device import process_restored
from srtoolbox.engine.hooks.checkpoint import best_keys, best_path
from srtoolbox.engine.job.report import Ending, closing_sentence, describe, report_outcome
from srtoolbox.engine.job.run_config import CONFIG, is_config_of, save_config
from srtoolbox.engine.job.workdir import RunLock, find_state, is_later_attempt, is_used, prepare
from srtoolbox.engine.loop import train as train_run
from srtoolbox.engine.run import Run
from srtoolbox.engine.stop import REQUEST, Interrupted, Stop
from srtoolbox.errors import DataError, RunError
from srtoolbox.logger import CONSOLE, LOGGER, logging_restored, progress_bar, setup_logging
from srtoolbox.plots.run_log import read_run
from srtoolbox.plugins import load_plugins
from srtoolbox.weights.checkpoint import iteration_of, list_checkpoints
from srtoolbox.weights.of_config import with_network_of_file

_ONE_RUN = threading.Lock()
"""Held by the run of this process, since its random states, torch's settings and log are one."""


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a training.

    Attributes:
        work_dir: the run's folder.
        ending: 'finished', 'diverged', 'learned too little', 'given up', 'stopped' or 'nothing left to do'.
        iteration: the last one that was trained.
        scores: means of the last evaluation, `{'set5/psnr': 32.6}`, from the log (`LoggerHook`).
        best: the checkpoint of the best network by the first score that bests are kept by.
        last: the newest checkpoint.
    """

    work_dir: Path
    ending: Ending
    iteration: int
    scores: Mapping[str, float]
    best: Path | None
    last: Path | None


class Job:
    """A run in its folder: refused where another run was, locked, logged, resumable.

    Args:
        work_dir: its folder (default: `config.work_dir`, else `work_dirs/<config's name>`).
        plugins: Python files with components, beside those that the config names.
        source: the config as its user typed it, for messages.

    Raises:
        RunError: nobody says which folder.
    """

    def __init__(
        self,
        config: Config,
        work_dir: str | os.PathLike | None = None,
        *,
        plugins: Sequence[str | os.PathLike] = (),
        source: str | os.PathLike | None = None,
    ) -> None:
        self.config, self._plugins = config, plugins
        self.source = source or config.filename
        folder = work_dir or config.get("work_dir")
        if folder is None and self.source is None:
            raise RunError("a config without a file has no folder of its own: say work_dir=...")
        self.work_dir = Path(folder or Path("work_dirs") / Path(self.source or "").stem)
        self._lock = RunLock(self.work_dir)
        self._run: Run | None = None
        self._is_stopped = False

    def train(
        self,
        *,
        resume: bool = False,
        resume_from: str | os.PathLike | None = None,
        overwrite: bool = False,
    ) -> TrainResult:
        """Check the config, lock the folder, train.

        Where steps fail again and again, `runtime.rollbacks` says how often to go back to the
        newest checkpoint; samples drawn since then are not drawn again. The process has its random
        states, torch's settings and its log back afterwards.

        Args:
            resume: continue from the newest checkpoint in the folder.
            resume_from: continue from this one; with `resume`, only where the folder holds none.
            overwrite: delete an earlier run in the folder.

        Raises:
            ConfigError: the config has faults, all of them in the message.
            RunError: the folder is used or locked, or the run cannot go on.
            Interrupted: a signal came; a `KeyboardInterrupt`.
        """
        refuse_second_import()
        with _alone(), logging_restored(), process_restored():
            setup_logging(main_process=dist.is_main_launch())  # before the check, which may warn
            load_plugins(self.config, self._plugins)
            self.config = with_network_of_file(self.config, earlier=None if overwrite else self.work_dir / CONFIG)
            check(self.config)
            if overwrite and (resume or resume_from):
                raise RunError("--overwrite deletes the run that --resume would continue: choose one")
            self._lock = RunLock(self.work_dir)
            try:
                return self._train_locked(resume, Path(resume_from) if resume_from else None, overwrite)
            finally:
                self._release()

    def stop(self) -> None:
        """End the run after the iteration at hand, saved; for a thread, to which no signal goes."""
        self._is_stopped = True
        if self._run is not None:
            self._run.signals.request()

    def _train_locked(self, resume: bool, resume_from: Path | None, overwrite: bool) -> TrainResult:
        """Decide where to begin, and train, where the folder is used with its lock."""
        if dist.is_main_launch() and is_used(self.work_dir):
            self._lock.acquire()
        notes = self._lock.read_notes()
        if is_later_attempt(notes):  # the launcher repeats the command: the run it began goes on
            overwrite, resume = False, True
        if resume and not resume_from and notes.get("from"):  # where there is no save yet
            resume_from = Path(notes["from"])
        try:
            result = self._train_or_go_back(resume, resume_from, overwrite)
            dist.barrier()  # here the log still names a rank that dies at the end
            return result
        except Interrupted:
            raise
        except BaseException as error:
            dist.abort(error)
            if isinstance(error, SystemExit):
                raise RunError(f"something in the run called sys.exit({error.code}): it has not finished") from error
            raise

    def _release(self) -> None:
        """Let others have the folder as soon as no hook writes there: Ctrl-C may end the wait for a save."""
        run, self._run, self._is_stopped = self._run, None, False
        release: Callable[[], object] = self._lock.release
        for hook in run.hooks.values() if run else ():
            if hasattr(hook, "when_written"):  # a hook without our base class need not have it
                release = partial(hook.when_written, release)
        release()

    def _train_or_go_back(self, resume: bool, resume_from: Path | None, overwrite: bool) -> TrainResult:
        """Train from where the run is, and again from the newest checkpoint where steps fail."""
        state, path = None, None
        if not overwrite:
            state, path = find_state(self.work_dir, resume=resume, resume_from=resume_from)
        if state is not None and path is not None and self._is_done(state["iter"], path):
            if dist.is_main_launch():
                LOGGER.warning(
                    "nothing is left to do: the run has reached iteration %d, and max_iters is %d. Say "
                    "max_iters=N to train on to iteration N", state["iter"], self.config["max_iters"],
                )  # fmt: skip
            return self._result(Ending.NOTHING_LEFT, state["iter"])
        for rollbacks in range((self.config.get("runtime") or {}).get("rollbacks", 0), -1, -1):
            run = self._begin(state, path, overwrite=overwrite)
            state = None  # memory for the run, which has all it needs
            try:
                with _progress_shown(run):
                    train_run(run)
                ending = report_outcome(run) if dist.is_main() else Ending.FINISHED
                if dist.is_main():
                    self._lock.note_end(run.iter, ending)
                LOGGER.info("%s", closing_sentence(run, self.source or self.work_dir / CONFIG))
                return self._result(ending, run.iter)
            except Stop as stop:
                if stop.signum:
                    LOGGER.warning("%s", stop)
                    if stop.signum == REQUEST:  # on all ranks alike
                        return self._result(Ending.STOPPED, run.iter)
                    raise Interrupted(str(stop), stop.exit_code) from None
                if stop.may_go_back and rollbacks:
                    state, path = find_state(self.work_dir, resume=True, resume_from=resume_from)
                if state is None:
                    if stop.may_go_back and dist.is_main():
                        with contextlib.suppress(RunError):  # of a full disk, say: users must hear of the fault itself
                            self._lock.note_end(None, Ending.HALTED)
                    raise
                LOGGER.error("%s", stop)
                LOGGER.warning("going back to iteration %d, on to samples not drawn yet", state["iter"])
                state["draws"], overwrite = run.draws, False
            self._run = None
            del run  # its networks and optimizers must not fill a GPU beside the next run's
        raise AssertionError("the last one of these runs returns or raises")

    def _begin(self, state: dict[str, Any] | None, path: Path | None, *, overwrite: bool) -> Run:
        """Build the run, fresh or from `state` of the file `path`; prepare its folder and log."""
        run = Run(self.config, self.work_dir, resume=state, resumed_from=path)
        if dist.is_main():
            self._lock.acquire(unused=True)
            prepare(self.work_dir, iteration=run.iter, overwrite=overwrite, resumed_from=path)
            save_config(self.work_dir, run.config.dump(), run.iter)
            self._lock.note_start(path)
        dist.barrier()
        setup_logging(self.work_dir / "train.log", main_process=dist.is_main())
        describe(run)
        self._run = run
        if self._is_stopped:
            run.signals.request()
        if threading.current_thread() is not threading.main_thread():
            LOGGER.info("signals go to the main thread only: job.stop() of a srtoolbox.Job ends this run")
        return run

    def _is_done(self, iteration: int, path: Path) -> bool:
        """True if nothing is left to do, not even to evaluate, at `iteration` of checkpoint `path`.

        One that ended by itself and is to go on with another config is evaluated as that says.
        """
        if iteration != self.config["max_iters"]:
            return iteration > self.config["max_iters"]
        return self._lock.has_finished(path, iteration) and is_config_of(self.work_dir, self.config)

    def _result(self, ending: Ending, iteration: int) -> TrainResult:
        scores = {}
        with contextlib.suppress(DataError):  # no logger, or nothing to log
            curves = read_run(self.work_dir).scores
            scores = {key: float(curve.values[-1]) for key, curve in curves.items()}
        folder = self.work_dir / "checkpoints"
        hooks = filter(None, (self.config.get("hooks") or {}).values())
        bests = [best_path(folder, key) for hook in hooks for key in best_keys(hook.get("best"))]
        best = next(filter(Path.exists, bests), None)
        last = max(list_checkpoints(folder), key=iteration_of, default=None)
        return TrainResult(self.work_dir, ending, iteration, scores, best, last)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Refuse a run beside another one of this process."""
    lock = _ONE_RUN
    if not lock.acquire(blocking=False):
        raise RunError(
            "another run is going on in this process, which has one random state and one log. Wait "
            "for it, or start a process for each"
        )
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _progress_shown(run: Run) -> Iterator[None]:
    """Show a bar in a notebook, drawn by a thread; elsewhere the log's lines are enough."""
    if not (CONSOLE.is_jupyter and dist.is_main()):
        yield
        return
    has_ended = threading.Event()

    def follow() -> None:
        while not has_ended.wait(0.5):
            show(run.iter, run.max_iters)

    with progress_bar("training") as show:
        thread = threading.Thread(target=follow, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            has_ended.set()
            thread.join()
            show(run.iter, run.max_iters)


def train(
    config: Config | Mapping[str, Any] | str | os.PathLike,
    *,
    work_dir: str | os.PathLike | None = None,
    resume: bool = False,
    resume_from: str | os.PathLike | None = None,
    overwrite: bool = False,
    load_from: str | os.PathLike | None = None,
    seed: int | None = None,
    device: str | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | os.PathLike] = (),
) -> TrainResult:
    """Train a network from a config: what `srtoolbox train` does, from Python.

    Args:
        config: a file, the name of a packaged config, a `Config` or a dict; it stays as it is.
        work_dir, plugins: see `Job`.
        resume, resume_from, overwrite: see `Job.train`.
        load_from: start from these weights (fine-tuning).
        seed: of data order, crops and initialisation.
        device: 'cpu', 'cuda', 'cuda:1' (default: the config's).
        overrides: 'key.sub=value' texts that change a config that is a file.

    Raises:
        ConfigError: the config has faults, all of them in the message.
        RunError: the folder holds a run (say `resume=True` or `overwrite=True`) or is locked by
            one, or the run cannot go on.
        KeyboardInterrupt: Ctrl-C or another signal (`Interrupted`); the state is saved.
    """
    source = None if isinstance(config, Mapping) else config
    entries = {
        "seed": seed,
        "load_from": load_from and os.fspath(load_from),
        "work_dir": work_dir and os.fspath(work_dir),
        "runtime.device": device and str(device),
    }
    job = Job(resolve_config(config, overrides, entries), plugins=plugins, source=source)
    return job.train(resume=resume, resume_from=resume_from, overwrite=overwrite)
