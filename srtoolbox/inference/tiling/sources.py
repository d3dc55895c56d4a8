"""Where windows of the input come from: the picture itself, or the picture resized to the final size on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.dist import unwrap
from srtoolbox.image import to_tensor
from srtoolbox.interfaces import NetworkWrapper, facts_of
from srtoolbox.resize import Part, imresize_part


class Source(Protocol):
    """A picture of which windows can be had as tensors."""

    height: int
    width: int

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """(1, C, h, w) float32 in [0, 1] on the device: the pixels first ... end of both axes."""


class Margin(NamedTuple):
    """Pixels before and after an axis in which it goes on with itself, as often as it takes."""

    before: int = 0
    after: int = 0


Margins = tuple[Margin, Margin]
"""Those of the rows and of the columns."""
NONE = Margin(), Margin()


class Original:
    """HWC uint8 or uint16 in memory; only windows of it are made float and moved to the device."""

    def __init__(self, image: np.ndarray, device: torch.device, margins: Margins = NONE) -> None:
        self.image, self.device, self.margins = image, device, margins
        self.height, self.width = (side + sum(margin) for side, margin in zip(image.shape, margins, strict=False))

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """See `Source`."""
        places = zip((rows, columns), self.margins, strict=True)
        inside = [slice(first - margin.before, end - margin.before) for (first, end), margin in places]
        return to_tensor(_taken(self.image, *inside), self.device)


class Resized:
    """The picture after MATLAB's bicubic `imresize` to `size`, which is only made where a window is.

    Args:
        image: HWC uint8 or uint16.
        scale: of axes that do not wrap; others are resized to just their part of `size`.
        size: (height, width) of the result, without margins.
        device: where windows shall be.
        margins: pixels of the result.
        wraps: which axes, rows and columns, go on with themselves.
    """

    def __init__(
        self,
        image: np.ndarray,
        scale: float,
        size: tuple[int, int],
        device: torch.device,
        margins: Margins = NONE,
        wraps: tuple[bool, bool] = (False, False),
    ) -> None:
        self.image, self.device, self.margins, self.wraps = image, device, margins, wraps
        self.height, self.width = (side + sum(margin) for side, margin in zip(size, margins, strict=True))
        sides = zip(image.shape, size, wraps, strict=False)
        self._scales = [new / old if is_wrapped else scale for old, new, is_wrapped in sides]

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """See `Source`."""
        parts = [
            Part(length, scale, first - margin.before, end - margin.before, is_wrapped)
            for length, scale, (first, end), margin, is_wrapped in zip(
                self.image.shape, self._scales, (rows, columns), self.margins, self.wraps, strict=False
            )
        ]
        window = to_tensor(_taken(self.image, *(part.needs for part in parts)), self.device)
        return imresize_part(window, *parts)


def _taken(image: np.ndarray, *places: slice) -> np.ndarray:
    """The pixels at these rows and columns; beyond an edge the image goes on with itself."""
    for axis, place in enumerate(places):
        if place.start >= 0 and place.stop <= image.shape[axis]:
            image = image[place] if axis == 0 else image[:, place]
        else:
            image = image.take(np.arange(place.start, place.stop), axis, mode="wrap")
    return image


@runtime_checkable
class Refines(Protocol):
    """A network whose forward is a bicubic interpolation and `refine`: it takes any scale."""

    refine_field: int
    """Radius in pixels of the output of what `refine` sees."""

    def refine(self, upscaled: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""


class Refined(NetworkWrapper):
    """A pre-upsampling network (`Refines`) without its interpolation: a network of scale 1, with the same facts."""

    def __init__(self, network: nn.Module) -> None:
        bare = unwrap(network)
        super().__init__(bare, replace(facts_of(bare), scale=1, size_multiple=1, receptive_field=bare.refine_field))

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""
        return self.network.refine(lq)
