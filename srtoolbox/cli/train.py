"""Train a network from a config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser, add_device, add_plugin

if TYPE_CHECKING:  # what costs --help its speed
    from srtoolbox.config import Config
    from srtoolbox.engine.job.workdir import RunLock
    from srtoolbox.engine.runner import Runner

SUMMARY = "train a network from a config"
EXAMPLE = """example:
  python tools/train.py configs/espcn/espcn_x3_t91.py
  python tools/train.py configs/espcn/espcn_x3_t91.py --resume max_iters=200000
  python tools/train.py --resume --work-dir work_dirs/espcn_x3_t91"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("train", __doc__, EXAMPLE)
    parser.add_argument(
        "config",
        nargs="?",
        help="config file, or the name of one that travels with the package; not needed with --resume",
    )
    parser.add_overrides()
    parser.add_argument("--work-dir", help="where the run goes (default: work_dirs/<config name>)")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in the work dir from its newest checkpoint"
    )
    parser.add_argument(
        "--resume-from",
        metavar="PATH",
        help="continue exactly from this checkpoint; with --resume, where the work dir holds none",
    )
    parser.add_argument("--load-from", metavar="PATH", help="start from these weights (fine-tuning)")
    parser.add_argument("--seed", type=int, help="seed of data order, crops and initialisation")
    add_device(parser)
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier run in the work dir")
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.config is None:
        if not (args.resume or args.resume_from) or not args.work_dir:
            parser.error("name a config, or go on with a run by --resume --work-dir DIR")
        args.config = config_of_run(Path(args.work_dir))
    from srtoolbox.config import Config

    options = {"seed": args.seed, "load_from": args.load_from, "work_dir": args.work_dir, "runtime.device": args.device}
    chosen = [f"{key}={value!r}" for key, value in options.items() if value is not None]
    return run(Config.fromfile(args.config, [*args.overrides, *chosen]), args)


def config_of_run(work_dir: Path) -> str:
    """The config that the run in a work dir has saved.

    Raises:
        RunError: it is not there.
    """
    from srtoolbox.engine.job.run_config import CONFIG
    from srtoolbox.errors import RunError

    if not (work_dir / CONFIG).is_file():
        raise RunError(f"{work_dir} holds no {CONFIG}: name the config of the run that is to go on")
    return str(work_dir / CONFIG)


def run(config: Config, args: argparse.Namespace) -> int:
    """Check, lock the work dir, train."""
    from srtoolbox import dist
    from srtoolbox.check import check
    from srtoolbox.engine.job.restarts import begun_before
    from srtoolbox.engine.job.workdir import RunLock, is_used
    from srtoolbox.errors import RunError
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging(main_process=dist.is_main_launch())  # what the check warns of belongs to the log, too
    load_plugins(config, args.plugin)
    check(config)
    work_dir = Path(config.get("work_dir") or Path("work_dirs") / Path(args.config).stem)
    if args.overwrite and (args.resume or args.resume_from):
        raise RunError("--overwrite deletes the run that --resume would continue: choose one")
    lock = RunLock(work_dir)
    try:
        if dist.is_main_launch() and is_used(work_dir):
            lock.acquire()
        told = lock.told()
        if begun_before(told):  # the launcher repeats the command: what it wrote before must go on
            args.overwrite, args.resume = False, True
        if args.resume and not args.resume_from:  # that run may have ended before its first save
            args.resume_from = told.get("from")
        return train(config, args, work_dir, lock)
    finally:
        lock.release()


def train(config: Config, args: argparse.Namespace, work_dir: Path, lock: RunLock) -> int:
    """Build the run, prepare its work dir, train; returns the exit code.

    Where steps fail again and again, `runtime.rollbacks` says how often to go back to the newest checkpoint; the
    samples drawn since then are not drawn again.
    """
    from srtoolbox import dist
    from srtoolbox.engine.guard.halt import SkippedStepsError
    from srtoolbox.engine.job.signals import StopRequested
    from srtoolbox.engine.job.workdir import find_state
    from srtoolbox.errors import RunError
    from srtoolbox.logger import LOGGER

    state, path = None, None
    if not args.overwrite:
        state, path = find_state(work_dir, resume=args.resume, resume_from=args.resume_from)
    if state is not None and is_done(config, work_dir, lock, state["iter"], path):
        if dist.is_main_launch():
            LOGGER.warning(
                "nothing is left to do: the run has reached iteration %d, and max_iters is %d. Say max_iters=N to "
                "train on to iteration N",
                state["iter"], config["max_iters"],
            )  # fmt: skip
        return 0
    overwrite, rollbacks, runner = args.overwrite, (config.get("runtime") or {}).get("rollbacks", 0), None
    try:
        while runner is None:
            runner = begin(config, work_dir, lock, state, path, overwrite=overwrite)
            state = None
            try:
                runner.train()
            except SkippedStepsError as fault:
                state, path = None, None
                if rollbacks:
                    state, path = find_state(work_dir, resume=True, resume_from=args.resume_from)
                if state is None:
                    raise
                LOGGER.error("%s", fault)
                LOGGER.warning("going back to iteration %d, on to samples not drawn yet", state["iter"])
                state["draws"], overwrite, rollbacks, runner = fault.draws, False, rollbacks - 1, None
    except StopRequested as stop:
        LOGGER.warning("%s", stop)
        dist.leave(stop.exit_code)
        return stop.exit_code
    except BaseException as error:
        dist.abort(error)
        if isinstance(error, SystemExit):
            raise RunError(f"something in the run called sys.exit({error.code}): it has not finished") from error
        raise
    if dist.is_main():
        lock.finished(runner.iter)
    LOGGER.info("%s", ending(runner, args.config))
    dist.leave(0)
    return 0


def is_done(config: Config, work_dir: Path, lock: RunLock, iteration: int, path: Path) -> bool:
    """True if a run at `iteration` (of the checkpoint `path`) has nothing left to do, the last evaluation included.

    One that ended by itself and is to go on with another config is evaluated as that says.
    """
    from srtoolbox.engine.job.run_config import is_config_of

    if iteration != config["max_iters"]:
        return iteration > config["max_iters"]
    return lock.has_finished(path, iteration) and is_config_of(work_dir, config)


def ending(runner: Runner, config: str) -> str:
    """The last sentence of a run that has finished: what was done, and how to test it."""
    from srtoolbox.engine.job.outcome import worth_testing

    done = f"done: {runner.work_dir}"
    if runner.begun_at == runner.max_iters:
        done = f"nothing was left to train: iteration {runner.iter} of {runner.max_iters} was reached before"
    files = " ".join(map(str, worth_testing(runner)))
    return f"{done}. Test it: srtoolbox test {config} {files}" if files else done


def begin(
    config: Config,
    work_dir: Path,
    lock: RunLock,
    state: dict[str, Any] | None,
    path: Path | None,
    *,
    overwrite: bool,
) -> Runner:
    """The runner of a run, fresh or from `state` (of the file `path`); its work dir is ready, its log begun."""
    from srtoolbox import dist
    from srtoolbox.engine.job.describe import describe
    from srtoolbox.engine.job.run_config import save_config
    from srtoolbox.engine.job.workdir import prepare
    from srtoolbox.engine.runner import Runner
    from srtoolbox.logger import setup_logging

    runner = Runner(config, work_dir, resume=state, resumed_from=path)
    if dist.is_main():
        lock.acquire_for_use()
        prepare(work_dir, iteration=runner.iter, overwrite=overwrite, resumed_from=path)
        save_config(work_dir, config.dump(), runner.iter)
        lock.begun(path)
    dist.barrier()
    setup_logging(work_dir / "train.log", main_process=dist.is_main())
    if dist.is_main():
        describe(runner)
    return runner
