"""Transforms of one training sample: a module dropped in here is found by the registry."""

import warnings

from srtoolbox.data.transforms.base import Compose, Sample, Transform, map_images

__all__ = ["Compose", "Sample", "Transform", "map_images"]


def __getattr__(name: str) -> object:
    """Return what plugins import under its earlier name, and tell the new one."""
    if name != "map_pictures":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    message = "srtoolbox.data.transforms.map_pictures is called map_images now"
    warnings.warn(message, FutureWarning, stacklevel=2)
    return map_images
