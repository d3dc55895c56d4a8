"""Resizing of batches by random factors and modes, as in Real-ESRGAN; shrinking and enlarging back.

Wang et al. 2021, "Real-ESRGAN: Training real-world blind super-resolution with pure synthetic data"
(ICCVW 2021, arXiv:2107.10833).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan
from srtoolbox.data.transforms.batch.resampling import MODES, resample
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_choice
from srtoolbox.registry import TRANSFORMS

_PUBLISHED = ("area", "bilinear", "bicubic")


@TRANSFORMS.register
class Resize(BatchDegradation):
    """Resizes by a random factor and mode; or to the size of LQ, or a factor of that.

    Sizes are rounded down. Real-ESRGAN shares factor and mode over a batch.

    Args:
        up: (lowest, highest) factor where the image is enlarged, all equally likely.
        down: likewise where it is shrunk.
        probabilities: of enlarging, shrinking and leaving it as it is; None: (0.2, 0.7, 0.1), and
            with `to='lq'` (0, 0, 1).
        modes: those to choose from, each equally likely: 'nearest', 'area', 'bilinear', 'bicubic' as
            PyTorch has them without antialiasing, 'matlab' for MATLAB's antialiased bicubic.
        to: 'lq': the factor is one of the size that LQ has in the end; None: of the image's own.
        evenly: 'divisor': not the factor is drawn evenly but 1 / factor, as BSRGAN does.
        spacing: 'factor': pixels lie 1 / factor apart, as in Real-ESRGAN, so that the last rows and
            columns may be cut off where a size is rounded down; 'size': by the ratio of the sizes,
            as in BSRGAN, so that all are there.
        clip: clip to [0, 1], as BSRGAN does; with Real-ESRGAN edges overshoot until there is noise.
    """

    overshoots = True

    def __init__(
        self,
        up: Sequence[float] = (1.0, 1.5),
        down: Sequence[float] = (0.15, 1.0),
        probabilities: Sequence[float] | None = None,
        modes: Sequence[str] = _PUBLISHED,
        to: Literal["lq"] | None = None,
        evenly: Literal["factor", "divisor"] = "factor",
        *,
        spacing: Literal["factor", "size"] = "factor",
        clip: bool = False,
    ) -> None:
        self.up, self.down = ordered_range("Resize", "up", up, 1), ordered_range("Resize", "down", down, 0.001, 1)
        require_choice("Resize", "to", to, ("lq", None))
        require_choice("Resize", "evenly", evenly, ("factor", "divisor"))
        require_choice("Resize", "spacing", spacing, ("factor", "size"))
        if probabilities is None:
            probabilities = (0.2, 0.7, 0.1) if to is None else (0, 0, 1)
        if len(probabilities) != 3 or min(probabilities) < 0 or abs(sum(probabilities) - 1) > 1e-6:
            fault = f"probabilities are those of up, down and keep, which add up to 1, got {probabilities!r}"
            raise ConfigError(f"Resize: {fault}", key="probabilities")
        self.edges, self.to = list(itertools.accumulate(probabilities)), to
        self.evenly, self.spacing, self.clip, self.modes = evenly, spacing, clip, known_modes("Resize", modes)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        shared = rngs.shared
        low, high = np.array([self.up, self.down, (1, 1)])[shared.choice(self.edges)].T
        scale = shared.uniform(low, high) if self.evenly == "factor" else 1 / shared.uniform(1 / high, 1 / low)
        mode = shared.one_of(self.modes)
        height, width = scaled(sizes if self.to is None else plan.lq_sizes, scale).T
        return {"mode": mode, "scale": scale, "height": height, "width": width}

    def sizes_after(self, sizes: np.ndarray, parameters: Parameters) -> np.ndarray:
        return np.stack([parameters["height"], parameters["width"]], 1)

    def apply(self, images: Images, parameters: Parameters) -> Images:
        sizes = self.sizes_after(images.sizes, parameters)
        steps = images.sizes / sizes
        if self.to is None and self.spacing == "factor":
            factors = np.broadcast_to(parameters["scale"][:, None], sizes.shape)
            steps = np.where(images.sizes * factors < 1, steps, 1 / factors)
        result = resample(images, parameters["mode"], sizes, steps)
        return result.clipped() if self.clip else result


@TRANSFORMS.register
class DownUp(BatchDegradation):
    """Shrinks by a random factor and enlarges back to the size before, each by a mode of its own.

    Args:
        scale: (lowest, highest) factor of the shrinking, all equally likely.
        modes: those to choose from, each equally likely, as in `Resize`.
    """

    def __init__(self, scale: Sequence[float] = (0.3, 0.9), modes: Sequence[str] = _PUBLISHED) -> None:
        self.scale = ordered_range("DownUp", "scale", scale, 0.001, 1)
        self.modes = known_modes("DownUp", modes)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        scale = rngs.uniform(*self.scale)
        height, width = scaled(sizes, scale).T
        modes = {"mode_down": rngs.one_of(self.modes), "mode_up": rngs.one_of(self.modes)}
        return {**modes, "scale": scale, "height": height, "width": width}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        sizes = np.stack([parameters["height"], parameters["width"]], 1)
        small = resample(images, parameters["mode_down"], sizes, images.sizes / sizes).clipped()
        return resample(small, parameters["mode_up"], images.sizes, sizes / images.sizes).clipped()


def scaled(sizes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return sizes (n, 2) times a factor each, rounded down, at least 1 px."""
    return np.maximum((sizes * scale[:, None]).astype(np.int64), 1)


def known_modes(owner: str, modes: Sequence[str]) -> tuple[str, ...]:
    """Return the modes. Raises ConfigError if there are none, or one that is not known."""
    if not modes or not set(modes) <= set(MODES):
        raise ConfigError(f"{owner}: modes are some of {', '.join(MODES)}; got {modes!r}", key="modes")
    return tuple(modes)
