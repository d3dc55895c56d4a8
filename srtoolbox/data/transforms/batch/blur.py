"""Blurs: the kernels of Real-ESRGAN and BSRGAN, sinc filters, lenses out of focus, moving cameras."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.base import probability
from srtoolbox.data.transforms.batch import kernels
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan
from srtoolbox.data.transforms.batch.filtering import filter_images
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.interfaces import require_positive
from srtoolbox.registry import TRANSFORMS

PUBLISHED_KINDS = {
    "iso": 0.45,
    "aniso": 0.25,
    "generalized_iso": 0.12,
    "generalized_aniso": 0.03,
    "plateau_iso": 0.12,
    "plateau_aniso": 0.03,
}
"""The kinds of Real-ESRGAN's kernels, and how often it draws each where it draws no sinc filter."""
_LARGE = 13  # from this size on Real-ESRGAN's sinc filters begin at pi / 5, below at pi / 3
_SMALLEST_SIGMA = 1e-3  # px: no other pixel gets any weight
_SIDE = 25  # of BSRGAN's kernel for downsampling


class KernelBlur(BatchDegradation):
    """Correlates each image with a kernel of its own, mirrored at its edge.

    What overshoots is clipped by the noise that comes later, as in the published code of Real-ESRGAN.

    `draw` leaves beside `kernel` (n, k, k) what each was made from, NaN where it has no such thing.
    """

    overshoots = True

    @abstractmethod
    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
        """Return 'kernel' (n, k, k) float64, and what describes each."""

    def apply(self, images: Images, parameters: Parameters) -> Images:
        kernel = parameters["kernel"]
        if kernel.shape[-1] % 2 == 0:
            raise DataError(f"{type(self).__name__}: kernels have odd sides, and it drew some of {kernel.shape[-1]} px")
        return filter_images(images, kernel)


@TRANSFORMS.register
class Blur(KernelBlur):
    """Blurs with one of several kinds of kernels, as Real-ESRGAN and BSRGAN do.

    Wang et al. 2021 (arXiv:2107.10833), whose values for the first blur are the defaults; of Zhang
    et al. 2021 (arXiv:2103.14006) the anisotropic Gaussians, by `variance`. The formulas are those
    of `kernels`. Each image has a kernel of its own, with share='batch' too, as published. What is
    drawn are `kind`, `size`, `sigma_x`, `sigma_y`, `rotation` and `omega` in radians, `beta`.

    Args:
        kinds: how likely each kind is, relative to the others, where no sinc filter is drawn:
            'iso', 'aniso' (Gaussians), 'generalized_iso', 'generalized_aniso', 'plateau_iso',
            'plateau_aniso'. None: as published.
        kernel_size: (smallest, largest) in px, odd; each odd number between them equally likely.
        sigma: (lowest, highest) standard deviation in px; across and along apart for 'aniso'.
        variance: (lowest, highest) square of it, drawn evenly in its place; None: `sigma` is drawn.
        rotation: (lowest, highest) angle of the 'aniso' kinds in degrees.
        beta_generalized, beta_plateau: (lowest, highest) exponent. Where 1 is between, half of the
            images get one below and half one above, as published.
        sinc: probability in [0, 1] of a sinc filter.
        cutoff: (lowest, highest) cutoff of a sinc filter as a share of the highest frequency (pi);
            None: as published, to 1 from 1/3 for sizes below 13 and from 1/5 for larger ones.
    """

    def __init__(
        self,
        kinds: Mapping[str, float] | None = None,
        *,
        kernel_size: Sequence[int] = (7, 21),
        sigma: Sequence[float] = (0.2, 3.0),
        variance: Sequence[float] | None = None,
        rotation: Sequence[float] = (-180.0, 180.0),
        beta_generalized: Sequence[float] = (0.5, 4.0),
        beta_plateau: Sequence[float] = (1.0, 2.0),
        sinc: float = 0.1,
        cutoff: Sequence[float] | None = None,
    ) -> None:
        self.names, shares = _checked_kinds(PUBLISHED_KINDS if kinds is None else kinds)
        if not 0 <= sinc <= 1:
            raise ConfigError(f"Blur: sinc is a probability between 0 and 1, got {sinc!r}", key="sinc")
        self.names.append("sinc")
        self._edges = np.cumsum([*(shares / shares.sum() * (1 - sinc)), sinc]).tolist()
        self.kernel_size = odd_range("Blur", kernel_size)
        self.sigma = ordered_range("Blur", "sigma", sigma, 0)
        self.variance = None if variance is None else ordered_range("Blur", "variance", variance, 0)
        self.rotation = ordered_range("Blur", "rotation", rotation, -360, 360)
        self.beta_generalized = ordered_range("Blur", "beta_generalized", beta_generalized, 0.01)
        self.beta_plateau = ordered_range("Blur", "beta_plateau", beta_plateau, 0.01)
        self.cutoff = None if cutoff is None else cutoff_range("Blur", cutoff)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
        kind = np.array(self.names)[rngs.choice(self._edges)]
        size = draw_sizes(rngs, self.kernel_size)
        first, second = self._draw_sigma(rngs), self._draw_sigma(rngs)
        angle = np.deg2rad(rngs.uniform(*self.rotation))
        betas = _draw_beta(rngs, self.beta_generalized), _draw_beta(rngs, self.beta_plateau)
        lowest, highest = self.cutoff or (np.where(size < _LARGE, 1 / 3, 1 / 5), 1.0)
        omega = np.pi * rngs.uniform(lowest, highest)
        is_sinc, turns = kind == "sinc", np.char.endswith(kind, "aniso")
        is_plateau, is_generalized = np.char.startswith(kind, "plateau"), np.char.startswith(kind, "generalized")
        beta = np.where(is_plateau, betas[1], np.where(is_generalized, betas[0], 1.0))
        side, shape = self.kernel_size[1], (size, first, np.where(turns, second, first), np.where(turns, angle, 0.0))
        families = kernels.sinc(size, omega, side), kernels.plateau(*shape, beta, side)
        gaussians = kernels.generalized_gaussian(*shape, beta, side)
        return {
            "kernel": np.select([is_sinc[:, None, None], is_plateau[:, None, None]], families, gaussians),
            "kind": kind,
            "size": size,
            "sigma_x": np.where(is_sinc, np.nan, shape[1]),
            "sigma_y": np.where(is_sinc, np.nan, shape[2]),
            "rotation": np.where(turns, angle, np.nan),
            "beta": np.where(is_plateau | is_generalized, beta, np.nan),
            "omega": np.where(is_sinc, omega, np.nan),
        }

    def _draw_sigma(self, rngs: Rngs) -> np.ndarray:
        sigma = rngs.uniform(*self.sigma) if self.variance is None else np.sqrt(rngs.uniform(*self.variance))
        return np.maximum(sigma, _SMALLEST_SIGMA)


@TRANSFORMS.register
class SincFilter(KernelBlur):
    """Filters with a circular low-pass (sinc) kernel: edges ring, as in videos and after JPEG.

    One of Real-ESRGAN's last steps, with p=0.8 (Wang et al. 2021, arXiv:2107.10833): each image of
    a batch is filtered or not on its own. What is drawn are `kind` ('sinc' or 'none'), `size` and
    `omega` in radians.

    Args:
        kernel_size: (smallest, largest) in px, odd; each odd number between them equally likely.
        cutoff: (lowest, highest) cutoff as a share of the highest frequency (pi).
        p: probability in [0, 1] that an image is filtered.
    """

    def __init__(
        self, kernel_size: Sequence[int] = (7, 21), cutoff: Sequence[float] = (1 / 3, 1.0), p: float = 1.0
    ) -> None:
        self.kernel_size = odd_range("SincFilter", kernel_size)
        self.cutoff = cutoff_range("SincFilter", cutoff)
        self.p = probability("SincFilter", p)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
        is_filtered = rngs.random() < self.p
        size = np.where(is_filtered, draw_sizes(rngs, self.kernel_size), 1)
        omega = np.pi * rngs.uniform(*self.cutoff)
        return {
            "kernel": kernels.sinc(size, omega, self.kernel_size[1]),  # of size 1: the image as it is
            "kind": np.where(is_filtered, "sinc", "none"),
            "size": size,
            "omega": np.where(is_filtered, omega, np.nan),
        }


@TRANSFORMS.register
class DiskBlur(KernelBlur):
    """Blurs as a lens out of focus does: by the mean over a disk. What is drawn is `radius`.

    Args:
        radius: (lowest, highest) in px.
    """

    def __init__(self, radius: Sequence[float] = (0.5, 4.0)) -> None:
        self.radius = ordered_range("DiskBlur", "radius", radius, 0.01)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
        radius = rngs.uniform(*self.radius)
        side = 2 * int(np.ceil(self.radius[1])) + 1
        return {"kernel": kernels.disk(radius, side), "radius": radius}


@TRANSFORMS.register
class MotionBlur(KernelBlur):
    """Blurs as a camera that moves does: along a line, or along an arc of a circle.

    What is drawn are `length`, `angle` and `bend`, angles in radians.

    Args:
        length: (shortest, longest) path in px.
        angle: (lowest, highest) direction in degrees, from right to down.
        bend: (lowest, highest) change of the direction on the way, in degrees; (0, 0) are lines.
    """

    def __init__(
        self,
        length: Sequence[float] = (2.0, 12.0),
        angle: Sequence[float] = (0.0, 180.0),
        bend: Sequence[float] = (-60.0, 60.0),
    ) -> None:
        self.length = ordered_range("MotionBlur", "length", length, 0)
        self.angle = ordered_range("MotionBlur", "angle", angle, -360, 360)
        self.bend = ordered_range("MotionBlur", "bend", bend, -360, 360)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
        length = rngs.uniform(*self.length)
        angle, bend = (np.deg2rad(rngs.uniform(*degrees)) for degrees in (self.angle, self.bend))
        side = 2 * int(np.ceil(self.length[1] / 2)) + 3
        return {"kernel": kernels.motion(length, angle, bend, side), "length": length, "angle": angle, "bend": bend}


@TRANSFORMS.register
class GaussianDownsampling(KernelBlur):
    """Blurs with a Gaussian and keeps one pixel of `scale` x `scale`: the classical degradation.

    As BSRGAN has it among its ways to shrink (Zhang et al. 2021, arXiv:2103.14006): a kernel of 25 x
    25 px is moved to the middle of the pixels that become one, by linear interpolation of its values.
    What is drawn is `sigma`.

    Args:
        scale: rows and columns of pixels that become one.
        sigma: (lowest, highest) standard deviation in px; None: as published, 0.1 to 0.6 `scale`.
    """

    def __init__(self, scale: int, sigma: Sequence[float] | None = None) -> None:
        require_positive("GaussianDownsampling", scale=scale)
        self.scale = scale
        self.sigma = ordered_range("GaussianDownsampling", "sigma", sigma or (0.1, 0.6 * scale), 0.01)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
        sigma = rngs.uniform(*self.sigma)
        side = np.full(len(rngs), _SIDE)
        taps = kernels.gaussian(side, sigma, sigma, np.zeros(len(rngs)), _SIDE).sum(1)
        places = np.maximum(np.arange(_SIDE) - (self.scale - 1) / 2, 0)
        before = places.astype(np.int64)
        moved = taps[:, before] + (places - before) * (taps[:, np.minimum(before + 1, _SIDE - 1)] - taps[:, before])
        moved /= moved.sum(1, keepdims=True)
        return {"kernel": moved[:, :, None] * moved[:, None, :], "sigma": sigma}

    def sizes_after(self, sizes: np.ndarray, parameters: Parameters) -> np.ndarray:
        return -(-sizes // self.scale)

    def apply(self, images: Images, parameters: Parameters) -> Images:
        blurred = super().apply(images, parameters)
        kept = blurred.pixels[..., :: self.scale, :: self.scale].contiguous()
        return images.like(kept, self.sizes_after(images.sizes, parameters))


def draw_sizes(rngs: Rngs, kernel_size: tuple[int, int]) -> np.ndarray:
    """Return an odd size for each image, from the smallest to the largest."""
    smallest, largest = kernel_size
    return smallest + 2 * rngs.whole(0, (largest - smallest) // 2)


def odd_range(owner: str, kernel_size: Sequence[int]) -> tuple[int, int]:
    """Return (smallest, largest). Raises ConfigError unless they are odd and in this order."""
    smallest, largest = ordered_range(owner, "kernel_size", kernel_size, 1)
    if smallest % 2 == 0 or largest % 2 == 0:
        fault = f"{owner}: kernel_size is (smallest, largest), odd numbers, got {kernel_size!r}"
        raise ConfigError(fault, key="kernel_size")
    return smallest, largest


def cutoff_range(owner: str, cutoff: Sequence[float]) -> tuple[float, float]:
    """Return (lowest, highest). Raises ConfigError unless they are shares of pi in this order."""
    return ordered_range(owner, "cutoff", cutoff, 0.01, 1)


def _checked_kinds(kinds: Mapping[str, float]) -> tuple[list[str], np.ndarray]:
    if unknown := [name for name in kinds if name not in PUBLISHED_KINDS]:
        fault = f"Blur: kinds has no {unknown[0]!r}; there are {', '.join(PUBLISHED_KINDS)}"
        raise ConfigError(fault, key="kinds")
    shares = np.array([float(share) for share in kinds.values()])
    if shares.min(initial=0) < 0 or shares.sum() <= 0:
        raise ConfigError(f"Blur: kinds maps each kind to a share >= 0, not all 0; got {dict(kinds)}", key="kinds")
    return list(kinds), shares


def _draw_beta(rngs: Rngs, limits: tuple[float, float]) -> np.ndarray:
    is_low = rngs.random() < 0.5
    lowest, highest = limits
    if not lowest <= 1 <= highest:
        return rngs.uniform(lowest, highest)
    return rngs.uniform(np.where(is_low, lowest, 1.0), np.where(is_low, 1.0, highest))
