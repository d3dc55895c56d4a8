"""The weights in a file: the field's wrappers, roles and prefixes, and averaged weights beside raw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from torch import Tensor

from srtoolbox.errors import CheckpointError

WeightsChoice = Literal["ema", "raw"]

AVERAGED = ("params_ema", "params-ema", "ema_state_dict")
WRAPPERS = ("params", "state_dict", "model_state_dict", "model", "net", "generator", "netG", "net_g", "weights")
# a training's state_dict holds several networks, named by the first word of their keys
# (MMagic, BasicSR's descendants)
AVERAGED_ROLES: dict[str, tuple[str, ...]] = {
    "generator": ("generator_ema.", "netG_ema.", "net_g_ema."),
    "discriminator": (),
}
ROLES = {
    "generator": ("generator.", "netG.", "net_g."),
    "discriminator": ("discriminator.", "netD.", "net_d."),
}
PREFIXES = ("module.", "_orig_mod.", "model.", "network.")
# what averaging and preprocessing leave beside the weights: counts and constants
COMPANIONS = ("n_averaged", "steps", "step_counter", "data_preprocessor.mean", "data_preprocessor.std")


class Contents(NamedTuple):
    """The weights of one network in a file."""

    tensors: dict[str, Tensor]
    """Without wrapper and prefixes."""
    averaged: bool
    """The file says that they are averaged (EMA) weights."""


def find_weights(
    state: Mapping[str, Any], source: str, *, network: str = "generator", weights: WeightsChoice = "ema"
) -> Contents:
    """Find the weights of one network in a loaded checkpoint of another project.

    Args:
        state: what was loaded.
        source: the file, for messages.
        network: 'generator' or 'discriminator', where the file has several.
        weights: 'ema' prefers averaged weights where there are some, 'raw' the trained ones.

    Raises:
        CheckpointError: no dictionary of tensors in it; says what it is instead where that can be
            told.
    """
    for wrapper in _order(AVERAGED, WRAPPERS, weights):
        # an empty one: nothing was averaged
        if isinstance(state.get(wrapper), Mapping) and state[wrapper]:
            inner = find_weights(state[wrapper], source, network=network, weights=weights)
            return inner._replace(averaged=inner.averaged or wrapper in AVERAGED)
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{source}: {_no_weights(state)}")
    return _without_prefixes(_of_one_role(tensors, network, weights))


def _order(averaged: tuple[str, ...], raw: tuple[str, ...], weights: WeightsChoice) -> tuple[str, ...]:
    return averaged + raw if weights == "ema" else raw + averaged


def _of_one_role(tensors: dict[str, Tensor], network: str, weights: WeightsChoice) -> Contents:
    """Return the tensors of one role where there are roles, without it."""
    for role in _order(AVERAGED_ROLES[network], ROLES[network], weights):
        part = {key: value for key, value in tensors.items() if key.startswith(role)}
        if part:
            part = {key.removeprefix(role): value for key, value in part.items()}
            return Contents(part, role in AVERAGED_ROLES[network])
    return Contents(tensors, False)


def _without_prefixes(contents: Contents) -> Contents:
    tensors = {key: value for key, value in contents.tensors.items() if key not in COMPANIONS}
    for prefix in PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            shorter = {key.removeprefix(prefix): value for key, value in tensors.items()}
            return _without_prefixes(contents._replace(tensors=shorter))
    return contents._replace(tensors=tensors or contents.tensors)


def _no_weights(state: Mapping[str, Any]) -> str:
    keys = set(map(str, state))
    if {"state", "param_groups"} <= keys:
        return "is the state of an optimizer, not a network; its weights are saved beside it"
    if {"optimizers", "schedulers"} <= keys:
        weights = "models/net_g_<iteration>.pth"
        return f"is a training state of BasicSR (for resuming); the weights are in {weights}"
    return f"holds no weights (its keys: {', '.join(list(map(str, state))[:8]) or 'none'})"
