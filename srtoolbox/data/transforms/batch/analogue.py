"""Traces of analogue video in images: colours that run over edges, combs of two fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.base import probability
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan, take, upload
from srtoolbox.data.transforms.batch.filtering import filter_image, filter_images
from srtoolbox.data.transforms.batch.jpeg import FROM_CBCR, TO_YCBCR, mix_channels
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS

_TO_CBCR = TO_YCBCR[1:]


@TRANSFORMS.register
class ChromaBlur(BatchDegradation):
    """Blurs Cb and Cr with a Gaussian and moves them against luma, which stays: gray images do not change.

    Args:
        sigma: (lowest, highest) in px; that along rows and that along columns are drawn apart.
        shift: px by which chroma moves at most along rows and along columns, either way.
    """

    def __init__(self, sigma: Sequence[float] = (0.5, 3.0), shift: float = 1.0) -> None:
        self.sigma = ordered_range("ChromaBlur", "sigma", sigma, 0.1)
        if shift < 0:
            raise ConfigError(f"ChromaBlur: shift is 0 or more pixels, got {shift}", key="shift")
        self.shift = shift

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        sigma = np.stack([rngs.uniform(*self.sigma) for _ in range(2)], 1)
        return {"sigma": sigma, "shift": np.stack([rngs.uniform(-self.shift, self.shift) for _ in range(2)], 1)}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        if images.pixels.shape[1] == 1:
            return images
        kernels = self._kernels(parameters["sigma"], parameters["shift"])
        if not images.batched:
            return images.map(lambda image, n: _with_chroma_by(image, kernels[n]))
        chroma = images.like(mix_channels(images.pixels, _TO_CBCR))
        change = filter_images(chroma, kernels).pixels - chroma.pixels
        return images.like((images.pixels + mix_channels(change, FROM_CBCR)).clamp(0, 1))

    def _kernels(self, sigmas: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Return the Gaussian of each image about its shift, (n, k, k)."""
        reach = int(np.ceil(3 * self.sigma[1] + self.shift))
        away = np.arange(-reach, reach + 1) + shifts[:, :, None]  # what moves down comes from above
        lines = np.exp(-0.5 * (away / sigmas[:, :, None]) ** 2)
        lines /= lines.sum(2, keepdims=True)
        return lines[:, 0, :, None] * lines[:, 1, None]


def _with_chroma_by(image: Tensor, kernel: np.ndarray) -> Tensor:
    chroma = mix_channels(image[None], _TO_CBCR)
    change = filter_image(chroma[0], kernel)[None] - chroma
    return (image + mix_channels(change, FROM_CBCR)[0]).clamp(0, 1)


@TRANSFORMS.register
class Interlacing(BatchDegradation):
    """Makes every second row that of another field: moved along the row, or a copy of its neighbour.

    Args:
        shift: (least, most) px by which the rows of one field are moved to either side, as where the
            camera pans: edges become combs.
        doubling: probability that instead the lines of one field are shown twice.
    """

    def __init__(self, shift: Sequence[int] = (1, 8), doubling: float = 0.25) -> None:
        self.shift = ordered_range("Interlacing", "shift", shift, 0)
        self.doubling = probability("Interlacing", doubling, "doubling")

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        shift = rngs.whole(*self.shift)
        return {
            "shift": np.where(rngs.random() < 0.5, -shift, shift),
            "doubled": rngs.random() < self.doubling,
            "field": rngs.whole(0, 1),
        }

    def apply(self, images: Images, parameters: Parameters) -> Images:
        height, width = images.pixels.shape[-2:]
        row = np.arange(height)
        other, doubled = row % 2 == parameters["field"][:, None], parameters["doubled"][:, None]
        rows = np.where(other & doubled, np.where(row > 0, row - 1, 1), row)
        rows = np.minimum(rows, images.sizes[:, :1] - 1)
        shifts = np.where(other & ~doubled, parameters["shift"][:, None], 0)
        if not images.batched:
            return images.map(lambda image, n: _taken(image, rows[n], shifts[n]))
        column = torch.arange(width, device=images.device) + upload(shifts, images.device)[..., None]
        last = upload(images.sizes[:, 1:, None] - 1, images.device)
        places = upload(rows, images.device)[..., None] * width + torch.minimum(column.clamp(min=0), last)
        return images.like(take(images.pixels, places))


def _taken(image: Tensor, rows: np.ndarray, shifts: np.ndarray) -> Tensor:
    """Return an image (C, h, w) whose row y is `rows[y]`, moved by `shifts[y]`, its edge repeated."""
    height, width = image.shape[1:]
    columns = np.clip(np.arange(width) + shifts[:height, None], 0, width - 1)
    return image[:, torch.from_numpy(rows[:height, None]), torch.from_numpy(columns)]
