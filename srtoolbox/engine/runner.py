"""The runner owns the loop and all that a run is made of; what is periodic is a hook's (see `engine/hooks/base.py`)."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox import dist
from srtoolbox.data.loader import build_train_loader
from srtoolbox.engine.checkpoint import load_matching, load_weights
from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.hooks.scheduler import SchedulerHook
from srtoolbox.engine.optim import build_optim
from srtoolbox.engine.signals import StopRequested, StopSignals
from srtoolbox.errors import CheckpointError, ConfigError
from srtoolbox.logger import LOGGER
from srtoolbox.registry import DATASETS, HOOKS, METRICS, MODELS

if TYPE_CHECKING:
    from srtoolbox.config import Config


class Runner:
    """One training run.

    Args:
        config: a checked config with `model`, `optim`, `data.train` and `max_iters`.
        work_dir: where checkpoints and logs go.
        resume: state of a checkpoint (`load_checkpoint`) to continue exactly.
        resumed_from: the file that state came from.
    """

    def __init__(
        self, config: Config, work_dir: Path, *, resume: dict[str, Any] | None = None, resumed_from: Path | None = None
    ) -> None:
        self.config = config
        self.work_dir = Path(work_dir)
        self.resumed_from = resumed_from
        self.max_iters: int = config["max_iters"]
        self.accumulation: int = config.get("accumulate", 1)
        self.runtime = dict(config.get("runtime") or {})
        self.seed: int = config.get("seed", 0)
        self.device = select_device(self.runtime.get("device"))
        set_up_torch(self.runtime)
        dist.init(self.device)
        seed_everything(self.seed)
        self.iter, self.draws = (resume["iter"], resume["draws"]) if resume else (0, 0)
        self.terms: dict[str, Tensor | float] = {}  # of the last iteration, weighted
        self.data_seconds = 0.0
        self.signals, self.stop_signal = StopSignals(), 0

        self.model = MODELS.build(config["model"]).to(self.device)
        if self.runtime.get("channels_last"):
            self.model.to(memory_format=torch.channels_last)
        self.networks: dict[str, nn.Module] = dict(self.model.networks())
        if config.get("load_from") and not resume:
            self._load_from(config["load_from"])
        self.optims = {
            name: build_optim(name, self.networks[name], cfg, amp=self.runtime.get("amp"))
            for name, cfg in config["optim"].items()
        }
        hooks: dict[str, Hook] = {name: HOOKS.build(cfg) for name, cfg in (config.get("hooks") or {}).items()}
        self.hooks = dict(sorted(hooks.items(), key=lambda item: item[1].phase))  # stable: ties keep the config's order
        self._check_schedules()
        self.call("before_train")
        if resume:
            self.load_state_dict(resume)
        self._wrap_networks()
        self.dataset = DATASETS.build(config["data"]["train"]["dataset"])
        if resume and resume["dataset_digest"] != self.dataset.digest():
            LOGGER.warning(
                "the training pictures are not those of the checkpoint: the run goes on, but not as it would have"
            )
        self.batches = self._batches()
        seed_everything(self.seed + dist.rank())
        if resume:
            self._load_rng(resume["rng"])

    def train(self) -> None:
        """Run to `max_iters`.

        Raises:
            StopRequested: a signal came; the state is saved.
        """
        error: BaseException | None = None
        self.model.train()
        try:
            with self.signals:
                if (
                    self.resumed_from is not None
                ):  # what follows the save of that iteration happened in no earlier process
                    self.call("after_iter", phases=(Phase.EVALUATE, Phase.LOG))
                while self.iter < self.max_iters:
                    self.run_iter()
        except BaseException as caught:
            error = caught
            raise
        finally:
            self.call("after_train", error)

    def run_iter(self) -> None:
        """One iteration with all its hooks; where a signal came, only those that update and save.

        Raises:
            StopRequested: a signal came, and the state is saved.
        """
        self.terms = self._step()
        self.iter += 1
        self.stop_signal = self._agreed_signal()
        if self.stop_signal and self.iter < self.max_iters:
            self.call("after_iter", phases=(Phase.UPDATE, Phase.SAVE))
            raise StopRequested(self.stop_signal)
        self.call("after_iter")

    def _step(self) -> dict[str, Tensor]:
        """One iteration is one optimizer step, from `accumulate` batches."""
        for part in range(self.accumulation):
            start = time.perf_counter()
            batch = to_device(next(self.batches), self.device)
            self.data_seconds += time.perf_counter() - start
            self.draws += len(batch["lq"]) * dist.world_size()
            for optim in self.optims.values():
                optim.accumulate(part, self.accumulation)
            with self._no_sync() if part < self.accumulation - 1 else contextlib.nullcontext():
                terms = self.model.train_step(batch, self.optims)
        return terms

    def call(self, point: str, *args: object, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
        """Let the hooks of the given phases act, in their order."""
        for hook in self.hooks.values():
            if hook.phase in phases:
                getattr(hook, point)(self, *args)

    def higher_is_better(self, metric: str) -> bool:
        """Whether a larger value of a validation metric, by its name in the config, is a better one."""
        return METRICS.get(self.config["data"]["val"]["metrics"][metric]["type"]).higher_is_better

    def synchronise_buffers(self) -> None:
        """Give all ranks rank 0's buffers (BatchNorm statistics), which DDP leaves different."""
        for network in self.networks.values():
            dist.broadcast_buffers(network)

    def network_state(self) -> dict[str, Any]:
        """What `load_network` needs: weights and config."""
        return {
            "iter": self.iter,
            "config": json.dumps(self.config.to_dict()),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything an exact continuation needs: tensors and plain values. Every rank must call it."""
        return {
            **self.network_state(),
            "optims": {name: optim.state_dict() for name, optim in self.optims.items()},
            "hooks": {name: hook.state_dict() for name, hook in self.hooks.items()},
            "draws": self.draws,
            "dataset_digest": self.dataset.digest(),
            "terms": {name: float(term) for name, term in self.terms.items()},
            "rng": dist.all_gather_object(rng_state(self.device)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back networks, optimizers and hooks (the random state follows after the loader is built)."""
        missing = sorted(self.networks.keys() ^ state["networks"].keys())
        if missing:
            raise CheckpointError(
                f"the checkpoint and this config differ in networks ({', '.join(missing)}); see --load-from"
            )
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optim in self.optims.items():
            optim.load_state_dict(state["optims"][name])
        for name, hook in self.hooks.items():
            if name in state["hooks"]:
                hook.load_state_dict(state["hooks"][name])
        self.terms = state["terms"]

    def _load_rng(self, states: list[dict[str, Any]]) -> None:
        if len(states) == dist.world_size():
            set_rng_state(states[dist.rank()], self.device)
        else:
            LOGGER.warning(
                "resumed with %d processes after %d: random states start anew", dist.world_size(), len(states)
            )

    def _load_from(self, path: str) -> None:
        for name, network in self.networks.items():
            try:
                load_matching(network, load_weights(path, name), path)
            except CheckpointError:
                if name == "generator":
                    raise
                LOGGER.warning("%s holds no %s: it starts from its initialisation", path, name)

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
                setattr(self.model, name, DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False))

    def _no_sync(self) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        for module in self.model.children():
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        return stack

    def _batches(self) -> Iterator[dict[str, Any]]:
        train = self.config["data"]["train"]
        return iter(
            build_train_loader(
                self.dataset,
                batch_size=train["batch_size"],
                workers=train.get("workers", 0),
                seed=self.seed,
                start=self.draws,
                rank=dist.rank(),
                world=dist.world_size(),
            )
        )

    def _agreed_signal(self) -> int:
        # ranks must stop at the same iteration; asking costs a message, so it is done now and then
        if dist.world_size() == 1:
            return self.signals.received
        return dist.max_over_ranks(self.signals.received) if self.iter % 10 == 0 else 0


def select_device(name: str | None) -> torch.device:
    """The device a run uses: the named one, or this rank's GPU where there is one, else the CPU.

    Raises:
        ConfigError: a device this machine does not have.
    """
    if name in (None, "auto"):
        return torch.device("cuda", dist.local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} is not usable here ({str(error).splitlines()[0]}); try cpu or auto"
        ) from error
    return torch.device("cuda", dist.local_rank()) if device.type == "cuda" and device.index is None else device


def set_up_torch(runtime: dict[str, Any]) -> None:
    """Threads, determinism and kernel choice by `runtime`."""
    if runtime.get("threads"):
        torch.set_num_threads(runtime["threads"])
    torch.use_deterministic_algorithms(bool(runtime.get("deterministic")))
    torch.backends.cudnn.benchmark = not runtime.get("deterministic")


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch. Data does not depend on these: a sample is a function of (seed, draw)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def rng_state(device: torch.device) -> dict[str, Any]:
    """The random states of this process, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    state = {"python": random.getstate(), "numpy": [name, keys.tolist(), *rest], "torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `rng_state` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its pictures on the device, copied without waiting where memory is pinned."""
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value for key, value in batch.items()
    }
