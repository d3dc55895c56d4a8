"""The network that a `.safetensors` of `convert_checkpoint` names in its header: what no tensor tells is kept there.

And tensors of any file under the names that a network has for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from srtoolbox.devices import without_memory
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats import differences

KEY = "network"


def declared_network(path: str | Path) -> dict[str, Any] | None:
    """`type` and arguments of the network a file is for, maybe one of a plugin; None where it does not say.

    Args:
        path: any file of weights that `load_tensors` has read, so that a `.safetensors` is known to be a whole one.
    """
    if Path(path).suffix.lower() != ".safetensors":
        return None
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    try:
        config = json.loads(header["__metadata__"][KEY])
        return config if isinstance(config["type"], str) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None  # of another program, which may use that name


def state_for(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the tensors as the state_dict of the network that a config names; None where they are not all of it.

    Nothing is initialised and no memory taken for weights.
    """
    try:
        with without_memory():
            own = NETWORKS.build(config).state_dict()
    except Exception:  # a constructor can fail in any way at arguments that somebody wrote into a file
        return None
    renamed = rename_like(own, tensors)
    return None if differences(own, renamed) else renamed


def rename_like(own: Iterable[str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a file as a network names them.

    All names of a network that does its work by another one begin alike: those of an Adapter with `network.`, those of
    a plugin's maybe with `model.`. A file holds them without, or they were taken for a wrapper's (`find_weights`).

    Args:
        own: the network's names.
        tensors: by name, as `find_weights` gives them.

    >>> list(rename_like(["network.a.weight", "network.b.weight"], {"a.weight": torch.ones(1)}))
    ['network.a.weight']
    """
    names, beginning = set(own), ""
    for part in next(iter(names), "").split("."):
        if any(beginning + key in names for key in tensors):
            return {beginning + key: value for key, value in tensors.items()}
        beginning += f"{part}."
        if not all(name.startswith(beginning) for name in names):
            break
    return dict(tensors)
