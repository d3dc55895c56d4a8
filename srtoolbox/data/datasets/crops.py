"""Places of crops in LQ pixels (a GT window is the LQ window times the scale), and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.stores.base import Window
from srtoolbox.errors import ConfigError, Fault

Sampling = Literal["image", "area"]
CropMode = Literal["random", "center", "ten"]
Shards = Literal["all", "rank"]
SmallPolicy = Literal["error", "reflect", "zero", "skip"]
CROPS = ("random", "center", "ten", None)
SMALL = ("error", "reflect", "zero", "skip")


class CropOptions(NamedTuple):
    """The arguments that all datasets with GT share."""

    gt_size: int | None
    crop: CropMode | None
    small: SmallPolicy
    transforms: Sequence[Any] | Mapping[str, Any]
    channels: int
    sampling: Sampling
    max_images: int | None
    shards: Shards = "all"

    def validate(self, name: str, scale: int) -> None:
        """Raise a ConfigError that lists all faults of dataset `name`, if there are any."""
        faults = option_faults(scale, self._asdict())
        if faults:
            raise ConfigError([fault.of(name) for fault in faults])


class Cropper:
    """Square windows of `gt_size / scale` LQ pixels. Raises ConfigError if the arguments cannot be.

    A `crop` of "ten" is the corners, the centre, and these mirrored left-right: ten samples of an
    image. None, or a `gt_size` of None, is whole images. `margin`: GT pixels the transforms need
    around the crop.
    """

    def __init__(self, gt_size: int | None, scale: int, crop: CropMode | None, margin: int = 0) -> None:
        faults = crop_faults(gt_size, scale, crop)
        if faults:
            raise ConfigError(faults)
        self.mode = crop if gt_size is not None else None
        self.scale = scale
        self._border = -(-margin // scale)
        self.lq_size = None if self.mode is None or gt_size is None else gt_size // scale
        self.per_image = 10 if self.mode == "ten" else 1

    @property
    def needed(self) -> int:
        """The side in LQ px of the crop with the margin of the transforms around it."""
        return 0 if self.lq_size is None else self.lq_size + 2 * self._border

    def window(self, height: int, width: int, rng: Rng | None, number: int = 0) -> Window:
        """Return the window to read in an image of height x width LQ px, as far as it goes.

        `number` is that of the crop, below `per_image`; `rng` is used by "random" only.
        """
        if self.mode is None:
            return Window(0, 0, height, width)
        high, wide = min(self.needed, height), min(self.needed, width)
        free = (height - high, width - wide)
        if self.mode == "random":
            assert rng is not None
            top, left = rng.integers(0, free[0] + 1), rng.integers(0, free[1] + 1)
        elif self.mode == "center" or number % 5 == 4:
            top, left = free[0] // 2, free[1] // 2
        else:  # top left, top right, bottom left, bottom right
            top, left = free[0] * (number % 5 // 2), free[1] * (number % 5 % 2)
        return Window(top, left, high, wide)

    def inner(self, window: Window) -> Window | None:
        """Return a window without the margin of the transforms; None for whole images."""
        if self.lq_size is None:
            return None
        return Window(window.top + self._border, window.left + self._border, self.lq_size, self.lq_size)

    def trim(self, image: np.ndarray, factor: int) -> np.ndarray:
        """Return `image` without the margin of the transforms; `factor`: LQ 1, GT scale."""
        if self.lq_size is None or not self._border:
            return image
        cut, size = self._border * factor, self.lq_size * factor
        return image[cut : cut + size, cut : cut + size]


def crop_faults(gt_size: int | None, scale: int, crop: str | None) -> list[Fault]:
    """Return the faults in these arguments."""
    faults = []
    if crop not in CROPS:
        faults.append(Fault("crop", f"crop is one of {', '.join(map(repr, CROPS))}, got {crop!r}"))
    if gt_size is not None and (gt_size < scale or gt_size % scale):
        faults.append(Fault("gt_size", f"gt_size must be a multiple of scale {scale}, got {gt_size}"))
    if gt_size is None and crop in ("center", "ten"):
        faults.append(Fault("crop", f"crop={crop!r} needs a gt_size"))
    return faults


def option_faults(scale: int, options: Mapping[str, Any]) -> list[Fault]:
    """Return the faults in the arguments that all GT datasets share, but for absent ones."""
    if not isinstance(scale, int) or scale < 1:
        return [Fault("scale", f"scale is a whole number from 1 up, got {scale!r}")]
    faults = crop_faults(options.get("gt_size"), scale, options.get("crop", "random"))
    for name, allowed in (
        ("small", SMALL),
        ("sampling", ("image", "area")),
        ("channels", (1, 3)),
        ("shards", ("all", "rank")),
    ):
        if name in options and options[name] not in allowed:
            faults.append(Fault(name, f"{name} is one of {', '.join(map(repr, allowed))}, got {options[name]!r}"))
    if options.get("max_images") is not None and options["max_images"] < 1:
        faults.append(Fault("max_images", f"max_images must be at least 1, got {options['max_images']}"))
    return faults


def pad(image: np.ndarray, size: int, policy: SmallPolicy) -> np.ndarray:
    """Fill an image up to at least size x size at the bottom and the right.

    "reflect" repeats the edge pixel: without, GT would be shifted against LQ by half an LQ pixel.
    """
    missing = [(0, max(0, size - length)) for length in image.shape[:2]]
    if not any(after for _, after in missing):
        return image
    return np.pad(image, (*missing, (0, 0)), mode="symmetric" if policy == "reflect" else "constant")
