"""Noise of a camera: added to light as the sensor counts it, spread by demosaicing, developed to sRGB.

Brooks et al. 2019, "Unprocessing images for learned raw denoising" (CVPR 2019, arXiv:1811.11127):
its tone curve, gains and noise levels, without colour matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import ndtri
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.pixelwise import PixelwiseDegradation, per_image
from srtoolbox.data.transforms.batch.random import normals
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.registry import TRANSFORMS

_GAMMA = 2.2
_LEAST = 1e-8


@TRANSFORMS.register
class CameraNoise(PixelwiseDegradation):
    """Adds a sensor's noise: in linear light, of variance shot * light + read, mosaiced and demosaiced.

    So it is stronger in shadows, in red and in blue, and its grains are larger than a pixel. The
    image itself is left as a good demosaicing would have it. read is drawn about shot's power of
    2.18, as measured there. Gray images have no mosaic.

    Args:
        shot: (lowest, highest) variance of the noise at full light, logarithms equally likely.
    """

    def __init__(self, shot: Sequence[float] = (1e-4, 0.012)) -> None:
        self.shot = ordered_range("CameraNoise", "shot", shot, 1e-8, 1)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        shot = np.exp(rngs.uniform(*np.log(self.shot)))
        read = np.exp(2.18 * np.log(shot) + 1.2 + 0.26 * _normal(rngs))
        brightness = 1 / np.maximum(0.8 + 0.1 * _normal(rngs), 0.4)
        red, blue = rngs.uniform(1.9, 2.4), rngs.uniform(1.5, 1.9)
        gains = {"red": brightness * red, "green": brightness, "blue": brightness * blue}
        return {"shot": shot, "read": read, **gains, "key": rngs.keys()}

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        device, channels = images.device, images.pixels.shape[1]
        names = ("red", "green", "blue") if channels == 3 else ("green",)
        gains = np.stack([parameters[name] for name in names], 1).astype(np.float32)
        gain = upload(gains, device)[..., None, None]
        light = to_light(images.pixels)
        deviation = (
            (light / gain).mul_(per_image(parameters["shot"], device)).add_(per_image(parameters["read"], device))
        )
        noise = normals(parameters["key"], images.pixels.shape[1:], device, np.zeros(len(images), bool))
        noise = noise.mul_(deviation.sqrt_())
        if channels == 3:
            noise = _demosaiced(noise, images)
        return to_srgb(noise.mul_(gain).add_(light).clamp_(0, 1))


def to_light(pixels: Tensor) -> Tensor:
    """Return the linear light of pixels in [0, 1]: without the tone curve 3 x^2 - 2 x^3 and the gamma."""
    untoned = 0.5 - torch.sin(torch.asin(1 - 2 * pixels) / 3)
    return untoned.clamp_(min=_LEAST).pow_(_GAMMA)


def to_srgb(light: Tensor) -> Tensor:
    """Return the pixels of linear light in [0, 1]: what `to_light` undoes."""
    bright = light.clamp(min=_LEAST).pow_(1 / _GAMMA)
    return (3 - 2 * bright).mul_(bright).mul_(bright)


def _demosaiced(noise: Tensor, images: Images) -> Tensor:
    """Return red, green and blue (n, 3, H, W) interpolated from the pixels of each in a Bayer pattern."""
    rows, columns = (torch.arange(length, device=noise.device) % 2 for length in noise.shape[-2:])
    odd = (rows[:, None] + columns) % 2
    pattern = torch.stack([(rows[:, None] + columns == 0), odd == 1, (rows[:, None] * columns == 1)])
    there = pattern & images.inside()
    interpolated = _spread(torch.where(there, noise, 0)).div_(_spread(there.float()).clamp_(min=1))
    return torch.where(there, noise, interpolated)


def _spread(planes: Tensor) -> Tensor:
    """Return each pixel's sum of its neighbours with weights 1, 2, 1 down and across, black beyond the edge."""
    padded = F.pad(planes, (1, 1, 1, 1))
    down = padded[..., :-2, :] + padded[..., 2:, :] + 2 * padded[..., 1:-1, :]
    return down[..., :-2] + down[..., 2:] + 2 * down[..., 1:-1]


def _normal(rngs: Rngs) -> np.ndarray:
    """Return a number of N(0, 1) for each image, (n,)."""
    return ndtri(rngs.random() + 2.0**-54)
