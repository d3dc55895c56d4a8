"""Blur kernels by their formulas, of several images at once, each with parameters of its own.

All are float64 (n, side, side), `side` odd, add up to 1, and are centred on their middle pixel. x
runs to the right along the columns, y down along the rows. Kernels of a `size`, which is odd, fill
the `size` x `size` px in the middle, with zeros around. The kinds are those of Real-ESRGAN (Wang et
al. 2021, arXiv:2107.10833); BSRGAN (Zhang et al. 2021, arXiv:2103.14006) has Gaussians alone. Disk
and motion are the classical models of a camera out of focus or in motion.
"""

from __future__ import annotations

import numpy as np
from scipy.special import j1

_STEPS = 8  # places of a camera's path, for each pixel of a kernel's side


def gaussian(size: np.ndarray, sigma_x: np.ndarray, sigma_y: np.ndarray, rotation: np.ndarray, side: int) -> np.ndarray:
    """Return Gaussians, exp(-d / 2).

    d = u^2 / sigma_x^2 + v^2 / sigma_y^2, where u = x cos r + y sin r and v = y cos r - x sin r.

    Args:
        size: of each kernel in px, odd, (n,).
        sigma_x, sigma_y: standard deviations in px, above 0, (n,).
        rotation: r, in radians, (n,).
        side: rows and columns of the result.
    """
    return generalized_gaussian(size, sigma_x, sigma_y, rotation, np.ones(len(size)), side)


def generalized_gaussian(
    size: np.ndarray, sigma_x: np.ndarray, sigma_y: np.ndarray, rotation: np.ndarray, beta: np.ndarray, side: int
) -> np.ndarray:
    """Return generalised Gaussians, exp(-d^beta / 2): pointed for beta < 1, with a flat top above.

    Args:
        size, sigma_x, sigma_y, rotation, side: as those of `gaussian`, and so is d.
        beta: above 0, (n,).
    """
    distance = _distance(sigma_x, sigma_y, rotation, side)
    return _normalised(np.exp(-0.5 * distance ** beta[:, None, None]), size)


def plateau(
    size: np.ndarray, sigma_x: np.ndarray, sigma_y: np.ndarray, rotation: np.ndarray, beta: np.ndarray, side: int
) -> np.ndarray:
    """Return plateaus, 1 / (1 + d^beta): with a flat top and long tails.

    Args:
        size, sigma_x, sigma_y, rotation, side: as those of `gaussian`, and so is d.
        beta: above 0, (n,).
    """
    distance = _distance(sigma_x, sigma_y, rotation, side)
    return _normalised(1 / (1 + distance ** beta[:, None, None]), size)


def sinc(size: np.ndarray, omega: np.ndarray, side: int) -> np.ndarray:
    """Return circular low-pass filters, omega J1(omega r) / (2 pi r), which ring at edges.

    r is the distance from the middle, where the value is omega^2 / (4 pi); J1 the Bessel function.

    Args:
        size: of each kernel in px, odd, (n,).
        omega: the cutoff in radians a pixel, above 0, up to pi, (n,).
        side: rows and columns of the result.
    """
    x, y = _grid(side)
    radius = np.hypot(x, y)
    radius[side // 2, side // 2] = 1
    omega = omega[:, None, None]
    values = omega * j1(omega * radius) / (2 * np.pi * radius)
    values[:, side // 2, side // 2] = omega[:, 0, 0] ** 2 / (4 * np.pi)
    return _normalised(values, size)


def disk(radius: np.ndarray, side: int) -> np.ndarray:
    """Return disks: of each pixel the area that lies within the circle, exactly.

    Args:
        radius: in px, above 0 and at most side / 2, (n,).
        side: rows and columns of the result.
    """
    x, y = _grid(side + 1)  # the corners of the pixels
    corners = _area(np.abs(x), np.abs(y), radius[:, None, None]) * np.sign(x) * np.sign(y)
    areas = np.diff(np.diff(corners, axis=1), axis=2)
    return areas / areas.sum((1, 2), keepdims=True)


def motion(length: np.ndarray, angle: np.ndarray, bend: np.ndarray, side: int) -> np.ndarray:
    """Return paths of a camera: arcs of a circle, each place drawn over the four pixels around it.

    The place p(t), t from -1/2 to 1/2, moves at an even speed in the direction angle + bend t; a
    pixel at (x, y) gets the mean over t of max(0, 1 - |x - p_x|) max(0, 1 - |y - p_y|), by 8 `side`
    values of t. The mean place is the middle, so that the image stays where it is.

    Args:
        length: of the path in px, 0 to side - 2, (n,).
        angle: of its direction in the middle, in radians, (n,).
        bend: how far the direction turns on the way, in radians, (n,); 0 is a line.
        side: rows and columns of the result.
    """
    steps = _STEPS * side
    time = (np.arange(steps) + 0.5) / steps - 0.5
    turned = bend[:, None] * time / 2
    chord = length[:, None] * time * np.sinc(turned / np.pi)
    places = [chord * np.cos(angle[:, None] + turned), chord * np.sin(angle[:, None] + turned)]
    pixels = np.arange(side) - side // 2
    across, down = (
        np.maximum(0, 1 - np.abs(pixels - (place - place.mean(1, keepdims=True))[..., None])) for place in places
    )
    values = np.matmul(down.swapaxes(1, 2), across)
    return values / values.sum((1, 2), keepdims=True)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of `side` points a pixel apart, centred, each (side, side)."""
    points = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(points, points)
    return x, y


def _distance(sigma_x: np.ndarray, sigma_y: np.ndarray, rotation: np.ndarray, side: int) -> np.ndarray:
    """Return d of `gaussian`, (n, side, side)."""
    x, y = _grid(side)
    cos, sin = np.cos(rotation)[:, None, None], np.sin(rotation)[:, None, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    return (along / sigma_x[:, None, None]) ** 2 + (across / sigma_y[:, None, None]) ** 2


def _normalised(values: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return kernels cut to `size`, whose values add up to 1."""
    x, y = _grid(values.shape[-1])
    inside = np.maximum(np.abs(x), np.abs(y)) <= size[:, None, None] // 2
    values = np.where(inside, values, 0)
    return values / values.sum((1, 2), keepdims=True)


def _area(width: np.ndarray, height: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the area of a circle about 0 within the rectangle from (0, 0) to (width, height)."""
    width, height = np.minimum(width, radius), np.minimum(height, radius)
    start = np.minimum(np.sqrt(radius**2 - height**2), width)  # so far the circle is above the rectangle
    return height * start + _under(width, radius) - _under(start, radius)


def _under(x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the area under the circle's arc from 0 to x."""
    return (x * np.sqrt(radius**2 - x**2) + radius**2 * np.arcsin(x / radius)) / 2
