"""Real codecs: each image is compressed and decoded in memory, on the host, at a quality of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan
from srtoolbox.data.transforms.batch.jpeg import draw_one, known_subsamplings
from srtoolbox.data.transforms.degrade import Degradation, ordered_range
from srtoolbox.image import to_uint8
from srtoolbox.image.pixels import compress_jpeg
from srtoolbox.registry import TRANSFORMS


class Codec(Degradation):
    """A codec of 8 bits: an image of 16 comes back with those."""

    @abstractmethod
    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        """Return what `code` is to be given of each image."""

    @abstractmethod
    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        """Return an image (H, W, C) uint8 of any size, compressed and decoded."""

    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        sizes = np.array([image.shape[:2]])
        coded = self.code(to_uint8(image), _of_one(self.draw(rng.alone(), sizes, Plan(sizes, sizes)), 0))
        return coded if image.dtype == np.uint8 else coded.astype(np.uint16) * 257

    def apply(self, images: Images, parameters: Parameters) -> Images:
        return self.change_each(images, lambda image, n: self.code(image, _of_one(parameters, n)))


@TRANSFORMS.register
class JPEGCompression(Codec):
    """Compresses LQ as JPEG and decodes it. The blocks of 8 x 8 begin at the crop's corner.

    Args:
        quality: (lowest, highest) whole numbers from 1 to 100, each between them equally likely.
        subsampling: of chroma, '4:4:4', '4:2:2' or '4:2:0', or several, each equally likely.
    """

    def __init__(self, quality: Sequence[int] = (30, 95), subsampling: str | Sequence[str] = "4:2:0") -> None:
        self.quality = ordered_range("JPEGCompression", "quality", quality, 1, 100)
        self.subsampling = known_subsamplings("JPEGCompression", subsampling)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"quality": draw_whole(rngs, self.quality), "subsampling": draw_one(rngs, self.subsampling)}

    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        return compress_jpeg(image, parameters["quality"], parameters["subsampling"])


def draw_whole(rngs: Rngs, bounds: Sequence[int]) -> np.ndarray:
    """Return a whole number from `bounds`, both included, for each image, (n,)."""
    low, high = bounds
    return low + rngs.integers(np.full(len(rngs), high + 1 - low))


def _of_one(parameters: Parameters, number: int) -> dict[str, Any]:
    """Return the parameters of one image as plain values."""
    return {name: values[number].item() for name, values in parameters.items()}
