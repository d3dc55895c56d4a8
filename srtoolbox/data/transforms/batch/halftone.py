"""Halftone: an image as it is printed, by screens of dots whose sizes make the tones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.pixelwise import PixelwiseDegradation, per_image
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.registry import TRANSFORMS

_COLOUR_SCREENS = np.array([15.0, 75.0, 0.0])  # of cyan, magenta and yellow: printers' usual degrees
_GRAY_SCREEN = np.array([45.0])


@TRANSFORMS.register
class Halftone(PixelwiseDegradation):
    """Prints the image by dots, each channel by a screen at an angle of its own, and scans it.

    The dots of the screens are as large as keeps the mean tone, their edges a pixel wide. Cyan,
    magenta and yellow stand 15, 75 and 0 degrees from the drawn angle, gray 45.

    Args:
        period: (smallest, largest) distance of the dots in px, all equally likely.
        angle: (lowest, highest) in degrees.
        strength: (lowest, highest) share of the print in the result, in [0, 1].
    """

    def __init__(
        self,
        period: Sequence[float] = (2.5, 6.0),
        angle: Sequence[float] = (0.0, 90.0),
        strength: Sequence[float] = (0.2, 0.8),
    ) -> None:
        self.period = ordered_range("Halftone", "period", period, 2)
        self.angle = ordered_range("Halftone", "angle", angle, -360, 360)
        self.strength = ordered_range("Halftone", "strength", strength, 0, 1)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {
            "period": rngs.uniform(*self.period),
            "angle": rngs.uniform(*self.angle),
            "strength": rngs.uniform(*self.strength),
            "phase": np.stack([rngs.random(), rngs.random()], 1),
        }

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        screens = _COLOUR_SCREENS if images.pixels.shape[1] == 3 else _GRAY_SCREEN
        sharpness = per_image(parameters["period"] / 2, images.device)  # the threshold rises by about 2 / period a px
        printed = (images.pixels - _thresholds(images, parameters, screens)).mul_(sharpness).add_(0.5).clamp_(0, 1)
        return images.pixels.lerp(printed, per_image(parameters["strength"], images.device))


def _thresholds(images: Images, parameters: Parameters, screens: np.ndarray) -> Tensor:
    """Return above which value each pixel is white, (n, C, H, W), all values in [0, 1] equally often.

    Along each of two axes it falls and rises in straight lines; of their mean it is the quantile.
    """
    height, width = images.pixels.shape[-2:]
    turned = np.deg2rad(parameters["angle"][:, None] + screens)[..., None]  # (n, C, 1)
    period, phase = parameters["period"][:, None, None], parameters["phase"]
    total = torch.zeros(1, device=images.device)
    for axis, angle in enumerate((turned, turned + np.pi / 2)):
        # in periods, whole ones left out here, where numbers are exact
        rows = np.sin(angle) / period * np.arange(height) % 1
        columns = (np.cos(angle) / period * np.arange(width) + phase[:, axis, None, None]) % 1
        rows, columns = rows.astype(np.float32), columns.astype(np.float32)
        place = upload(rows, images.device)[..., None] + upload(columns, images.device)[..., None, :]
        total = place.frac_().mul_(2).sub_(1).abs_() + total
    mean = total.div_(2)
    return torch.where(mean < 0.5, 2 * mean.square(), 1 - 2 * (1 - mean).square())
