"""Network interpolation: the weighted mean of several trainings of one network.

Wang et al.: "ESRGAN: enhanced super-resolution generative adversarial networks" (ECCVW 2018, arXiv:1809.00219), section
3.4: between the weights of a PSNR-oriented network and of a GAN fine-tuned from it lie networks between the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.weights.formats.differences import differences

State = Mapping[str, Tensor]
COUNTER = "num_batches_tracked"


def blend_states(states: Sequence[State], weights: Sequence[float]) -> dict[str, Tensor]:
    """The sum of weights[i] * states[i], tensor by tensor: parameters and buffers alike.

    Floating tensors are summed in float64 and rounded once, to the widest dtype among them; a state of weight 0 is left
    out, so that weights (1, 0) give the first one bit for bit. Counters and masks are no quantities to average: whole
    numbers and booleans must agree in all states, except BatchNorm's count of batches, which is that of the heaviest
    state (of the first, if several are).

    Args:
        states: state_dicts with equal keys and shapes.
        weights: one for each, in [0, 1], with sum 1.

    Raises:
        SrtoolboxError: other weights. Outside [0, 1] a running variance could become negative, and the result NaN.
        CheckpointError: keys, shapes or whole-numbered buffers that differ.
    """
    check_weights(weights, len(states))
    first = states[0]
    for number, state in enumerate(states[1:], start=2):
        fault = differences(first, state)
        if fault:
            raise CheckpointError(f"weights {number} are not those of the same network as weights 1: {fault}")
    used = [(state, weight) for state, weight in zip(states, weights, strict=True) if weight]
    heaviest = max(used, key=lambda pair: pair[1])[0]
    blended = {}
    for key in first:
        if first[key].is_floating_point() or first[key].is_complex():
            blended[key] = _weighted_sum([(state[key], weight) for state, weight in used])
        else:
            if not key.endswith(COUNTER) and not all(torch.equal(first[key], state[key]) for state in states):
                raise CheckpointError(f"{key} holds whole numbers that differ, and cannot be blended")
            blended[key] = heaviest[key].clone()
    return blended


def check_weights(weights: Sequence[float], count: int) -> None:
    """Raises SrtoolboxError unless there are `count` weights in [0, 1] that sum to 1."""
    if len(weights) != count or count < 1:
        raise SrtoolboxError(f"{count} networks need as many weights, got {len(weights)}")
    if not all(0 <= weight <= 1 for weight in weights) or abs(sum(weights) - 1) > 1e-6:
        shown = ", ".join(f"{weight:g}" for weight in weights)
        raise SrtoolboxError(f"weights of a blend lie in [0, 1] and sum to 1, got {shown}")


def _weighted_sum(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    dtype = parts[0][0].dtype
    for tensor, _ in parts[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    if len(parts) == 1:
        return parts[0][0].clone()
    wide = torch.promote_types(dtype, torch.float64)
    total = parts[0][0].to(wide) * parts[0][1]
    for tensor, weight in parts[1:]:
        total += tensor.to(wide) * weight
    return total.to(dtype)
