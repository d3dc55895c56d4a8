"""`Upscaler`: pictures of any size through one network, with all that decides how."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import to_image, to_tensor
from srtoolbox.inference.ensemble import SelfEnsemble
from srtoolbox.inference.tile import Tiled
from srtoolbox.inference.upscale import evaluation, restore
from srtoolbox.resize import imresize, output_length

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Upscaler:
    """Upscales pictures with one network.

    Args:
        network: one of NETWORKS; its training flags are as before after each picture.
        device: where to run; the network is moved there. None: where the network is.
        tile: side of a tile in LR pixels, 'auto', or None for the whole picture in one piece.
        ensemble: average the results of the eight flips and turns (`SelfEnsemble`).
        dtype: 'fp32', 'bf16' or 'fp16'.
        outscale: final scale, any number above 0; the network's result is resized to it. None: the network's own.

    Raises:
        SrtoolboxError: an option that is not one of the above.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device | str | None = None,
        tile: int | str | None = "auto",
        ensemble: bool = False,
        dtype: str = "fp32",
        outscale: float | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise SrtoolboxError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
        if outscale is not None and not 0 < outscale < float("inf"):
            raise SrtoolboxError(f"outscale is a number above 0, got {outscale!r}")
        self.network = network if device is None else network.to(device)
        self.device = next(network.parameters(), torch.empty(0, device=device)).device
        self.dtype = DTYPES[dtype]
        self.scale = network.scale if outscale is None else outscale
        self._runs = SelfEnsemble(network) if ensemble else network
        if isinstance(tile, int):
            self._runs = Tiled(self._runs, tile)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result of a picture of this size."""
        return output_length(height, self.scale), output_length(width, self.scale)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """HWC uint8 or uint16, RGB or gray (C = 1) -> HWC of `size`, same dtype and number of channels."""
        if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16):
            raise SrtoolboxError(f"upscaling takes an HWC uint8 or uint16 picture, got {image.dtype} {image.shape}")
        autocast = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with evaluation(self.network), torch.inference_mode(), autocast:
            restored = restore(self._runs, to_tensor(image, self.device)).rgb.float()
            if self.scale != self.network.scale:
                restored = imresize(restored, size=self.size(*image.shape[:2]))
        return to_image(restored, bits=8 * image.dtype.itemsize)

    def bands(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """The result as bands of rows, top to bottom: for a result that does not fit into memory."""
        yield self(image)
