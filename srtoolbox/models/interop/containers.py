"""Other projects' checkpoint files: find the weights inside the wrappers and prefixes the field uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from srtoolbox.errors import CheckpointError

# in order of preference: averaged weights before raw ones
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net")
PREFIXES = ("module.", "_orig_mod.", "generator.", "netG.", "model.")


def network_state(state: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """The plain state_dict in a loaded checkpoint, without wrapper keys and common prefixes.

    Raises:
        CheckpointError: no dictionary of tensors in it.
    """
    for wrapper in WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            return network_state(state[wrapper], source)
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{source}: holds no weights (its keys: {', '.join(map(str, list(state)[:8]))})")
    return _without_prefixes(tensors)


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            return _without_prefixes({key.removeprefix(prefix): value for key, value in tensors.items()})
    return tensors
