"""Where windows of the input come from: the picture itself, or the picture resized to the final size on the way."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox.dist import unwrap
from srtoolbox.image import to_tensor
from srtoolbox.resize import Part, imresize_part, output_length


class Source(Protocol):
    """A picture of which windows can be had as tensors."""

    height: int
    width: int

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """(1, C, h, w) float32 in [0, 1] on the device: the pixels first ... end of both axes."""


class Original:
    """HWC uint8 or uint16 in memory; only windows of it are made float and moved to the device."""

    def __init__(self, image: np.ndarray, device: torch.device) -> None:
        self.image, self.device = image, device
        self.height, self.width = image.shape[:2]

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """See `Source`."""
        return to_tensor(self.image[slice(*rows), slice(*columns)], self.device)


class Resized:
    """The picture after MATLAB's bicubic `imresize` by `scale`, which is only made where a window is."""

    def __init__(self, image: np.ndarray, scale: float, device: torch.device) -> None:
        self.image, self.scale, self.device = image, scale, device
        self.height, self.width = (output_length(length, scale) for length in image.shape[:2])

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """See `Source`."""
        parts = [Part(n, self.scale, *pair) for n, pair in zip(self.image.shape, (rows, columns), strict=False)]
        window = to_tensor(self.image[parts[0].needs, parts[1].needs], self.device)
        return imresize_part(window, *parts)


@runtime_checkable
class Refines(Protocol):
    """A network whose forward is a bicubic interpolation and `refine`: it takes any scale."""

    refine_field: int
    """Radius in pixels of the output of what `refine` sees."""

    def refine(self, upscaled: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""


class Refined(nn.Module):
    """A pre-upsampling network (`Refines`) without its interpolation: a network of scale 1, with the same facts."""

    scale, size_multiple = 1, 1

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = bare = unwrap(network)
        self.in_channels, self.colour, self.receptive_field = bare.in_channels, bare.colour, bare.refine_field

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""
        return self.network.refine(lq)
