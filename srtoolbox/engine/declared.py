"""The network that a `.safetensors` of `convert_checkpoint` names in its header: what no tensor tells is kept there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srtoolbox.models.interop import differences
from srtoolbox.registry import NETWORKS

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


def fits(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    """Whether a network has just these tensors; found out without memory for its weights."""
    try:
        with torch.device("meta"):
            return not differences(NETWORKS.build(config).state_dict(), tensors)
    except Exception:  # a constructor can fail in any way at arguments that somebody wrote into a file
        return False
