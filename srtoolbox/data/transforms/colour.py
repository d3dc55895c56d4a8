"""Colour jitter: the same change of brightness, contrast, saturation and hue for LQ and GT."""

from __future__ import annotations

import math

import numpy as np

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.transforms.base import Sample, Transform, map_images
from srtoolbox.errors import ConfigError
from srtoolbox.image.pixels import channel_means, mix_channels
from srtoolbox.registry import TRANSFORMS

_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601
_TO_YUV = np.array([_LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_FROM_YUV = np.linalg.inv(_TO_YUV)


@TRANSFORMS.register
class ColourJitter(Transform):
    """Changes the colours of a sample by one random affine map of RGB.

    An affine map and a reduction can change places, so LQ stays the reduction of GT: exactly where
    the dataset makes LQ, else but for rounding and clipping. Gray images have neither saturation
    nor hue.

    Args:
        brightness: all values times a factor in [1 - brightness, 1 + brightness).
        contrast: distance from the crop's mean luma times a factor in [1 - contrast, 1 + contrast).
        saturation: distance of each pixel from its luma, likewise.
        hue: colours turned by an angle in [-hue, hue) degrees about the gray axis; luma stays.
    """

    stage = "either"

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, amount in amounts.items():
            if not 0 <= amount <= 1:
                raise ConfigError(f"ColourJitter: {name} is between 0 and 1, got {amount}", key=name)
        if not 0 <= hue <= 180:
            raise ConfigError(f"ColourJitter: hue is between 0 and 180 degrees, got {hue}", key="hue")
        self.amounts, self.hue = tuple(amounts.values()), hue

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        brightness, contrast, saturation = (rng.uniform(1 - amount, 1 + amount) for amount in self.amounts)
        matrix = colour_matrix(saturation, math.radians(rng.uniform(-self.hue, self.hue)))
        means = channel_means(sample["gt"])
        mean = float(means @ _LUMA) if len(means) == 3 else float(means[0])
        linear = contrast * brightness * (matrix if len(means) == 3 else np.ones((1, 1)))
        offset = np.full((len(linear), 1), (1 - contrast) * brightness * mean)
        both = np.hstack([linear, offset])
        return map_images(sample, lambda image: mix_channels(image, both))


def colour_matrix(saturation: float, hue: float) -> np.ndarray:
    """Return RGB -> RGB (3, 3), which keeps luma and gray, for a hue in radians."""
    cosine, sine = saturation * math.cos(hue), saturation * math.sin(hue)
    return _FROM_YUV @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ _TO_YUV
