"""Resizing of batches by random factors and modes, as in Real-ESRGAN; shrinking and enlarging back.

Wang et al. 2021, "Real-ESRGAN: Training real-world blind super-resolution with pure synthetic data"
(ICCVW 2021, arXiv:2107.10833).

Each image is resampled by a mode, to a size and with a step of its own. Nearest, area, bilinear and
bicubic are those of `torch.nn.functional.interpolate` without antialiasing; matlab is the
antialiased bicubic of `srtoolbox.resize`. Places are computed in float64, by torch in float32: in
images of several hundred pixels its values differ by some 1e-5 of the contrast. Each axis is a
matrix of few weights a row. On the CPU image after image; on a GPU all at once, as products of
matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan, upload
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.devices import exact_products
from srtoolbox.errors import ConfigError
from srtoolbox.image.pixels import transposed
from srtoolbox.interfaces import require_choice
from srtoolbox.registry import TRANSFORMS
from srtoolbox.resize.matrix import taps_of

_PUBLISHED = ("area", "bilinear", "bicubic")

Taps = tuple[np.ndarray, np.ndarray]
"""Which inputs each output is made of, int64, and their weights, float64: both (n, outputs, taps)."""


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


# ---- resampling


def resample(images: Images, modes: np.ndarray, sizes: np.ndarray, steps: np.ndarray) -> Images:
    """Return the images in other sizes; bicubic ones may overshoot [0, 1].

    Args:
        images: n images.
        modes: of `MODES`, (n,).
        sizes: heights and widths to come, (n, 2).
        steps: by how many pixels of the image those of the result lie apart, (n, 2): images.sizes /
            sizes; or 1 / factor, where the sizes are those of a factor, rounded.
    """
    if images.batched:
        return _resample_together(images, modes, sizes, steps)

    def resampled(image: Tensor, number: int) -> Tensor:
        return _resample_one(image, str(modes[number]), sizes[number], steps[number])

    return images.map(resampled)


def _resample_one(image: Tensor, mode: str, size: np.ndarray, step: np.ndarray) -> Tensor:
    """Return an image (C, h, w) in another size."""
    before = np.array(image.shape[1:])
    result = image
    for axis in np.argsort(size / before, kind="stable").tolist():  # the smaller factor first
        if size[axis] != before[axis] or step[axis] != 1:
            columns, weights = _TAPS[mode](before[[axis]], size[[axis]], step[[axis]])
            taps = columns[0].clip(0, before[axis] - 1), weights[0].astype(np.float32)
            result = (_weigh_rows, _weigh_columns)[axis](result, *taps)
    return result


def _weigh_rows(planes: Tensor, rows: np.ndarray, weights: np.ndarray) -> Tensor:
    """Return sums of weighted rows of planes (C, H, W), numbered by `rows` (h, taps): (C, h, W)."""
    channels, height, width = planes.shape
    numbers = torch.from_numpy(rows) + height * torch.arange(channels).view(-1, 1, 1)
    factors = torch.from_numpy(weights).expand_as(numbers).reshape(-1, rows.shape[1])
    table = planes.reshape(-1, width)  # an embedding of each row, a bag for each row of the result
    sums = F.embedding_bag(numbers.flatten(0, 1), table, mode="sum", per_sample_weights=factors)
    return sums.view(channels, -1, width)


def _weigh_columns(planes: Tensor, columns: np.ndarray, weights: np.ndarray) -> Tensor:
    """Return sums of weighted columns of planes (C, H, W), numbered by `columns` (w, taps): (C, H, w)."""
    channels, height, width = planes.shape
    turned = torch.from_numpy(transposed(planes.reshape(-1, width).numpy()))
    sums = transposed(_weigh_rows(turned[None], columns, weights)[0].numpy())
    return torch.from_numpy(sums).view(channels, height, -1)


def _resample_together(images: Images, modes: np.ndarray, sizes: np.ndarray, steps: np.ndarray) -> Images:
    """Do all images at once, by one product of matrices for each axis."""
    pixels, device = images.pixels, images.device
    if not images.are_alike:
        pixels = torch.where(images.inside(), pixels, 0)  # even by weights of 0 no NaN gets in
    lengths = pixels.shape[-2:]
    rows, columns = (
        _matrices(lengths[axis], modes, images.sizes[:, axis], sizes[:, axis], steps[:, axis], device)
        for axis in (0, 1)
    )
    with exact_products(device):
        result = rows[:, None] @ (pixels @ columns.transpose(1, 2)[:, None])
    return images.like(result, sizes)


def _matrices(
    length: int, modes: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, steps: np.ndarray, device: torch.device
) -> Tensor:
    """Return the weights of one axis of all images, (n, outputs, length)."""
    parts = []
    for mode in np.unique(modes):
        rows = np.flatnonzero(modes == mode)
        parts.append((rows, *_without_doubles(*_TAPS[mode](inputs[rows], outputs[rows], steps[rows]), inputs[rows])))
    taps = max(weights.shape[2] for _, _, weights in parts)
    first = np.zeros((len(modes), outputs.max()), np.int32)
    packed = np.zeros((len(modes), outputs.max(), taps), np.float32)
    for rows, starts, weights in parts:
        first[rows, : starts.shape[1]] = starts
        packed[rows, : starts.shape[1], : weights.shape[2]] = weights
    places = upload(first, device).long()[..., None] + torch.arange(taps, device=device)
    result = torch.zeros(*first.shape, length + taps, device=device)
    return result.scatter_(2, places, upload(packed, device))[..., :length]


def _without_doubles(columns: np.ndarray, weights: np.ndarray, inputs: np.ndarray) -> Taps:
    """Return the first input of each output (n, outputs), and the weights of it and those that follow.

    Beyond an end of the axis lies its last pixel: that one gets the weights of all of them.
    """
    last = inputs[:, None, None] - 1
    first = columns[..., :1].clip(0, last)
    places = columns.clip(0, last) - first
    image, output = np.indices(places.shape[:2])
    summed = np.zeros_like(weights)
    for tap in range(weights.shape[2]):
        summed[image, output, places[..., tap]] += weights[..., tap]
    return first[..., 0], summed


# ---- the modes: inputs, outputs and steps of n axes (n,) -> taps; outputs beyond those of an axis mean nothing


def _nearest(inputs: np.ndarray, outputs: np.ndarray, steps: np.ndarray) -> Taps:
    """Each output's last input that begins no later, by products in float32, as torch has it."""
    first = np.floor(np.arange(outputs.max(), dtype=np.float32) * steps[:, None].astype(np.float32))
    return _neighbours(first, 1), np.ones((*first.shape, 1))


def _area(inputs: np.ndarray, outputs: np.ndarray, steps: np.ndarray) -> Taps:
    """Means of all inputs that an output touches: whole ones, as torch's adaptive pooling has them."""
    inputs, outputs = inputs[:, None], outputs[:, None]
    output = np.minimum(np.arange(outputs.max()), outputs - 1)
    first, end = output * inputs // outputs, -(-(output + 1) * inputs // outputs)
    columns = first[..., None] + np.arange((end - first).max())
    return columns, (columns < end[..., None]) / (end - first)[..., None]


def _bilinear(inputs: np.ndarray, outputs: np.ndarray, steps: np.ndarray) -> Taps:
    """Between the two nearest inputs; an axis that keeps its length stays as it is, as torch has it on a CPU."""
    place = np.maximum(_places(outputs, np.where(inputs == outputs, 1.0, steps)), 0)
    first = np.floor(place)
    part = place - first
    return _neighbours(first, 2), np.stack([1 - part, part], -1)


def _bicubic(inputs: np.ndarray, outputs: np.ndarray, steps: np.ndarray) -> Taps:
    """Keys' cubic convolution with a = -0.75."""
    place = _places(outputs, steps)
    before = np.floor(place)
    part = place - before
    weights = [_far(1 + part), _near(part), _near(1 - part), _far(2 - part)]
    return _neighbours(before - 1, 4), np.stack(weights, -1)


def _matlab(inputs: np.ndarray, outputs: np.ndarray, steps: np.ndarray) -> Taps:
    each = [taps_of(np.arange(outputs.max()), 1 / step, True) for step in steps.tolist()]
    most = max(weights.shape[1] for _, weights in each)
    columns = np.stack([_neighbours(first[:, 0], most) for first, _ in each])
    return columns, np.stack([np.pad(weights, [(0, 0), (0, most - weights.shape[1])]) for _, weights in each])


def _places(outputs: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return where the outputs lie on the axis, (n, outputs): pixel centres are whole numbers."""
    return steps[:, None] * (np.arange(outputs.max()) + 0.5) - 0.5


def _neighbours(first: np.ndarray, count: int) -> np.ndarray:
    return first[..., None].astype(np.int64) + np.arange(count)


def _near(distance: np.ndarray) -> np.ndarray:
    return (1.25 * distance - 2.25) * distance**2 + 1


def _far(distance: np.ndarray) -> np.ndarray:
    return ((-0.75 * distance + 3.75) * distance - 6) * distance + 3


_TAPS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Taps]] = {
    "nearest": _nearest,
    "area": _area,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "matlab": _matlab,
}
MODES = tuple(_TAPS)
