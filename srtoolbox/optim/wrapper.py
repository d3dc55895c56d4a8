"""A network's optimizer and its step: precision, scaling, clipping, accumulation, schedule."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, SequentialLR

from srtoolbox.compat.pytorch import NormBase, scaler_tensors
from srtoolbox.errors import ConfigError
from srtoolbox.logger import LOGGER
from srtoolbox.optim.muon import Muon
from srtoolbox.optim.nonfinite import SkippedSteps, flag_nonfinite, seed_gradient
from srtoolbox.optim.optional_classes import averaged_weights, averages_weights, share_of_average
from srtoolbox.optim.parameters import freeze, nothing_to_train, parameter_groups
from srtoolbox.registry import OPTIMIZERS, SCHEDULERS, parameters_of

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class OptimWrapper:
    """The optimizer of a training step: `autocast()` around the forward pass, then `update(loss)`.

    Args:
        network: whose parameters are optimised (not wrapped in DDP).
        optimizer, scheduler: torch objects over them.
        amp: 'bf16', 'fp16' (with a gradient scaler) or None for full precision.
        clip: largest gradient norm, or None.
        group_names: of the optimizer's parameter groups, '' for the rest; None: their numbers.
        frozen: modules that stay in evaluation mode while the rest trains, see `freeze`.

    Raises:
        ConfigError: the network has no parameter to train.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        amp: str | None = None,
        clip: float | None = None,
        group_names: Sequence[str] | None = None,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        self.optimizer = optimizer
        groups = optimizer.param_groups
        names = list(group_names or ())
        fits = len(names) == len(groups)  # an optimizer may make its own groups
        self.group_names = names if fits else ["", *map(str, range(1, len(groups)))]
        self.frozen, self.scheduler, self.clip = list(frozen), scheduler, clip
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        if not self.parameters:
            raise ConfigError(nothing_to_train(network))
        name_of = {parameter: name for name, parameter in network.named_parameters()}
        self._names = [name_of.get(parameter, "") for group in groups for parameter in group["params"]]
        self.device_type = self.parameters[0].device.type
        self.amp_dtype = AMP_DTYPES[amp] if amp else None
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=amp == "fp16")
        self._scaled = self.scaler.is_enabled()  # a disabled scaler does nothing, in many steps
        self._part, self._parts = 0, 1
        self.skipped_steps = SkippedSteps()
        self._is_fused = all(group.get("fused") for group in groups)
        self.is_synchronous = self.device_type == "cpu" or not (self._is_fused or self._scaled)
        self.is_on_device = False  # no value is asked for, see `on_device`
        self.device_rates: list[Tensor] = []  # of the groups, there
        # gradients over ranks, if DDP does not
        self.average: Callable[[list[Tensor]], None] | None = None
        # by the optimizer, in its groups
        self._counted: Sequence[str] = getattr(optimizer, "counted", ())
        is_sgd = isinstance(optimizer, torch.optim.SGD) and any(group["momentum"] for group in groups)
        self._has_momentum = is_sgd or isinstance(optimizer, Muon)
        self.nonfinite_flag: Tensor | None = None  # 1 where this iteration's step is skipped
        self.is_probing = False  # gradients only, no step: to look into a fault
        self._has_stepped = False  # the schedule

    def autocast(self) -> AbstractContextManager:
        """Return the context of the forward pass."""
        if self.amp_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.amp_dtype)

    def accumulate(self, part: int, parts: int) -> None:
        """Set the number of the next batch of an iteration; only the last one's `update` steps."""
        self._part, self._parts, self.nonfinite_flag = part, parts, None

    def update(self, loss: Tensor, *, measure: bool = False) -> Tensor | None:
        """Run backward from a scalar loss and, with the iteration's last batch, one optimizer step.

        Where loss or gradients are not finite, all ranks leave it out; `skipped_steps` counts it.

        Args:
            loss: unscaled.
            measure: True to return the norm of a step's gradients before clipping, on their device.
        """
        if self._part == 0:
            for parameter in self.parameters:  # zero_grad of the optimizer takes longer
                parameter.grad = None
        if self._parts > 1:
            loss = loss / self._parts
        seed = seed_gradient(loss, ask=loss.is_cpu and not self.is_on_device)
        (self.scaler.scale(loss) if self._scaled else loss).backward(seed)
        if self._part < self._parts - 1 or self.is_probing:
            return None
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.average is not None:
            self.average(gradients)
        bad = flag_nonfinite(gradients)  # before clipping makes something else of an infinity
        norm = None
        if measure or self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            norm = nn.utils.get_total_norm(gradients)
        if norm is not None and self.clip is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        self._step(bad)
        return norm if measure else None

    def _step(self, bad: Tensor) -> None:
        # a fused SGD that leaves out its first step would never fill its momentum (torch 2.13)
        first = not self.has_begun
        if self._scaled and (self._is_fused or not self.is_on_device):
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self.is_on_device and not self._is_fused:
            self._step_unless(bad)
        elif first or (self.is_synchronous and not self.is_on_device):
            if not bad:
                self.optimizer.step()
        else:
            fused: Any = self.optimizer
            fused.grad_scale, fused.found_inf = None, bad  # what GradScaler tells a fused optimizer
            fused.step()
            del fused.grad_scale, fused.found_inf
        self.nonfinite_flag = bad
        if not self.is_on_device:
            self.skipped_steps.record(bad, wait=self.is_synchronous)

    @property
    def counts_on_host(self) -> bool:
        """True for an optimizer that says so: no graph holds its steps."""
        return bool(self._counted)

    @property
    def has_begun(self) -> bool:
        """False while an optimizer with momentum has taken no step with the gradients there are."""
        return not self._has_momentum or all(
            parameter.grad is None or parameter in self.optimizer.state for parameter in self.parameters
        )

    def _step_unless(self, bad: Tensor) -> None:
        """Step an optimizer that knows no flag, and put back what it changes where one is set."""
        if self._scaled:
            with contextlib.suppress(RuntimeError):  # clipping has done it
                self.scaler.unscale_(self.optimizer)
        if not self.has_begun:  # it makes its moments now, and there are none to put back
            if not bad:
                self.optimizer.step()
        else:
            tensors = [*self.parameters, *self._kept_tensors()]
            before = [tensor.detach().clone() for tensor in tensors]
            self.optimizer.step()
            for tensor, value in zip(tensors, before, strict=True):
                tensor.detach().copy_(torch.where(bad > 0, value, tensor.detach()))
        if self._scaled:
            self.scaler.update()

    @contextlib.contextmanager
    def on_device(self) -> Iterator[None]:
        """Let steps inside ask for no value, for a graph, and take rates from `device_rates`.

        Who takes such a step passes its flag to `count_step` afterwards.
        """
        groups = self.optimizer.param_groups
        kept: list[dict[str, Any]] = [
            {key: group[key] for key in ("lr", "capturable") if key in group} for group in groups
        ]
        self.fill_rates()
        if self._scaled:
            self.scaler.scale(self.device_rates[0])  # it makes its own tensors in the first call
        for group, rate in zip(groups, self.device_rates, strict=True):
            group["lr"] = rate
            if "capturable" in group and self.device_type == "cuda":
                group["capturable"] = True
                self._move_steps(group["params"])
        self.is_on_device = True
        try:
            yield
        finally:
            for scale in scaler_tensors(self.scaler)[:1]:  # as it is; it forgets a step broken off
                self.scaler.update(scale)
            self.is_on_device = False
            for group, values in zip(groups, kept, strict=True):
                group.update(values)

    def _move_steps(self, parameters: Iterable[Tensor]) -> None:
        """Move counts of steps to the parameters' device: eager optimizers keep them on the CPU."""
        for parameter in parameters:
            steps = self.optimizer.state.get(parameter, {}).get("step")
            if isinstance(steps, Tensor) and steps.is_cpu:
                self.optimizer.state[parameter]["step"] = steps.to(parameter.device)

    def fill_rates(self) -> None:
        """Let `device_rates` hold the groups' learning rates, at the same addresses as ever."""
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if not self.device_rates:  # fused kernels read float32 on a GPU
            dtype = torch.float64 if self.device_type == "cpu" else torch.float32
            self.device_rates = [torch.zeros((), dtype=dtype, device=self.parameters[0].device) for _ in rates]
            self._filled: list[float] = []
        if rates != self._filled:
            for tensor, rate in zip(self.device_rates, rates, strict=True):
                tensor.fill_(rate)
            self._filled = rates

    def count_step(self, flag: Tensor | None) -> None:
        """Count a step taken `on_device`, by its flag; None: this iteration had none."""
        self.nonfinite_flag = flag
        if flag is not None:
            self.skipped_steps.record(flag, wait=self.is_synchronous and self.device_type == "cpu")

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors of its state: the optimizer's and the scaler's."""
        return self._kept_tensors() + scaler_tensors(self.scaler)

    def _kept_tensors(self) -> list[Tensor]:
        """Return the tensors that the optimizer keeps, also in lists, and in its groups."""
        tables = [values for values in self.optimizer.state.values() if isinstance(values, dict)]
        counts = [{key: group.get(key) for key in self._counted} for group in self.optimizer.param_groups]
        return [tensor for values in (*tables, *counts) for tensor in _tensors_in(values)]

    def averaged(self, values: list[Tensor]) -> list[Tensor]:
        """Return the weights to use for those that train: a schedule-free optimizer's average."""
        averages = averaged_weights(self.optimizer)
        return [averages.get(value, value) for value in values] if averages else values

    @property
    def is_recovering(self) -> bool:
        """True while steps are skipped until fp16's scale is low enough; waits for the device."""
        return self._scaled and self.scaler.get_scale() >= 1

    def step_scheduler(self) -> None:
        """Advance the schedule by one iteration, if there is one."""
        if self.scheduler is not None:
            quiet = warnings.catch_warnings(action="ignore")  # of no optimizer step before
            with contextlib.nullcontext() if self._has_stepped else quiet:
                self.scheduler.step()
            self._has_stepped = True

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of each parameter group by its name, '' for the rest."""
        groups = zip(self.group_names, self.optimizer.param_groups, strict=True)
        return {name: float(group["lr"]) for name, group in groups}

    def hold_frozen(self) -> None:
        """Put frozen modules into evaluation mode, after the network was put into training mode."""
        for module in self.frozen:
            module.training = False

    def state_dict(self) -> dict[str, Any]:
        """Return optimizer, schedule and scaler as tensors and plain values."""
        self.skipped_steps.settle()
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "names": self._names,
            "skips": [self.skipped_steps.total, self.skipped_steps.in_a_row],
            **({} if self.scheduler is None else {"scheduler": self.scheduler.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any], *, restart_at: int | None = None) -> None:
        """Take back what `state_dict` gave.

        Args:
            state: from a wrapper over the same parameters.
            restart_at: keep this wrapper's own settings (learning rates, schedule, groups), with
                the schedule where it is after so many iterations. Moments go by the parameters'
                names: one that was frozen until now has none.

        Raises:
            ValueError: other parameters, or grouped in another way; another momentum of an average.
        """
        self.skipped_steps = SkippedSteps()
        self.skipped_steps.total, self.skipped_steps.in_a_row = state.get("skips", (0, 0))
        saved = state["optimizer"]
        if restart_at is not None:
            saved = self._regrouped(saved, state.get("names"))
        self.optimizer.load_state_dict(saved)
        for parameter, moments in self.optimizer.state.items():
            for name, value in moments.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # laid out in memory as the parameter is, which fused optimizers rely on
                    moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        if restart_at is not None and self._counted:  # of the extra: others may count in both
            self._renew_options()
        if self._scaled and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.scheduler is None:
            return
        if restart_at is None:
            self.scheduler.load_state_dict(state["scheduler"])
            return
        with warnings.catch_warnings(action="ignore"):  # of no optimizer steps before
            for _ in range(restart_at):
                self.scheduler.step()

    def _renew_options(self) -> None:
        """Give options that an optimizer also keeps beside its moments the values of the groups."""
        for group in self.optimizer.param_groups:
            options = {key: value for key, value in group.items() if key not in self._counted and value is not None}
            for parameter in group["params"]:
                moments = self.optimizer.state.get(parameter, {})
                moments.update({key: options[key] for key in moments.keys() & options.keys()})

    def _regrouped(self, saved: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
        """Return the saved moments under this wrapper's own groups."""
        groups = self.optimizer.state_dict()["param_groups"]
        if names is None:  # a checkpoint of earlier versions
            if [len(group["params"]) for group in groups] != [len(group["params"]) for group in saved["param_groups"]]:
                raise ValueError("param_groups divide the parameters in another way")
            return {**saved, "param_groups": groups}
        places = {name: place for place, name in enumerate(names)}
        moments = {place: saved["state"].get(places.get(name)) for place, name in enumerate(self._names)}
        group_of = {place: group for group in saved["param_groups"] for place in group["params"]}
        for group in groups:
            before = [
                group_of[places[name]] for name in map(self._names.__getitem__, group["params"]) if name in places
            ]
            shares = {share_of_average(each) for each in (group, *before)}
            if len(shares) > 1:  # the weights hold the average in the old one
                raise ValueError(f"the shares of averaged weights, {sorted(shares)}, differ: momentum or betas[0]")
            group.update({key: before[0][key] for key in self._counted if before and key in before[0]})
        return {"state": {place: value for place, value in moments.items() if value}, "param_groups": groups}


def build_optim(name: str, network: nn.Module, cfg: Mapping[str, Any], *, amp: str | None = None) -> OptimWrapper:
    """Build `optim.<name>`: dict(optimizer, scheduler, milestones, clip, param_groups, frozen).

    Raises:
        ConfigError: an entry of `param_groups` or `frozen` that chooses no parameter, nothing to
            train, or schedules that do not fit together.
    """
    frozen = freeze(name, network, cfg.get("frozen"))
    optimizer_cfg = dict(cfg["optimizer"])
    groups = parameter_groups(name, network, cfg.get("param_groups") or {})
    if not groups:
        raise ConfigError(f"optim.{name}: {nothing_to_train(network)}")
    # see _step
    if _can_fuse(optimizer_cfg, groups.values()) and not (amp == "fp16" and optimizer_cfg.get("momentum")):
        optimizer_cfg["fused"] = True  # one kernel for all tensors, faster on CPU and GPU
    takes_network = "network" in parameters_of(OPTIMIZERS.get(optimizer_cfg["type"]))
    given = {"network": network} if takes_network else {}
    optimizer = OPTIMIZERS.build(optimizer_cfg, params=list(groups.values()), **given)
    norms = [part for part in network.modules() if isinstance(part, NormBase) and part.running_mean is not None]
    if norms and averages_weights(optimizer_cfg):
        message = "optim.%s: running statistics of the averaged weights are those seen with the weights that train"
        LOGGER.warning(message, name)
    scheduler = _build_scheduler(name, optimizer, cfg)
    names = _group_names(optimizer, list(groups))
    return OptimWrapper(
        network, optimizer, scheduler=scheduler, amp=amp, clip=cfg.get("clip"), group_names=names, frozen=frozen
    )


def _group_names(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> list[str]:
    """Return names for an optimizer's groups; it may have divided the named ones into `parts`."""
    parts: Sequence[tuple[int, str]] = getattr(optimizer, "parts", None) or [(place, "") for place in range(len(names))]
    return [".".join(filter(None, (names[place], part))) for place, part in parts]


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(inner)


def learning_rates(optims: Mapping[str, OptimWrapper]) -> dict[str, float]:
    """Return the rate of each network's groups: `{'generator': 1e-3, 'generator.body.0': 1e-5}`."""
    return {
        f"{name}.{group}" if group else name: rate
        for name, optim in optims.items()
        for group, rate in optim.rates.items()
    }


def _can_fuse(optimizer_cfg: Mapping[str, Any], groups: Iterable[Mapping[str, Any]]) -> bool:
    parameters = parameters_of(OPTIMIZERS.get(optimizer_cfg["type"]))
    chosen = {"fused", "foreach", "differentiable"} & optimizer_cfg.keys()
    devices = {p.device.type for group in groups for p in group["params"]}
    return "fused" in parameters and not chosen and devices <= {"cpu", "cuda"}


def _build_scheduler(name: str, optimizer: torch.optim.Optimizer, cfg: Mapping[str, Any]) -> LRScheduler | None:
    schedule, places = cfg.get("scheduler"), list(cfg.get("milestones") or ())
    if not schedule:
        return None
    if isinstance(schedule, Mapping):
        return SCHEDULERS.build(schedule, optimizer=optimizer)
    if len(schedule) != len(places) + 1:
        raise ConfigError(
            f"optim.{name}: {len(schedule)} schedules in a row need {len(schedule) - 1} milestones "
            f"(the iterations at which the next one begins), got {places}"
        )
    parts = [SCHEDULERS.build(part, optimizer=optimizer) for part in schedule]
    return parts[0] if len(parts) == 1 else SequentialLR(optimizer, parts, milestones=places)
