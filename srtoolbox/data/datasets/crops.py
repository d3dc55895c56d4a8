"""Where crops are taken. Everything is reckoned in LQ pixels: a GT window is the LQ window times the scale, so the
two always match.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from srtoolbox.data.loading.rng import Rng
from srtoolbox.data.stores.base import Window
from srtoolbox.errors import ConfigError, Fault

CropMode = Literal["random", "center", "ten"]
SmallPolicy = Literal["error", "reflect", "zero", "skip"]
CROPS = ("random", "center", "ten", None)
SMALL = ("error", "reflect", "zero", "skip")


class Cropper:
    """Takes windows of `gt_size / scale` LQ pixels, square.

    Args:
        gt_size: side of a GT crop in px; None takes whole images.
        scale: GT size over LQ size.
        crop: "random"; "center"; "ten" (the corners, the centre, and these mirrored left-right: ten samples of a
            image); None is whole images.
        margin: GT pixels the transforms need around the crop.

    Raises:
        ConfigError: an impossible combination.
    """

    def __init__(self, gt_size: int | None, scale: int, crop: CropMode | None, margin: int = 0) -> None:
        faults = crop_faults(gt_size, scale, crop)
        if faults:
            raise ConfigError(faults)
        self.mode = crop if gt_size is not None else None
        self.scale = scale
        self._border = -(-margin // scale)
        self.lq_size = None if self.mode is None else gt_size // scale
        self.per_image = 10 if self.mode == "ten" else 1

    @property
    def needed(self) -> int:
        """Side in LQ px that an image must have: the crop and the margin of the transforms around it."""
        return 0 if self.lq_size is None else self.lq_size + 2 * self._border

    def window(self, height: int, width: int, rng: Rng | None, number: int = 0) -> Window:
        """The LQ window to read in an image of height x width LQ px, smaller than `needed` where the image is.

        Args:
            rng: used by "random" only.
            number: which of the `per_image` crops.
        """
        if self.mode is None:
            return Window(0, 0, height, width)
        high, wide = min(self.needed, height), min(self.needed, width)
        free = (height - high, width - wide)
        if self.mode == "random":
            top, left = rng.integers(0, free[0] + 1), rng.integers(0, free[1] + 1)
        elif self.mode == "center" or number % 5 == 4:
            top, left = free[0] // 2, free[1] // 2
        else:  # top left, top right, bottom left, bottom right
            top, left = free[0] * (number % 5 // 2), free[1] * (number % 5 % 2)
        return Window(top, left, high, wide)

    def trim(self, image: np.ndarray, factor: int) -> np.ndarray:
        """`image` without the margin the transforms have used up; `factor` is 1 for LQ, the scale for GT."""
        if self.lq_size is None or not self._border:
            return image
        cut, size = self._border * factor, self.lq_size * factor
        return image[cut : cut + size, cut : cut + size]


def crop_faults(gt_size: int | None, scale: int, crop: str | None) -> list[Fault]:
    """What is wrong with these arguments, a sentence each."""
    faults = []
    if crop not in CROPS:
        faults.append(Fault("crop", f"crop is one of {', '.join(map(repr, CROPS))}, got {crop!r}"))
    if gt_size is not None and (gt_size < scale or gt_size % scale):
        faults.append(Fault("gt_size", f"gt_size must be a multiple of scale {scale}, got {gt_size}"))
    if gt_size is None and crop in ("center", "ten"):
        faults.append(Fault("crop", f"crop={crop!r} needs a gt_size"))
    return faults


def pad(image: np.ndarray, size: int, policy: SmallPolicy) -> np.ndarray:
    """Fill an image up to at least size x size at the bottom and the right.

    "reflect" mirrors at the edge with the edge pixel repeated: mirroring at the edge pixel's centre would shift GT
    against LQ by half an LQ pixel.
    """
    missing = [(0, max(0, size - length)) for length in image.shape[:2]]
    if not any(after for _, after in missing):
        return image
    return np.pad(image, (*missing, (0, 0)), mode="symmetric" if policy == "reflect" else "constant")
