"""Hard augmentations, which spoil LQ alone, so that the network learns to repair."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.base import Sample
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.image import to_image, to_tensor
from srtoolbox.image.pixels import channel_means, gaussian_blur
from srtoolbox.registry import TRANSFORMS

_N = TypeVar("_N", int, float)


class Degradation(BatchDegradation):
    """Changes `lq` only, image after image.

    Sizes are in LQ pixels, levels in those of 8 bit, also with 16 bits.

    In a batch its images are rounded to 8 bits, and each has the random numbers that a sample has.
    """

    on_host = True

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        sample["lq"] = self.degrade(sample["lq"], rng)
        return sample

    @abstractmethod
    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        """Return a new image of the same shape and dtype."""

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"stream": rngs.streams()}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        streams = parameters["stream"]
        return self.change_each(images, lambda image, n: self.degrade(image, Rng.of(streams[n])))

    def change_each(self, images: Images, function: Callable[[np.ndarray, int], np.ndarray]) -> Images:
        """Return `function(image, n)` of each image, HWC uint8.

        Raises:
            DataError: it returned anything else than an image of that shape and dtype.
        """

        def change(image: Tensor, number: int) -> Tensor:
            levels = to_image(image)
            changed = function(levels, number)
            if changed.shape != levels.shape or changed.dtype != levels.dtype:
                made = f"made {changed.shape} {changed.dtype} of {levels.shape} {levels.dtype}"
                raise DataError(f"{type(self).__name__} {made}: a degradation keeps shape and dtype")
            return to_tensor(changed, image.device)[0]

        return images.map(change)


@TRANSFORMS.register
class CoarseDropout(Degradation):
    """Fills some rectangles of LQ, which lie wholly inside and may overlap.

    DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout"
    (arXiv:1708.04552), with several holes.

    Args:
        holes: (fewest, most) rectangles.
        size: (shortest, longest) side of a rectangle in LQ px; height and width are drawn apart.
        fill: a level 0 ... 255, or "mean" for the image's mean colour.
    """

    def __init__(
        self, holes: Sequence[int] = (1, 8), size: Sequence[int] = (2, 8), fill: int | Literal["mean"] = 0
    ) -> None:
        self.holes = ordered_range("CoarseDropout", "holes", holes, 1)
        self.size = ordered_range("CoarseDropout", "size", size, 1)
        if fill != "mean" and not (isinstance(fill, int) and 0 <= fill <= 255):
            raise ConfigError(f"CoarseDropout: fill is a level from 0 to 255 or 'mean', got {fill!r}", key="fill")
        self.fill = fill

    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        level = np.rint(channel_means(image)) if self.fill == "mean" else self.fill * level_of(image)
        result = np.array(image)
        for _ in range(rng.integers(self.holes[0], self.holes[1] + 1)):
            spans = []
            for length in image.shape[:2]:
                size = min(length, rng.integers(self.size[0], self.size[1] + 1))
                start = rng.integers(0, length - size + 1)
                spans.append(slice(start, start + size))
            result[tuple(spans)] = level
        return result


@TRANSFORMS.register
class GaussianBlur(Degradation):
    """Blurs LQ with an isotropic Gaussian.

    Args:
        sigma: (lowest, highest) in LQ px; each between them equally likely.
        kernel: side of the kernel, odd; None takes 3 sigma each way.
    """

    def __init__(self, sigma: Sequence[float] = (0.2, 2.0), kernel: int | None = None) -> None:
        self.sigma = ordered_range("GaussianBlur", "sigma", sigma, 0.01)
        if kernel is not None and (kernel < 1 or kernel % 2 == 0):
            raise ConfigError(f"GaussianBlur: kernel is odd, got {kernel}", key="kernel")
        self.kernel = kernel

    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        return gaussian_blur(image, rng.uniform(*self.sigma), self.kernel)


def level_of(image: np.ndarray) -> int:
    """Return the step of this image that is one level of 8 bit: 1, or 257 with 16 bits."""
    return 1 if image.dtype == np.uint8 else 257


def ordered_range(
    owner: str, name: str, values: Sequence[_N], least: float, most: float = float("inf")
) -> tuple[_N, _N]:
    """Return (low, high). Raises ConfigError unless least <= low <= high <= most."""
    if len(values) != 2 or not least <= values[0] <= values[1] <= most:
        limit = f"from {least:g} up" if most == float("inf") else f"between {least:g} and {most:g}"
        raise ConfigError(f"{owner}: {name} is (lowest, highest), {limit}, got {values!r}", key=name)
    return values[0], values[1]
