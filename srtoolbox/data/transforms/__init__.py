"""Transforms of one training sample: a module dropped in here is found by the registry."""

from srtoolbox.data.transforms.base import Compose, Sample, Transform, map_pictures

__all__ = ["Compose", "Sample", "Transform", "map_pictures"]
