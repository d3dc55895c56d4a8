"""The runner owns the loop and all that a run is made of; what is periodic is a hook's (see `engine/hooks/base.py`)."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox import dist
from srtoolbox.data.loading.loader import WaitInterrupted, build_train_loader
from srtoolbox.engine.device import select_device, set_up_torch, to_device
from srtoolbox.engine.evaluate import EvaluationInterrupted
from srtoolbox.engine.guard.halt import check_steps, out_of_memory
from srtoolbox.engine.guard.statistics import StatisticsGuard
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.hooks.scheduler import SchedulerHook
from srtoolbox.engine.job.process import default_threads
from srtoolbox.engine.job.signals import StopRequested, StopSignals
from srtoolbox.engine.random_state import generators, seed_everything
from srtoolbox.engine.run_state import load_initial_weights, load_random_state, load_run_state
from srtoolbox.errors import ConfigError, MissingDataError, RunError, WriteError
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.logger import LOGGER
from srtoolbox.optim.wrapper import build_optim
from srtoolbox.registry import DATASETS, HOOKS, METRICS, MODELS

if TYPE_CHECKING:
    from srtoolbox.config import Config

AFTER_UPDATE = (Phase.SAVE, Phase.EVALUATE, Phase.LOG)


class Runner:
    """One training run. Building it writes nothing: `train()` does.

    Args:
        config: a checked config with `model`, `optim`, `data.train` and `max_iters`.
        work_dir: where checkpoints and logs go.
        resume: state of a checkpoint (`load_checkpoint`) to continue exactly.
        resumed_from: the file that state came from, if any: messages name it, and a save never removes it.

    Raises:
        CheckpointError: the state does not fit the config.
    """

    def __init__(
        self, config: Config, work_dir: Path, *, resume: dict[str, Any] | None = None, resumed_from: Path | None = None
    ) -> None:
        self.config = config
        self.work_dir = Path(work_dir)
        self.is_resumed, self.resumed_from = resume is not None, resumed_from
        self.max_iters: int = config["max_iters"]
        self.accumulation: int = config.get("accumulate", 1)
        self.runtime = dict(config.get("runtime") or {})
        self.seed: int = config.get("seed", 0)
        self.device = select_device(self.runtime.get("device"))
        set_up_torch(self.runtime)
        dist.init(self.device, self.runtime.get("dist_timeout", dist.TIMEOUT))
        self.world = dist.world_size()
        seed_everything(self.seed)
        self.iter, self.draws = (resume["iter"], resume["draws"]) if resume else (0, 0)
        self.begun_at = self.iter  # where this process begins
        self.whole = bool(resume and resume.get("whole"))  # whether all is done that follows iteration `iter`
        self.terms: dict[str, Tensor | float] = {}  # of the last iteration, weighted
        self.data_seconds = self.paused_seconds = 0.0  # waiting for batches; saving and evaluating
        self.signals, self.stop_signal = StopSignals(), 0
        self._check_same_start()
        self._build(config, fine_tune=resume is None)
        if resume:
            load_run_state(self, resume)
        self._threads_before = torch.get_num_threads()
        self.default_threads = None
        if self.device.type == "cpu":
            self.default_threads = default_threads((self.networks[name] for name in self.optims), config)
        if self.default_threads:
            torch.set_num_threads(self.default_threads)
        self.guard = StatisticsGuard(self.networks[name] for name in self.optims)
        dist.barrier()  # a rank that read its data late must not let a collective of the others time out
        self._wrap_networks()
        self.generators = generators(self.device)
        self.batches = self._batches()
        self._workers_start = config["data"]["train"].get("workers", 0) > 0  # seconds, where they are not forked
        seed_everything(self.seed + dist.rank())
        if resume:
            load_random_state(self, resume["rng"])

    def _build(self, config: Config, *, fine_tune: bool) -> None:
        # what may not be there first: a perceptual loss may download a network
        source = config.get("load_from") if fine_tune else None
        weights = load_tensors(source) if source else None
        try:
            self.dataset = DATASETS.build(config["data"]["train"]["dataset"])
        except MissingDataError as error:
            raise MissingDataError(f"the training set is not there: {error}", error.path) from error
        self.model = MODELS.build(config["model"]).to(self.device)
        if self.runtime.get("channels_last"):
            self.model.to(memory_format=torch.channels_last)
        self.networks: dict[str, nn.Module] = dict(self.model.networks())
        if weights is not None:
            load_initial_weights(self, weights, source)
        self.optims = {
            name: build_optim(name, self.networks[name], cfg, amp=self.runtime.get("amp"))
            for name, cfg in config["optim"].items()
        }
        hooks: dict[str, Hook] = {name: HOOKS.build(cfg) for name, cfg in (config.get("hooks") or {}).items()}
        self.hooks = dict(sorted(hooks.items(), key=lambda item: item[1].phase))  # stable: ties keep the config's order
        self._check_schedules()
        self.call("set_up")

    def train(self) -> None:
        """Run to `max_iters`.

        Raises:
            StopRequested: a signal came; the state is saved.
            RunError: what must be saved cannot be (and all that a hook raises).
        """
        error: BaseException | None = None
        self.set_training_mode()
        try:
            with self.signals:
                self.call("before_train")
                dist.barrier()
                self._begin()
                while self.iter < self.max_iters:
                    self.run_iter()
        except WriteError as caught:
            error = RunError(
                f"{caught} The run stops at iteration {self.iter}; --resume continues from the newest save"
            )
            raise error from caught
        except BaseException as caught:
            error = caught
            raise
        finally:
            try:
                self._end(error)
            finally:
                self.batches.close()
                if self.default_threads:
                    torch.set_num_threads(self._threads_before)

    def _begin(self) -> None:
        """Do what precedes the first iteration: of a resumed run, all that follows the save it continues from."""
        try:
            if not self.is_resumed:
                self._interruptible("at_start")
            elif not self.whole:  # it is in no earlier log
                self._after_iter((Phase.EVALUATE, Phase.LOG))
        except torch.OutOfMemoryError as error:
            raise RunError(out_of_memory(self, stepping=False)) from error

    def set_training_mode(self) -> None:
        """Put the model into training mode, all but what is frozen."""
        self.model.train()
        for optim in self.optims.values():
            optim.hold_frozen()

    def _end(self, error: BaseException | None) -> None:
        """Tell all hooks of the end. What fails now is raised where it is the first fault of the run, else logged."""
        late: Exception | None = None
        for name, hook in self.hooks.items():
            try:
                hook.after_train(self, error)
            except Exception as caught:
                if error is None and late is None:
                    late = caught
                else:
                    LOGGER.error("hooks.%s failed, too, as the run ended: %s: %s", name, type(caught).__name__, caught)
        if late is not None:
            raise late

    def run_iter(self) -> None:
        """One iteration with all its hooks; where a signal came, only those that update and save.

        A step that is broken off, by a signal while its data does not come or for want of memory, leaves the state that
        the iteration before it left, but for BatchNorm's count of batches, which nothing reads, and the vectors of
        spectral norms, which change with every forward pass.

        Raises:
            StopRequested: a signal came, and the hooks that save have done so.
            RunError: the device's memory is full (the state is saved), or steps fail again and again.
        """
        finished, draws = self.iter, self.draws
        try:
            self._run_iter()
        except WaitInterrupted:
            self._take_back(draws)
            self.stop_signal = self.signals.received
            if self.iter > 0:
                self.call("after_iter", phases=(Phase.SAVE,))
            raise self._stopped() from None
        except torch.OutOfMemoryError as error:
            if self.iter == finished:
                self._take_back(draws)
            raise RunError(out_of_memory(self, stepping=self.iter == finished)) from error

    def _take_back(self, draws: int) -> None:
        """Undo what a step that was broken off has drawn, and what it has done to BatchNorm's statistics."""
        self.draws = draws
        for generator, state in zip(self.generators, self._random_before, strict=True):
            generator.set_state(state)
        self.guard.restore()

    def _run_iter(self) -> None:
        vote = dist.Vote(self.signals.received) if self.world > 1 else None  # travels while this rank computes
        self.terms = self._step()
        self.iter, self.whole = self.iter + 1, False
        self.stop_signal = vote.result() if vote else self.signals.received
        self.call("after_iter", phases=(Phase.UPDATE,))
        check_steps(self)
        if self.stop_signal and self.iter < self.max_iters:
            self.call("after_iter", phases=(Phase.SAVE,))
            raise self._stopped()
        self._after_iter(self._due_phases())

    @property
    def doubtful(self) -> bool:
        """Whether the last step was left out: the weights may be beyond repair, so a save waits for one that succeeds.

        Not at the end, when there is none to come (what is not finite is never saved).
        """
        return self.iter < self.max_iters and self._left_out()

    def _left_out(self) -> bool:
        """Whether the last step of any network was."""
        return any([optim.skipped_steps.in_a_row for optim in self.optims.values()])

    def _due_phases(self) -> tuple[Phase, ...]:
        """What follows UPDATE."""
        if not self._left_out():
            return AFTER_UPDATE
        for name, optim in self.optims.items():
            if optim.skipped_steps.in_a_row == 1:
                LOGGER.warning(
                    "iteration %d: a step of %s left out, its loss or gradients are not finite (%d so far); saving "
                    "waits for a step that succeeds", self.iter, name, optim.skipped_steps.total
                )  # fmt: skip
        return AFTER_UPDATE[1:] if self.doubtful else AFTER_UPDATE

    def _after_iter(self, phases: tuple[Phase, ...]) -> None:
        self._interruptible("after_iter", phases)
        self.whole = True

    def _interruptible(self, point: str, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
        """Let hooks act that may evaluate, which a signal breaks off."""
        try:
            self.call(point, phases=phases)
        except EvaluationInterrupted:  # the resumed run enters this iteration after SAVE, and evaluates
            self.stop_signal = dist.Vote(self.signals.received).result()
            if self.iter > 0:
                self.call("after_iter", phases=(Phase.SAVE,))
            raise self._stopped() from None

    def _stopped(self) -> StopRequested:
        saved = self.iter > 0 and any(hook.phase is Phase.SAVE for hook in self.hooks.values())
        return StopRequested(self.stop_signal, saved=saved)

    def _step(self) -> dict[str, Tensor]:
        """One iteration is one optimizer step, from `accumulate` batches. Returns the mean of their loss terms."""
        self.model.iteration = self.iter
        self._random_before = [generator.get_state() for generator in self.generators]
        parts = []
        for part in range(self.accumulation):
            for optim in self.optims.values():
                optim.accumulate(part, self.accumulation)
            batch = self._next_batch()
            dist.enter("train", self.iter)
            self.draws += len(batch["lq"]) * self.world
            with self._no_sync() if part < self.accumulation - 1 else contextlib.nullcontext():
                parts.append(self.model.train_step(batch, self.optims))
        flags = [optim.nonfinite_flag for optim in self.optims.values()]
        self.guard.after_step([flag for flag in flags if flag is not None])
        return parts[0] if len(parts) == 1 else _means(parts)

    def _next_batch(self) -> dict[str, Any]:
        """The next batch, on the device. Workers that still start are a sign neither of slow data nor of a hang."""
        start = time.perf_counter()
        dist.enter("start" if self._workers_start else "data", self.iter)
        batch = to_device(next(self.batches), self.device)
        seconds = time.perf_counter() - start
        if self._workers_start:
            self.paused_seconds += seconds
        else:
            self.data_seconds += seconds
        self._workers_start = False
        return batch

    def call(self, point: str, *args: object, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
        """Let the hooks of the given phases act, in their order."""
        for hook in self.hooks.values():
            if hook.phase in phases:
                getattr(hook, point)(self, *args)

    @contextlib.contextmanager
    def pausing(self, phase: str) -> Iterator[None]:
        """Time spent inside is not counted as training time in the log. All ranks enter and leave together.

        Args:
            phase: 'save' or 'evaluate': there rank 0 may be busy for long while the others wait at the end.
        """
        dist.enter(phase, self.iter)
        start = time.perf_counter()
        yield
        dist.barrier()
        self.paused_seconds += time.perf_counter() - start
        dist.enter("log", self.iter)

    @property
    def begins_at(self) -> int:
        """The first iteration whose evaluation and log this run writes, as its hooks begin."""
        return self.iter + self.whole

    def higher_is_better(self, metric: str) -> bool:
        """Whether a larger value of a validation metric, by its name in the config, is a better one."""
        return METRICS.get(self.config["data"]["val"]["metrics"][metric]["type"]).higher_is_better

    def synchronise_buffers(self) -> None:
        """Give all ranks rank 0's buffers (BatchNorm statistics), which DDP leaves different."""
        for network in self.networks.values():
            dist.broadcast_buffers(network)

    def _check_schedules(self) -> None:
        scheduled = [name for name, optim in self.optims.items() if optim.scheduler is not None]
        if scheduled and not any(isinstance(hook, SchedulerHook) for hook in self.hooks.values()):
            raise ConfigError(
                f"optim.{scheduled[0]}.scheduler needs hooks.scheduler = dict(type='SchedulerHook') to step it"
            )

    def _wrap_networks(self) -> None:
        """Compile in place (state_dict keys stay clean), then DDP on the model's own attribute."""
        for name in self.optims:
            network = self.networks[name]
            if self.runtime.get("compile"):
                network.compile()
            if dist.world_size() > 1:
                devices = [self.device.index] if self.device.type == "cuda" else None
                with warnings.catch_warnings():  # torch announces another spelling of broadcast_buffers, once per rank
                    warnings.simplefilter("ignore", FutureWarning)
                    wrapped = DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)
                setattr(self.model, name, wrapped)

    def _no_sync(self) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        for module in self.model.children():
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        return stack

    def _batches(self) -> Any:  # noqa: ANN401 - an endless iterator with close()
        train: Mapping[str, Any] = self.config["data"]["train"]
        return build_train_loader(
            self.dataset,
            batch_size=train["batch_size"],
            workers=train.get("workers", 0),
            seed=self.seed,
            start=self.draws,
            rank=dist.rank(),
            world=dist.world_size(),
            interrupted=self._may_stop_waiting(),
        )

    def _may_stop_waiting(self) -> Callable[[], bool]:
        """What tells the loader that a signal came. Not with several ranks: only together can they save."""
        signals, alone = self.signals, self.world == 1
        return lambda: alone and bool(signals.received)

    def _check_same_start(self) -> None:
        """All ranks continue from one checkpoint: a network disk may show them different ones."""
        starts = dist.all_gather_object((self.iter, self.draws))
        if len(set(starts)) > 1:
            raise RunError(
                f"the ranks found different checkpoints, of iterations {', '.join(str(start[0]) for start in starts)}. "
                f"All need the same view of {self.work_dir}; wait a moment, or name one with --resume-from"
            )


def _means(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over the parts that have it."""
    given = {name: [part[name] for part in parts if name in part] for part in parts for name in part}
    return {name: sum(values) / len(values) for name, values in given.items()}
