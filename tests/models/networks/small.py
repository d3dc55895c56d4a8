"""The smallest variant of each network, for tests that run all of them: at most a second for each test."""

from __future__ import annotations

import inspect
from typing import Any

from srtoolbox.interfaces import network_kind
from srtoolbox.registry import NETWORKS

SMALL: dict[str, Any] = {
    "num_features": 16,
    "num_blocks": 2,
    "growth_channels": 4,
    "num_dense_blocks": 2,
    "num_convs": 3,
}
"""By the name of an argument. IMDN needs 16 features."""
SMALL_OF: dict[str, dict[str, Any]] = {
    "DRCT": {"num_features": 8, "num_heads": [2], "growth_channels": 4, "window_size": 4},
    "HAT": {
        "num_features": 12,
        "depths": [2],
        "num_heads": [2],
        "window_size": 8,
        "compress_ratio": 3,
        "squeeze_factor": 4,
    },
    "OmniSR": {"num_features": 8, "num_groups": 1, "num_blocks": 1, "window_size": 4},
    "ATD": {
        "num_features": 12,
        "depths": [2, 1],
        "num_heads": [2, 2],
        "window_size": 4,
        "num_tokens": 4,
        "upsampler": "pixelshuffledirect",
    },
    "DAT": {
        "num_features": 32,
        "depths": [2, 1],
        "num_heads": [2, 2],
        "split_size": [2, 4],
        "expansion_factor": 1.0,
        "upsampler": "pixelshuffledirect",
    },
    "PLKSR": {"num_features": 8, "num_blocks": 1, "kernel_size": 5},
    "RealPLKSR": {"num_features": 8, "num_blocks": 1, "kernel_size": 5},
    "RCAN": {"num_groups": 2, "num_blocks": 1, "reduction": 4},
    # in 0 ... 255, with the weights of some tests, its gates are shut; two blocks may not see all of an image
    "RLFN": {"num_blocks": 3, "esa_channels": 4, "img_range": 1.0},
    "SAFMN": {"num_features": 8, "num_blocks": 1},
    "SAFMNPP": {"num_features": 8, "num_blocks": 1},
    "SPAN": {"num_features": 8, "num_blocks": 2, "img_range": 1.0},
    "SRFormer": {"num_features": 16, "depths": [2, 1], "num_heads": [2, 2], "window_size": 8},
    "SwinIR": {"num_features": 12, "depths": [2, 1], "num_heads": [2, 2]},
}
"""By the network, for what needs other values or has other arguments."""

GENERATORS = [name for name in NETWORKS if network_kind(NETWORKS.get(name)) == "generator" and name != "Spandrel"]
"""Networks that upscale; `Spandrel` is made of a file's tensors, see tests/weights/test_by_spandrel.py."""


def small_arguments(name: str) -> dict[str, Any]:
    """Return the arguments of a network that make it small; the others keep their defaults."""
    arguments = inspect.signature(NETWORKS.get(name)).parameters
    general = {key: value for key, value in SMALL.items() if key in arguments}
    return {**general, **SMALL_OF.get(name, {})}


def small_config(name: str, scale: int) -> dict[str, Any]:
    """Return the config of a small network."""
    return {"type": name, "scale": scale, **small_arguments(name)}
