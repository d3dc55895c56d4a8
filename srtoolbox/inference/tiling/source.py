"""The image that tiles are windows of: repeated beyond its edges, resized first if need be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from srtoolbox.image import batch_to_float
from srtoolbox.inference.tiling.grid import Margin, Margins
from srtoolbox.inference.transfer import upload
from srtoolbox.resize import Part, imresize_part


class Side(NamedTuple):
    """A side of an image that is resized; where it wraps, by just what makes it `outputs`."""

    length: int  # pixels of the image
    outputs: int  # pixels of the result
    scale: float  # the factor where it does not wrap
    wraps: bool
    margin: int = 0  # pixels of the image that bands have before its first one, where it wraps

    def part(self, low: int, high: int) -> Part:
        """Return pixels `low` ... `high` of the result."""
        scale = self.outputs / self.length if self.wraps else self.scale
        return Part(self.length, scale, low, high, self.wraps)


class Source:
    """An image in memory; only windows of it are made float, resized and moved to the device.

    Args:
        image: HWC uint8 or uint16.
        device: where windows shall be.
        margins: pixels of repetitions around it, or around the result of `resize`.
        resize: MATLAB's bicubic `imresize` of both axes; None: none.
    """

    def __init__(
        self,
        image: np.ndarray,
        device: torch.device,
        margins: Margins | None = None,
        resize: Sequence[Side] | None = None,
    ) -> None:
        self.image, self.device, self.margins = image, device, margins or (Margin(), Margin())
        self.resize = resize
        size = [side.outputs for side in resize] if resize else image.shape[:2]
        sides = zip(size, self.margins, strict=True)
        self.height, self.width = (side + sum(margin) for side, margin in sides)

    @property
    def is_plain(self) -> bool:
        """True if the network gets the image as it is."""
        return self.resize is None and not any(sum(margin) for margin in self.margins)

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """(1, C, h, w) float32 in [0, 1] on the device: the pixels first ... end of both axes."""
        axes = zip((rows, columns), self.margins, strict=True)
        places = [(start - before, stop - before) for (start, stop), (before, _) in axes]
        parts = [side.part(*place) for side, place in zip(self.resize or (), places, strict=False)]
        pixels = self.image
        needs = [part.needs for part in parts] or [slice(*place) for place in places]
        for axis, place in enumerate(needs):
            if place.start >= 0 and place.stop <= pixels.shape[axis]:
                pixels = pixels[place] if axis == 0 else pixels[:, place]
            else:  # beyond an edge the image goes on with itself
                pixels = pixels.take(np.arange(place.start, place.stop), axis, mode="wrap")
        window = batch_to_float(upload(pixels, self.device))
        return imresize_part(window, *parts) if parts else window
