"""Base of the degradations that change each pixel in its place, in one way for one image or many."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, upload

YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""From RGB to luma and chroma, that of chroma about 0: BT.601 as JPEG has it."""


class PixelwiseDegradation(BatchDegradation):
    """A change that leaves sizes as they are and knows of an image no more than its pixels.

    On the CPU image after image, on a GPU all at once: the same function of the same numbers.
    """

    @abstractmethod
    def change(self, images: Images, parameters: Parameters) -> Tensor:
        """Return the changed pixels of images (n, C, H, W), which may be above 1 and below 0.

        What lies beyond an image is any number, NaN among them.
        """

    def apply(self, images: Images, parameters: Parameters) -> Images:
        if images.batched:
            return images.like(self.change(images, parameters).clamp_(0, 1))

        def changed(image: Tensor, number: int) -> Tensor:
            own = {name: values[number : number + 1] for name, values in parameters.items()}
            # in one piece, as it is alone: of powers and sines the bits follow from how memory is walked
            return self.change(Images(image[None].contiguous(), batched=False), own)[0].clamp_(0, 1)

        return images.map(changed)


def per_image(values: np.ndarray, device: torch.device) -> Tensor:
    """Return one number an image as (N, 1, 1, 1), float32, or bool where it is."""
    kept = values if values.dtype == np.bool_ else values.astype(np.float32)
    return upload(kept, device).view(-1, 1, 1, 1)


def mix(pixels: Tensor, matrix: np.ndarray) -> Tensor:
    """Weigh and add the channels of (N, C, H, W) for each new one, by `matrix` (D, C)."""
    weights = matrix.tolist()
    mixed = pixels.new_empty(len(pixels), len(weights), *pixels.shape[2:])
    for target, row in zip(mixed.unbind(1), weights, strict=True):
        torch.mul(pixels[:, 0], row[0], out=target)
        for channel, weight in enumerate(row[1:], 1):
            target.add_(pixels[:, channel], alpha=weight)
    return mixed
