"""A run: what it trains and by what, how far it is, and its state as checkpoints hold it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox import dist
from srtoolbox.check.components import complete_hooks
from srtoolbox.config import Config
from srtoolbox.data.datasets.base import Batch, SRDataset
from srtoolbox.data.loading.ahead import Batches, batches_for
from srtoolbox.data.loading.draws import EndlessSampler
from srtoolbox.data.loading.kept import kept_batches
from srtoolbox.data.loading.loader import Begin, TrainLoader
from srtoolbox.engine.defaults import resolve, runtime_values
from srtoolbox.engine.device import (
    compile_network,
    default_threads,
    generators,
    random_state,
    seed_everything,
    select_device,
    set_random_state,
    set_up_torch,
    to_device,
)
from srtoolbox.engine.hooks.base import Hook, Phase
from srtoolbox.engine.job.run_config import report_changes
from srtoolbox.engine.stop import StopSignals
from srtoolbox.errors import CheckpointError, MissingDataError, RunError
from srtoolbox.interfaces import preparation_of
from srtoolbox.logger import LOGGER
from srtoolbox.optim.nonfinite import StatisticsGuard
from srtoolbox.optim.wrapper import build_optim
from srtoolbox.registry import DATASETS, HOOKS, METRICS, MODELS
from srtoolbox.weights.finetune import load_initial_weights, read_starts


class Run:
    """One training run. Building it writes nothing: `train` (`engine/loop.py`) does.

    Args:
        config: a checked config with `model`, `optim`, `data.train` and `max_iters`.
        work_dir: the folder for checkpoints and logs.
        resume: state of a checkpoint (`load_checkpoint`) to continue exactly.
        resumed_from: the file of that state, if any: messages name it, and a save never removes it.

    Raises:
        CheckpointError: the state does not fit the config.

    Attributes that hooks use are listed in docs/hooks.md.
    """

    def __init__(
        self,
        config: Config,
        work_dir: Path,
        *,
        resume: Mapping[str, Any] | None = None,
        resumed_from: Path | None = None,
    ) -> None:
        self.config, self.work_dir = config, Path(work_dir)
        self.is_resumed, self.resumed_from = resume is not None, resumed_from
        self.max_iters: int = config["max_iters"]
        self.accumulation: int = config.get("accumulate", 1)
        self.runtime: dict[str, Any] = dict(config.get("runtime") or {})
        self.seed: int = config.get("seed", 0)
        self.device = select_device(self.runtime.get("device"))
        set_up_torch(self.runtime)
        dist.init(self.device, self.runtime.get("dist_timeout", dist.TIMEOUT))
        self.world = dist.world_size()
        seed_everything(self.seed)
        self.start_iter: int = resume["iter"] if resume else 0  # of this process
        self.iter, self.draws = self.start_iter, int(resume["draws"]) if resume else 0
        self.iteration_finished = bool(resume and resume.get("whole"))  # by the hooks, too
        self.terms: Mapping[str, Tensor | float] = {}  # losses of the last iteration, weighted
        self.data_seconds = self.paused_seconds = 0.0  # for batches; for saving and evaluating
        self.signals, self.stop_signal = StopSignals(), 0
        self.in_step: frozenset[str] = frozenset()  # hooks whose `after_iter` is part of the step
        self._before_step: tuple[int, list[Tensor]] | None = None
        self._check_same_start()
        self._build(earlier=json.loads(resume["config"]) if resume else None)
        if resume:
            self.load_state_dict(resume)
        learning = [self.networks[name] for name in self.optims]
        self._threads_before = torch.get_num_threads()
        is_cpu = self.device.type == "cpu"
        self.default_threads = default_threads(learning, config) if is_cpu else None
        if self.default_threads:
            torch.set_num_threads(self.default_threads)
        self.statistics = StatisticsGuard(learning)
        dist.barrier()  # a rank whose data came late must not let the others' collectives time out
        for name in self.optims:
            compile_network(self.networks[name], self.runtime.get("compile", False))
        self._generators = generators(self.device)
        self._load_data()
        seed_everything(self.seed + dist.rank())
        if resume:
            self._load_random_state(resume["rng"])

    def _build(self, *, earlier: Mapping[str, Any] | None) -> None:
        """Build all parts; `earlier` is the config of the run that is resumed."""
        # first what may be missing: a perceptual loss may download a network
        config = self.config
        starts = read_starts(config.get("load_from")) if earlier is None else {}
        try:
            self.dataset: SRDataset = DATASETS.build(config["data"]["train"]["dataset"])
        except MissingDataError as error:
            raise MissingDataError(f"the training set is not there: {error}", error.path) from error
        self.model = MODELS.build(config["model"]).to(self.device)
        learning = [network for name, network in self.model.networks().items() if name in config["optim"]]
        self.config, self.choices = resolve(config, self.device, learning, earlier)
        self.runtime = runtime_values(self.config.get("runtime") or {})
        self.preparation = preparation_of(self.model)
        if self.preparation is not None and hasattr(self.dataset, "leave_out_lq"):
            self.dataset.leave_out_lq()
        if self.runtime.get("channels_last"):
            self.model.to(memory_format=torch.channels_last)
        self.networks: dict[str, nn.Module] = dict(self.model.networks())
        load_initial_weights(self.networks, config, starts)
        self.optims = {
            name: build_optim(name, self.networks[name], cfg, amp=self.runtime.get("amp"))
            for name, cfg in config["optim"].items()
        }
        hooks = [(name, HOOKS.build(cfg)) for name, cfg in complete_hooks(config).items()]
        self.hooks: dict[str, Hook] = dict(sorted(hooks, key=lambda item: item[1].phase))
        self.call("set_up")

    def _check_same_start(self) -> None:
        """Refuse ranks that see different checkpoints, as a network disk may show them."""
        starts = dist.all_gather_object((self.iter, self.draws))
        if len(set(starts)) > 1:
            iterations = ", ".join(str(iteration) for iteration, _ in starts)
            raise RunError(
                f"the ranks found different checkpoints, of iterations {iterations}. All need the same "
                f"view of {self.work_dir}; wait a moment, or name one with --resume-from"
            )

    def _load_data(self) -> None:
        """Begin to load batches from the sample `draws` on."""
        train: Mapping[str, Any] = self.config["data"]["train"]
        signals, is_alone = self.signals, self.world == 1  # several ranks can save together only
        sampler, begin = self.sampler(self.draws, dist.rank(), self.world), self.begin(self.world)
        host_steps = self.preparation.host_steps if self.preparation is not None else ()
        on_device = train.get("on_device", "auto")
        kept = kept_batches(self.dataset, sampler, self.device, on_device, begin, host_steps)
        workers = train.get("workers", 0) if kept is None else 0
        self._workers_start = workers > 0  # takes seconds where they are not forked
        self.batches: Batches = kept or batches_for(
            TrainLoader(self.dataset, sampler, workers, lambda: is_alone and bool(signals.received), begin), self.device
        )

    def sampler(self, start: int, rank: int, world: int) -> EndlessSampler:
        """Return what one of `world` ranks draws when all have drawn `start` samples."""
        train: Mapping[str, Any] = self.config["data"]["train"]
        return EndlessSampler(self.dataset, train["batch_size"], self.seed, start, rank, world, train.get("pool"))

    def begin(self, world: int) -> Begin | None:
        """Return what `model.preprocess` does where a rank makes a batch, if it makes LQ of GT."""
        if self.preparation is None:
            return None
        return partial(self.preparation.begin, group=self.config["data"]["train"]["batch_size"] * world)

    def close(self) -> None:
        """End the data workers, and give torch its number of threads back."""
        self.batches.close()
        if self.default_threads:
            torch.set_num_threads(self._threads_before)

    # --- one step

    def set_training_mode(self) -> None:
        """Put the model into training mode, all but its frozen parts."""
        self.model.train()
        for optim in self.optims.values():
            optim.hold_frozen()

    def begin_step(self) -> None:
        """Tell the model the iteration, and keep what `undo_step` gives back."""
        self.model.iteration = self.iter
        self._before_step = self.draws, [generator.get_state() for generator in self._generators]

    def average_gradients(self) -> None:
        """Let the ranks average their gradients in each backward pass from here on.

        All must call it. Only for steps by operators: what does it keeps the sums of gradients on
        the stream where it was made, and nothing that comes to them can be captured on another.
        """
        for name in self.optims if self.world > 1 else ():
            if getattr(self.model, name) is self.networks[name]:
                setattr(self.model, name, dist.averaging_gradients(self.networks[name], self.device))

    def part_of_step(self, part: int) -> contextlib.AbstractContextManager[object]:
        """Return the context of one of the `accumulation` batches of a step."""
        for optim in self.optims.values():
            optim.accumulate(part, self.accumulation)
        if part == self.accumulation - 1:
            return contextlib.nullcontext()
        stack = contextlib.ExitStack()  # gradients are summed; the last batch averages them
        for module in self.model.children():
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        return stack

    def next_batch(self) -> Batch:
        """Return the next batch, on the device; the start of workers is no waiting for data."""
        start = time.perf_counter()
        dist.enter("start" if self._workers_start else "data", self.iter)
        batch = self.finish(to_device(next(self.batches), self.device))
        seconds = time.perf_counter() - start
        if self._workers_start:
            self.paused_seconds += seconds
        else:  # a device may have work left while this thread stands still: its own waits count
            waits = getattr(self.batches, "waits", None)
            self.data_seconds += waits.seconds() if waits else seconds
        self._workers_start = False
        dist.enter("train", self.iter)
        self.draws += len(batch["lq"]) * self.world
        return batch

    def finish(self, batch: Batch) -> Batch:
        """Return a batch on the device as a step takes it; no graph holds what is done here."""
        return batch if self.preparation is None else self.model.finish(batch)

    def end_step(self, terms: Mapping[str, Tensor]) -> None:
        """Count an iteration, with its loss terms."""
        self.terms = terms
        self.iter, self.iteration_finished, self._before_step = self.iter + 1, False, None

    def undo_step(self) -> bool:
        """Take back draws, random numbers and BatchNorm statistics of a step broken off."""
        if self._before_step is None:
            return False
        self.draws, states = self._before_step
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
        self.statistics.restore()
        self._before_step = None
        return True

    @property
    def last_step_skipped(self) -> bool:
        """True if a save must wait: the last step was left out, and weights may be beyond repair.

        False at the end, when no other step comes (weights that are not finite are never saved).
        """
        skips = [optim.skipped_steps.in_a_row for optim in self.optims.values()]
        return self.iter < self.max_iters and any(skips)

    # --- for hooks

    def call(self, point: str, *args: object, phases: Sequence[Phase] = tuple(Phase)) -> None:
        """Let the hooks of the given phases act, in their order."""
        done = self.in_step if point == "after_iter" else ()
        for name, hook in self.hooks.items():
            if hook.phase in phases and name not in done:
                getattr(hook, point)(self, *args)

    @contextlib.contextmanager
    def pausing(self, phase: str) -> Iterator[None]:
        """Leave the time inside out of the training time in the log. All ranks leave together.

        In the phases 'save' and 'evaluate' they may wait long for rank 0.
        """
        dist.enter(phase, self.iter)
        start = time.perf_counter()
        yield
        dist.barrier()
        self.paused_seconds += time.perf_counter() - start
        dist.enter("log", self.iter)

    @property
    def first_logged_iter(self) -> int:
        """The first iteration that this process evaluates and logs, seen from `before_train`."""
        return self.iter + self.iteration_finished

    def higher_is_better(self, metric: str) -> bool | None:
        """True if more of a validation metric, by its name, is better; None: neither is."""
        kind = self.config["data"]["val"]["metrics"][metric]["type"]
        return getattr(METRICS.get(kind), "higher_is_better", None)

    def synchronise_buffers(self) -> None:
        """Give all ranks rank 0's buffers (BatchNorm statistics), which DDP leaves different."""
        for network in self.networks.values():
            dist.broadcast_buffers(network)

    # --- its state

    def network_state(self) -> dict[str, Any]:
        """Return what `load_network` needs: weights and config."""
        return {
            "iter": self.iter,
            "config": json.dumps(self.config.to_dict()),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that an exact continuation needs. Every rank must call it."""
        return {
            **self.network_state(),
            **({"whole": True} if self.iteration_finished else {}),
            "optims": {name: optim.state_dict() for name, optim in self.optims.items()},
            "hooks": {name: hook.state_dict() for name, hook in self.hooks.items()},
            "draws": self.draws,
            "dataset_digest": self.dataset.digest(),
            "terms": dist.all_gather_object({key: float(term) for key, term in self.terms.items()}),
            "rng": dist.all_gather_object(random_state(self.device)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back networks, optimizers and hooks; the random state follows with the data.

        An optimizer whose settings changed keeps its moments, and goes by the new settings.

        Raises:
            CheckpointError: networks or optimizers differ from the config's.
        """
        before = json.loads(state["config"])
        if dist.is_main():
            report_changes(before, self.config.to_dict(), self.iter)
        try:
            self._load_parts(state, before["optim"])
        except (KeyError, ValueError, RuntimeError) as error:
            kind, reason = type(error).__name__, " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{self.resumed_from or 'the state'}: does not fit this config ({kind}: {reason}). Resume "
                f"with the config of that run, or take only its weights with --load-from"
            ) from error
        self.terms = state["terms"][dist.rank() if len(state["terms"]) == self.world else 0]
        if state["dataset_digest"] != self.dataset.digest() and dist.is_main():
            LOGGER.warning("the training images are not those of the checkpoint: the run cannot go on exactly")

    def _load_parts(self, state: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """Load networks, optimizers (their settings were `before`) and hooks."""
        for name in self.networks.keys() | state["networks"].keys():
            self.networks[name].load_state_dict(state["networks"][name])
        now = json.loads(json.dumps(self.config.to_dict()["optim"]))
        for name, optim in self.optims.items():
            if before[name]["optimizer"]["type"] != now[name]["optimizer"]["type"]:
                raise ValueError(f"optim.{name} was {before[name]['optimizer']['type']}")
            changed = before[name] != now[name]
            optim.load_state_dict(state["optims"][name], restart_at=self.iter if changed else None)
        for name in self.hooks.keys() & state["hooks"].keys():
            self.hooks[name].load_state_dict(state["hooks"][name])

    def _load_random_state(self, states: Sequence[dict[str, Any]]) -> None:
        """Take back this rank's random state; with another number of ranks there is none."""
        if len(states) == self.world:
            set_random_state(states[dist.rank()], self.device)
        elif dist.is_main():
            LOGGER.warning("%d processes after %d: random states start anew", self.world, len(states))
