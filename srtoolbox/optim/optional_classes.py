"""Optimizers of the library pytorch_optimizer, the extra `optimizers`, under their own names.

Their arguments stand here: a config is checked without the library, and it is imported only where
one is built (it takes half a second).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from srtoolbox.errors import ConfigError
from srtoolbox.registry import OPTIMIZERS

INSTALL = "pip install 'srtoolbox[optimizers]'"
COUNTED = ("step", "d", "d_max", "d_hat", "d_numerator", "d_de_nom", "weight_sum", "lr_max")
"""What these count in their groups, beside options: it goes on where options change."""

Build = TypeVar("Build", bound=Callable[..., torch.optim.Optimizer])


def averaging(build: Build) -> Build:
    """Mark an optimizer whose weights to use are an average that it keeps (`averaged_weights`)."""
    build.__dict__["averages"] = True
    return build


@OPTIMIZERS.register(name="Adan")
def adan(
    params: Iterable[Any],
    lr: float = 1e-3,
    betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
    weight_decay: float = 0.0,
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """Moments of the gradient, of its change and of both; weight decay by division.

    Xie et al.: "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models"
    (TPAMI 2024, arXiv:2208.06677).
    """
    return _build("Adan", params, lr=lr, betas=tuple(betas), weight_decay=weight_decay, eps=eps)


@OPTIMIZERS.register(name="Prodigy")
def prodigy(
    params: Iterable[Any],
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float | None = None,
    d0: float = 1e-6,
    d_coef: float = 1.0,
    growth_rate: float = float("inf"),
    weight_decay: float = 0.0,
    bias_correction: bool = False,
    safeguard_warmup: bool = False,
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """Adam that finds its rate by itself: `lr`, and what a schedule makes of it, is a factor.

    Mishchenko and Defazio: "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (ICML 2024,
    arXiv:2306.06101). The rate is one for all groups; with warm-up: `safeguard_warmup=True`.

    Args:
        params: given by the toolbox.
        lr: factor of the rate; 1 unless there is a reason.
        betas, beta3, eps: of the moments and of the estimate of the rate.
        d0: the rate to begin with, too small.
        d_coef: factor of the estimate, for larger or smaller rates.
        growth_rate: by how much the rate may grow from step to step, such as 1.02.
        weight_decay: decoupled.
        bias_correction: of Adam's moments.
        safeguard_warmup: leave `lr` out of the estimate.
    """
    params = list(params)
    rates = {group.get("lr", lr) for group in params if isinstance(group, Mapping)}
    if rates - {lr}:
        raise ConfigError("Prodigy finds one rate for all parameters: no group has an lr of its own", key="lr")
    return _build(
        "Prodigy",
        params,
        **{"lr": lr, "betas": tuple(betas), "beta3": beta3, "d0": d0, "d_coef": d_coef, "growth_rate": growth_rate},
        **{"weight_decay": weight_decay, "bias_correction": bias_correction, "safeguard_warmup": safeguard_warmup},
        eps=eps,
    )


@OPTIMIZERS.register(name="SOAP")
def soap(
    params: Iterable[Any],
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float | None = None,
    weight_decay: float = 0.0,
    precondition_frequency: int = 10,
    max_precondition_dim: int = 10000,
    precondition_1d: bool = False,
    correct_bias: bool = True,
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """Adam in the eigenbasis of Shampoo's preconditioner; its first step only looks.

    Vyas et al.: "SOAP: Improving and Stabilizing Shampoo using Adam" (ICLR 2025, arXiv:2409.11321).

    Args:
        params: given by the toolbox.
        lr, betas, eps: Adam's.
        shampoo_beta: share of the old statistics that is kept; None: the second of `betas`.
        weight_decay: decoupled.
        precondition_frequency: steps from one eigenbasis to the next.
        max_precondition_dim: sides of a weight beyond which there is no basis of that side.
        precondition_1d: also of biases.
        correct_bias: of Adam's moments.
    """
    return _build(
        "SOAP",
        params,
        **{"lr": lr, "betas": tuple(betas), "shampoo_beta": shampoo_beta, "weight_decay": weight_decay},
        **{"precondition_frequency": precondition_frequency, "max_precondition_dim": max_precondition_dim},
        **{"precondition_1d": precondition_1d, "correct_bias": correct_bias, "eps": eps},
    )


@OPTIMIZERS.register(name="ScheduleFreeAdamW")
@averaging
def schedule_free_adamw(
    params: Iterable[Any],
    lr: float = 2.5e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """AdamW whose weights to use are an average over the steps: no schedule, no end to know.

    Defazio et al.: "The Road Less Scheduled" (NeurIPS 2024, arXiv:2405.15682). The average is a
    network of its own, `generator_ema`, which is evaluated and passed on.

    Args:
        params: given by the toolbox.
        lr: constant after the warm-up, usually higher than AdamW's.
        betas: of the interpolation between both weights, above 0, and of the squares.
        weight_decay: at the weights that are trained.
        warmup_steps: iterations in which the rate rises in a straight line.
        r, weight_lr_power: step t counts t^r times the rate to that power in the average.
        eps: added to the root of the squares.
    """
    return _build(
        "ScheduleFreeAdamW",
        params,
        **{"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "warmup_steps": warmup_steps},
        **{"r": r, "weight_lr_power": weight_lr_power, "eps": eps},
    )


@OPTIMIZERS.register(name="ScheduleFreeSGD")
@averaging
def schedule_free_sgd(
    params: Iterable[Any],
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    warmup_steps: int = 0,
    r: float = 0.0,
    weight_lr_power: float = 2.0,
) -> torch.optim.Optimizer:
    """SGD without a schedule, see `ScheduleFreeAdamW`; `momentum`, above 0, interpolates."""
    return _build(
        "ScheduleFreeSGD",
        params,
        **{"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "warmup_steps": warmup_steps},
        **{"r": r, "weight_lr_power": weight_lr_power},
    )


def averages_weights(cfg: object) -> bool:
    """True for the config of a schedule-free optimizer: a copy of the network gets its average."""
    kind = cfg.get("type") if isinstance(cfg, Mapping) else None
    return isinstance(kind, str) and kind in OPTIMIZERS and bool(getattr(OPTIMIZERS.get(kind), "averages", False))


def share_of_average(group: Mapping[str, Any]) -> float:
    """Return the share that a schedule-free optimizer's average has in the weights that train.

    0 for others.
    """
    if "train_mode" not in group:
        return 0.0
    return group["momentum"] if "momentum" in group else group["betas"][0]


def averaged_weights(optimizer: torch.optim.Optimizer) -> dict[Tensor, Tensor]:
    """Return the weights to use of those a schedule-free optimizer has stepped, as new tensors.

    With its own `eval()` and `train()` the weights that are trained would change by rounding.
    """
    averaged: dict[Tensor, Tensor] = {}
    for group in optimizer.param_groups:
        if not group.get("train_mode"):
            continue
        share = share_of_average(group)
        for parameter in group["params"]:
            # trained is share * average + (1 - share) * z
            other = optimizer.state.get(parameter, {}).get("z")
            if other is not None:
                averaged[parameter] = parameter.detach().lerp(other, 1 - 1 / share)
    return averaged


def _build(name: str, params: Iterable[Any], **options: object) -> torch.optim.Optimizer:
    """Build one of the library's.

    Raises:
        ConfigError: the library is missing, or refuses a value.
    """
    if importlib.util.find_spec("pytorch_optimizer") is None:
        raise ConfigError(f"{name} is an optimizer of the package pytorch_optimizer: {INSTALL}", key="type")
    library = importlib.import_module("pytorch_optimizer")
    try:
        optimizer = getattr(library, name)(params, **options)
    except Exception as error:  # it has classes of its own for impossible values
        raise ConfigError(f"{name}: {error}") from error
    optimizer.counted = COUNTED
    return optimizer
