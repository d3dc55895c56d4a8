"""Muon: weight matrices take orthogonal steps, all other parameters those of AdamW.

Jordan et al.: "Muon: An optimizer for hidden layers in neural networks" (2024,
kellerjordan.github.io/posts/muon); Liu et al.: "Muon is Scalable for LLM Training" (2025,
arXiv:2502.16982), where the rate is matched to AdamW's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from srtoolbox.compat.pytorch import foreach_lerp_
from srtoolbox.errors import ConfigError
from srtoolbox.logger import LOGGER
from srtoolbox.registry import OPTIMIZERS
from srtoolbox.text import counted

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the Newton-Schulz iteration: chosen for a steep slope at 0."""
_PART = "adamw"
"""How the log names the parameters of a group that AdamW takes."""


@OPTIMIZERS.register
class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal for convolutions, as matrices (out, in x k x k), and linear layers.

    AdamW takes the rest: biases, norms, tables, depthwise convolutions and, as is usual, the
    network's first weights, which take the image, and its last one. It has groups of its own,
    `adamw` in the log, which a schedule scales alike.

    Args:
        params: parameters, or groups of them with options of their own.
        lr: rate of the matrices.
        adamw_lr: rate of the rest; None: `lr`, which fits both with 'match_rms_adamw'.
        orthogonalise: False leaves a group to AdamW, True takes all its weights, also the network's
            first and last one.
        momentum, nesterov: of the matrices.
        ns_steps, ns_coefficients, eps: of the Newton-Schulz iteration, in bfloat16.
        adjust_lr_fn: how a step grows with the matrix: 'match_rms_adamw', by
            0.2 sqrt(max(rows, columns)), is as large as AdamW's; 'original', by
            sqrt(max(1, rows / columns)), wants `lr` about 0.02.
        betas, adamw_eps: AdamW's.
        weight_decay: of both, decoupled.
        network: whose parameters they are; None: matrices are told by their shapes alone.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        adamw_lr: float | None = None,
        orthogonalise: bool | None = None,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        adjust_lr_fn: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        weight_decay: float = 0.0,
        network: nn.Module | None = None,
    ) -> None:
        defaults = {
            **{"lr": lr, "orthogonalise": orthogonalise, "momentum": momentum, "nesterov": nesterov},
            **{"ns_steps": ns_steps, "ns_coefficients": tuple(ns_coefficients), "eps": eps},
            **{"adjust_lr_fn": adjust_lr_fn, "betas": tuple(betas), "adamw_eps": adamw_eps},
            **{"weight_decay": weight_decay, "capturable": False},
        }
        inner = None if network is None else set(_inner_weights(network))
        # of each group the number of the one it was given in, and the name of its part there
        groups, self.parts = _divided(params, defaults, adamw_lr, inner)
        for group in groups:
            _refuse_impossible({**defaults, **group})
        super().__init__(groups, defaults)
        if network is not None:
            matrices = sum(len(group["params"]) for group in groups if group["orthogonalise"])
            rest = sum(len(group["params"]) for group in groups) - matrices
            LOGGER.info("Muon: %s as matrices, %d by AdamW", counted(matrices, "parameter tensor"), rest)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters and group["orthogonalise"]:
                self._turn(group, parameters)
            elif parameters:
                self._by_adamw(group, parameters)
        return loss

    def _turn(self, group: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> None:
        """Move weights along their orthogonalised momentum; matrices of one shape are one batch."""
        gradients = [_gradient(parameter) for parameter in parameters]
        averages = [self._moments(parameter, ("momentum_buffer",))["momentum_buffer"] for parameter in parameters]
        foreach_lerp_(averages, gradients, 1 - group["momentum"])
        if group["nesterov"]:
            directions = [g.lerp(average, group["momentum"]) for g, average in zip(gradients, averages, strict=True)]
        else:
            directions = averages
        batches: dict[object, list[tuple[Tensor, Tensor]]] = {}
        for parameter, direction in zip(parameters, directions, strict=True):
            matrix = _as_matrix(direction, parameter)
            batches.setdefault((matrix.shape, matrix.dtype, matrix.device), []).append((parameter, matrix))
        for pairs in batches.values():
            weights, matrices = zip(*pairs, strict=True)
            steps = orthogonalised(matrices, group["ns_steps"], group["ns_coefficients"], group["eps"])
            # a tensor within a graph
            rate = group["lr"] * _factor(group["adjust_lr_fn"], *matrices[0].shape)
            steps = steps.to(matrices[0].dtype, memory_format=torch.contiguous_format).mul_(-rate)
            for weight, step in zip(weights, steps, strict=True):
                if group["weight_decay"]:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(_as_weight(step, weight))

    def _by_adamw(self, group: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> None:
        states = [self._moments(parameter, ("exp_avg", "exp_avg_sq")) for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if "step" not in state or state["step"].device != parameter.device:
                count = state.get("step", torch.zeros((), dtype=torch.float32))
                state["step"] = count.to(parameter.device)
        beta1, beta2 = group["betas"]
        adamw(
            list(parameters),
            [_gradient(parameter) for parameter in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=all(parameter.device.type in ("cpu", "cuda") for parameter in parameters),
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["adamw_eps"],
            maximize=False,
        )

    def _moments(self, parameter: nn.Parameter, names: Sequence[str]) -> dict[str, Any]:
        """Return the moments of a parameter.

        New ones where it has none, or those of the other part.
        """
        state = self.state[parameter]
        if any(name not in state for name in names):
            state.clear()
            state.update({name: torch.zeros_like(parameter) for name in names})
        return state


def orthogonalised(
    matrices: Sequence[Tensor], steps: int = 5, coefficients: Sequence[float] = COEFFICIENTS, eps: float = 1e-7
) -> Tensor:
    """Return matrices (m, n) of one shape with singular values near 1, in bfloat16 (count, m, n).

    By Newton-Schulz iterations of degree five, whose values end between about 0.7 and 1.2.
    """
    rows, columns = matrices[0].shape
    is_tall = rows > columns
    size = (len(matrices), min(rows, columns), max(rows, columns))
    batch = torch.empty(size, dtype=torch.bfloat16, device=matrices[0].device)
    for place, matrix in zip(batch, matrices, strict=True):
        place.copy_(matrix.mT if is_tall else matrix)
    batch.div_(torch.linalg.vector_norm(batch, dim=(1, 2), keepdim=True).clamp_(min=eps))
    a, b, c = coefficients
    for _ in range(steps):
        gram = batch @ batch.mT
        update = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        batch = torch.baddbmm(batch, update, batch, beta=a)
    return batch.mT if is_tall else batch


def _has_channels_last(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and not parameter.is_contiguous()


def _as_matrix(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Return what is laid out like a weight (out, in, ...) as (out, all else), without a copy.

    In channels_last the columns are in another order, which the orthogonal matrix follows.
    """
    tensor = tensor.permute(0, 2, 3, 1) if _has_channels_last(parameter) else tensor
    return tensor.reshape(tensor.shape[0], -1)


def _as_weight(matrix: Tensor, parameter: Tensor) -> Tensor:
    """Return a contiguous matrix in a weight's shape."""
    if not _has_channels_last(parameter):
        return matrix.view(parameter.shape)
    rows, channels, height, width = parameter.shape
    return matrix.view(rows, height, width, channels).permute(0, 3, 1, 2)


def _factor(rule: str, rows: int, columns: int) -> float:
    """Return how many times the rate a step's matrix is multiplied by."""
    return math.sqrt(max(1.0, rows / columns)) if rule == "original" else 0.2 * math.sqrt(max(rows, columns))


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None  # for type checkers: the caller has chosen those with one
    return parameter.grad


def _inner_weights(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights of linear layers and convolutions but for the first and the last of all.

    Modules may be named in another order than they are called in: first are those with as many
    channels as the network's images, if there are any.
    """
    layers = [module for module in network.modules() if isinstance(module, _LAYERS)]
    weights = dict.fromkeys(weight for layer in layers for weight in _weights_of(layer))
    channels = getattr(network, "in_channels", 0)
    first = [layer for layer in layers if channels in (vars(layer).get("in_channels"), vars(layer).get("in_features"))]
    outer = {weight for layer in first or layers[:1] for weight in _weights_of(layer)} | {*list(weights)[-1:]}
    return [weight for weight in weights if weight not in outer]


def _weights_of(layer: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in layer.parameters(recurse=False) if parameter.ndim > 1]


def _is_turned(parameter: Tensor, choice: bool | None, inner: set[nn.Parameter] | None) -> bool:
    """True for a matrix; a depthwise convolution (C, 1, k, k) is many small filters, and none."""
    is_matrix = parameter.ndim > 1 and min(parameter.shape[:2]) > 1
    return is_matrix and choice is not False and (choice is True or inner is None or parameter in inner)


def _divided(
    params: Iterable[Any], defaults: Mapping[str, Any], adamw_lr: float | None, inner: set[nn.Parameter] | None
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Return for each group one of matrices and one of the rest, and where each comes from."""
    given = list(params)
    groups, parts = [], []
    for number, group in enumerate(given if given and isinstance(given[0], dict) else [{"params": given}]):
        settings = {key: value for key, value in group.items() if key not in ("params", "adamw_lr")}
        rest_lr = group.get("adamw_lr")
        # a group's own rate is slower or faster for both parts
        if rest_lr is None and adamw_lr is not None:
            is_own = "lr" in group and defaults["lr"]
            rest_lr = adamw_lr * group["lr"] / defaults["lr"] if is_own else adamw_lr
        choice = group.get("orthogonalise", defaults["orthogonalise"])
        if not isinstance(choice, bool | None):
            raise ConfigError(f"Muon: orthogonalise is True, False or None, got {choice!r}", key="orthogonalise")
        parameters = [(parameter, _is_turned(parameter, choice, inner)) for parameter in group["params"]]
        for turned, part in ((True, ""), (False, _PART)):
            own = [parameter for parameter, is_turned in parameters if is_turned is turned]
            rate = {} if turned or rest_lr is None else {"lr": rest_lr}
            if own:
                groups.append({**settings, **rate, "params": own, "orthogonalise": turned})
                parts.append((number, part))
    return groups, parts


def _refuse_impossible(group: Mapping[str, Any]) -> None:
    """Refuse values with which no step can be taken."""
    for key in ("lr", "momentum", "eps", "adamw_eps", "weight_decay"):
        if group[key] < 0:
            raise ConfigError(f"Muon: {key} is at least 0, got {group[key]}", key=key)
    if group["momentum"] >= 1:
        raise ConfigError(f"Muon: momentum is a share in [0, 1), got {group['momentum']}", key="momentum")
    if group["ns_steps"] < 1:
        raise ConfigError(f"Muon: ns_steps is at least 1, got {group['ns_steps']}", key="ns_steps")
    if group["adjust_lr_fn"] not in ("match_rms_adamw", "original"):
        fault = f"is 'match_rms_adamw' or 'original', got {group['adjust_lr_fn']!r}"
        raise ConfigError(f"Muon: adjust_lr_fn {fault}", key="adjust_lr_fn")
    if not all(0 <= beta < 1 for beta in group["betas"]) or len(group["betas"]) != 2:
        raise ConfigError(f"Muon: betas are two shares in [0, 1), got {list(group['betas'])}", key="betas")
    if len(group["ns_coefficients"]) != 3:
        raise ConfigError(
            f"Muon: ns_coefficients are three numbers, got {group['ns_coefficients']}", key="ns_coefficients"
        )
