"""Noise of batches: Gaussian, Poisson, speckle; gray, of each channel alone, or of mixed channels.

Gaussian and Poisson noise are those of Wang et al. 2021, "Real-ESRGAN: Training real-world blind
super-resolution with pure synthetic data" (ICCVW 2021, arXiv:2107.10833); speckle and mixed
channels those of Zhang et al. 2021, "Designing a practical degradation model for deep blind image
super-resolution" (BSRGAN, ICCV 2021, arXiv:2103.14006).

Poisson numbers of pixels are made by Walker's alias method: exact, with no loop, alike on every
device. The published noise takes pixels of 8 bits, and a peak that is a power of 2 (1 ... 256):
there are 9 x 256 rates. Each has a table of 512 columns of equal probability, in which lie a count
and another one, its alias. A pixel takes a column by 9 random bits, and one of the two by 23 more
(Walker 1977, "An efficient method for generating discrete random variables with general
distributions"; the tables by Vose 1991, "A linear algorithm for generating random numbers with a
given distribution"). So a count's probability is right to 2^-32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from scipy.special import gammaln, xlogy
from torch import Tensor

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.base import Sample, probability
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.pixelwise import PixelwiseDegradation, mix, per_image
from srtoolbox.data.transforms.batch.random import bits_of_32, normals
from srtoolbox.data.transforms.degrade import level_of, ordered_range
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS

_LUMA = np.array([[0.2989, 0.587, 0.114]])  # the published code's
LEVELS = 256
PEAKS = 9  # powers of 2: 1, 2, 4 ... 256
_COLUMNS = 512  # of the largest rate, 256, counts above 511 have probability 1e-45


class NormalNoise(PixelwiseDegradation):
    """Base of the noises that are made of normally distributed numbers.

    Args:
        sigma: (lowest, highest) standard deviation in levels of 8 bit, all equally likely.
        gray: probability that all channels have the same noise.
        mixed: probability that those of three channels are mixed.
    """

    def __init__(self, sigma: Sequence[float], gray: float, mixed: float) -> None:
        name = type(self).__name__
        self.sigma = ordered_range(name, "sigma", sigma, 0)
        self.gray, self.mixed = probability(name, gray, "gray"), probability(name, mixed, "mixed")
        if gray + mixed > 1:
            raise ConfigError(f"{name}: gray and mixed together are at most 1, got {gray} and {mixed}", key="mixed")

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        kind = rngs.at(0).random()
        parameters = {"sigma": rngs.uniform(*self.sigma), "key": rngs.keys(), "gray": kind < self.gray}
        if self.mixed:
            is_mixed = kind >= 1 - self.mixed
            parameters["mixing"] = np.where(is_mixed[:, None, None], random_mixing(rngs.at(1)), np.eye(3))
        return parameters

    def noise(self, images: Images, parameters: Parameters) -> Tensor:
        """Return the noise of images (n, C, H, W), or (n, 1, H, W) if it is gray for all."""
        noise = normals(parameters["key"], images.pixels.shape[1:], images.device, parameters["gray"])
        if "mixing" in parameters and noise.shape[1] == 3:
            mixing = upload(parameters["mixing"].astype(np.float32), images.device)[..., None, None]
            first, second, third = (mixing[:, :, source] * noise[:, source : source + 1] for source in range(3))
            noise = first.add_(second).add_(third)
        return noise.mul_(per_image(parameters["sigma"] / 255, images.device))


@TRANSFORMS.register
class GaussianNoise(NormalNoise):
    """Adds normally distributed noise, clipped.

    As a transform of a sample it adds it to LQ, with numbers of its own, and rounds.

    Args:
        sigma: (lowest, highest) standard deviation in levels of 8 bit, all equally likely.
        gray: probability that all channels have the same noise (True: they do); else each has its
            own.
        mixed: probability that those of three channels are mixed: of covariance sigma^2 |U^T D U|,
            D diagonal and uniform in (0, 1), U a random orthogonal matrix.
    """

    overshoots = True

    def __init__(self, sigma: Sequence[float] = (0.0, 10.0), *, gray: float = False, mixed: float = 0.0) -> None:
        super().__init__(sigma, gray, mixed)

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        sample["lq"] = self.degrade(sample["lq"], rng)
        return sample

    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        """Return a noisy image, HWC uint8 or uint16 as it came."""
        sigma, kind = rng.uniform(*self.sigma) * level_of(image), rng.at(0).random()
        shape = (*image.shape[:2], 1 if kind < self.gray else image.shape[2])
        noise = rng.normals(shape[0] * shape[1] * shape[2]).reshape(shape)
        if kind >= 1 - self.mixed and shape[2] == 3:
            noise = noise @ random_mixing(rng.at(1).alone())[0].astype(np.float32)
        noisy = image + noise * np.float32(sigma)
        np.rint(noisy, out=noisy)
        return noisy.clip(0, np.iinfo(image.dtype).max, out=noisy).astype(image.dtype)

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        return images.pixels + self.noise(images, parameters)


@TRANSFORMS.register
class SpeckleNoise(NormalNoise):
    """Adds normally distributed noise in proportion to each pixel's value, clipped.

    Args:
        sigma: (lowest, highest) standard deviation at white, in levels of 8 bit.
        gray: probability that all channels have the same noise; else each has its own.
        mixed: probability that those of three channels are mixed, as in `GaussianNoise`.
    """

    def __init__(self, sigma: Sequence[float] = (2.0, 25.0), *, gray: float = 0.0, mixed: float = 0.0) -> None:
        super().__init__(sigma, gray, mixed)

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        return images.pixels + images.pixels * self.noise(images, parameters)


@TRANSFORMS.register
class PoissonNoise(PixelwiseDegradation):
    """Adds the noise of counted photons, of a variance in proportion to the pixel's value, clipped.

    An image of 8 bits that has U different values is taken for the mean of Poisson numbers whose
    peak is V = 2^ceil(log2 U), for white. What the numbers, divided by V, differ from it is added.

    Args:
        scale: (lowest, highest) factor of the noise, all equally likely.
        gray: probability that all channels have the same noise, that of their luma; else each has
            its own.
    """

    overshoots = True

    def __init__(self, scale: Sequence[float] = (0.05, 3.0), *, gray: float = 0.0) -> None:
        self.scale = ordered_range("PoissonNoise", "scale", scale, 0)
        self.gray = probability("PoissonNoise", gray, "gray")

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"scale": rngs.uniform(*self.scale), "key": rngs.keys(), "gray": rngs.random() < self.gray}

    def change(self, images: Images, parameters: Parameters) -> Tensor:
        levels = _levels(images, parameters["gray"])
        powers = _powers_of_peaks(levels, batched=images.batched)
        levels = levels.clamp_(max=LEVELS - 1)
        bits = bits_of_32(parameters["key"], levels.shape[1:], images.device, parameters["gray"])
        noise = poisson_counts(bits, levels, powers) / powers.float().exp2_() - levels / (LEVELS - 1)
        return images.pixels + noise.mul_(per_image(parameters["scale"], images.device))


def _levels(images: Images, gray: np.ndarray) -> Tensor:
    """Return the pixels in levels, of gray noise those of luma: int32 (n, C, H, W), 256 beyond an image.

    If all noise is gray, C is 1.
    """
    pixels = images.pixels
    if gray.any() and pixels.shape[1] == 3:
        luma = mix(pixels, _LUMA)
        pixels = luma if gray.all() else torch.where(per_image(gray, images.device), luma, pixels)
    levels = (pixels * (LEVELS - 1)).round_().clamp_(0, LEVELS - 1)
    if not images.are_alike:
        levels = torch.where(images.inside(), levels, LEVELS)
    return levels.int()


def _powers_of_peaks(levels: Tensor, *, batched: bool) -> Tensor:
    """Return ceil(log2(number of different levels)) of each image, int32 (n, 1, 1, 1).

    All at once, no number may be asked of the device; the one image of a loop is counted faster.
    """
    if batched:
        found = torch.zeros(len(levels), LEVELS + 1, dtype=torch.int32, device=levels.device)
        found.scatter_(1, levels.flatten(1).long(), 1)
    else:
        found = torch.bincount(levels.flatten(), minlength=LEVELS + 1)[None] > 0
    count = found[:, :LEVELS].sum(1, keepdim=True)
    powers = (count > 2 ** torch.arange(PEAKS - 1, device=levels.device)).sum(1, dtype=torch.int32)
    return powers.view(-1, 1, 1, 1)


def random_mixing(rngs: Rngs) -> np.ndarray:
    """Return by which matrices independent noises are mixed, (n, 3, 3): symmetric roots of |U^T D U|.

    BSRGAN takes absolute values, which may leave no covariance: then, as there, negative
    eigenvalues are taken for positive ones.
    """
    numbers = np.stack([rngs.random() for _ in range(12)], 1)
    turned = np.linalg.svd(numbers[:, :9].reshape(-1, 3, 3))[0]
    covariance = np.abs(turned.transpose(0, 2, 1) @ (numbers[:, 9:, None] * turned))
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.abs(values))[:, None]) @ vectors.transpose(0, 2, 1)


# ---- Poisson numbers


def poisson_counts(bits: Tensor, levels: Tensor, powers: Tensor) -> Tensor:
    """Return Poisson numbers of the rates levels / 255 * 2^powers.

    Args:
        bits: 32 random bits each, int32 (n, C, H, W).
        levels: 0 ... 255, int32 (n, C, H, W).
        powers: 0 ... 8, int32, which broadcast against `levels`.

    Returns:
        int32 (n, C, H, W).
    """
    columns = (bits >> 23).bitwise_and_(_COLUMNS - 1)
    places = (levels + powers * LEVELS).mul_(_COLUMNS).add_(columns)
    entries = _tables(levels.device).index_select(0, places.flatten()).view(places.shape)
    is_first = (bits << 9) < entries.bitwise_and(-_COLUMNS)
    return torch.where(is_first, columns, entries.bitwise_and_(_COLUMNS - 1))


@lru_cache(maxsize=8)
def _tables(device: torch.device) -> Tensor:
    return upload(packed_tables(), device)


@cache
def packed_tables() -> np.ndarray:
    """Return the tables of all rates, int32 (9 * 256 * 512,): a threshold, and below it, in 9 bits, the alias."""
    rates = (2.0 ** np.arange(PEAKS)[:, None] * np.arange(LEVELS) / 255).reshape(-1, 1)
    counts = np.arange(_COLUMNS)
    shares, aliases = alias_tables(np.exp(xlogy(counts, rates) - rates - gammaln(counts + 1)))
    steps = _COLUMNS * LEVELS * 64  # 2^23
    thresholds = np.rint(shares * steps).astype(np.int64)
    aliases = np.where(thresholds == steps, counts, aliases)  # a share of 1 is one step less, and its own alias
    thresholds = np.minimum(thresholds, steps - 1) - steps // 2  # signed, as the bits that they are compared with
    return (thresholds * _COLUMNS + aliases).astype(np.int32).ravel()


def alias_tables(masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables of distributions over K numbers, (rows, K) each, as (shares, aliases).

    Column k stands for the number k with probability `shares[k]`, else for `aliases[k]`. Columns
    too light are filled up, in turn, by one that is too heavy, until that is too light itself.
    """
    rows, length = np.arange(len(masses)), masses.shape[1]
    weights = masses * (length / masses.sum(1, keepdims=True))
    order = np.argsort(weights > 1, axis=1, kind="stable")  # the light ones first
    lights = (weights <= 1).sum(1)
    light, heavy = np.zeros(len(masses), np.int64), np.minimum(lights, length - 1)
    rest = weights[rows, order[rows, heavy]]
    shares, aliases = np.ones_like(weights), np.tile(np.arange(length), (len(masses), 1))
    for _ in range(length - 1):
        is_light = (light < lights) & ((rest > 1) | (heavy == length - 1))
        filled = order[rows, np.where(is_light, light, heavy)]
        following = order[rows, np.where(is_light, heavy, np.minimum(heavy + 1, length - 1))]
        share = np.minimum(np.where(is_light, weights[rows, filled], rest), 1)
        shares[rows, filled], aliases[rows, filled] = share, following
        rest = np.where(is_light, rest, weights[rows, following]) - (1 - share)
        light, heavy = light + is_light, np.minimum(heavy + ~is_light, length - 1)
    return shares, aliases
