"""Wrong colours: a cast of the white balance, another gamma, colours paler or louder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.pixelwise import YCBCR, PixelwiseDegradation, mix, per_image
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.registry import TRANSFORMS


@TRANSFORMS.register
class ColourCast(PixelwiseDegradation):
    """Changes the white balance, the gamma and the saturation. Of gray images: the gamma.

    LQ then has colours that GT has not: a network that is trained so corrects them as well.

    Args:
        gain: (lowest, highest) factor of red, and another one of blue; logarithms equally likely.
        gamma: (lowest, highest) power of all values, logarithms equally likely.
        saturation: (lowest, highest) factor of the distance from luma, all equally likely.
    """

    def __init__(
        self,
        gain: Sequence[float] = (0.87, 1.15),
        gamma: Sequence[float] = (0.8, 1.25),
        saturation: Sequence[float] = (0.6, 1.3),
    ) -> None:
        self.gain = ordered_range("ColourCast", "gain", gain, 0.01)
        self.gamma = ordered_range("ColourCast", "gamma", gamma, 0.01)
        self.saturation = ordered_range("ColourCast", "saturation", saturation, 0)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        red, blue, gamma = (np.exp(rngs.uniform(*np.log(bounds))) for bounds in (self.gain, self.gain, self.gamma))
        return {"red": red, "blue": blue, "gamma": gamma, "saturation": rngs.uniform(*self.saturation)}

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        gamma = per_image(parameters["gamma"], images.device)
        if images.pixels.shape[1] != 3:
            return images.pixels.pow(gamma)
        gains = np.stack([parameters["red"], np.ones(len(images)), parameters["blue"]], 1).astype(np.float32)
        balanced = (images.pixels * upload(gains, images.device)[..., None, None]).clamp_(0, 1).pow_(gamma)
        return mix(balanced, YCBCR[:1]).lerp(balanced, per_image(parameters["saturation"], images.device))
