"""Kernels: each family is its formula, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import jv

from srtoolbox.data.transforms.batch import kernels

SIZES = np.array([7, 11, 21, 3, 15])
ROTATIONS = np.array([0.0, 0.7, -2.9, 1.1, math.pi])
BETAS = np.array([0.5, 1.0, 3.9, 1.7, 2.0])
SIGMAS_X, SIGMAS_Y = np.array([0.2, 3.0, 1.3, 0.8, 2.0]), np.array([0.2, 0.4, 2.7, 0.8, 1.1])


def by_pixels(value: Callable[[int, int], float], size: int, side: int) -> np.ndarray:
    """A kernel from the value at each (x, y) from its middle: of `size`, with zeros around."""
    result, half = np.zeros((side, side)), size // 2
    for y in range(-half, half + 1):
        for x in range(-half, half + 1):
            result[side // 2 + y, side // 2 + x] = value(x, y)
    return result / result.sum()


def distance(x: int, y: int, n: int) -> float:
    """The quadratic form of the inverse of U diag(sigma^2) U^T, as the papers write it."""
    cos, sin = math.cos(ROTATIONS[n]), math.sin(ROTATIONS[n])
    turn = np.array([[cos, -sin], [sin, cos]])
    covariance = turn @ np.diag([SIGMAS_X[n] ** 2, SIGMAS_Y[n] ** 2]) @ turn.T
    place = np.array([x, y])
    return float(place @ np.linalg.inv(covariance) @ place)


FAMILIES: dict[str, tuple[Callable[..., np.ndarray], Callable[[float, float], float]]] = {
    "gaussian": (kernels.gaussian, lambda d, beta: math.exp(-d / 2)),
    "generalized": (kernels.generalized_gaussian, lambda d, beta: math.exp(-(d**beta) / 2)),
    "plateau": (kernels.plateau, lambda d, beta: 1 / (1 + d**beta)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_functions_of_the_quadratic_form_are_their_formulas(family: str) -> None:
    make, value = FAMILIES[family]
    made = make(SIZES, SIGMAS_X, SIGMAS_Y, ROTATIONS, *([] if family == "gaussian" else [BETAS]), 21)
    assert made.shape == (5, 21, 21) and made.dtype == np.float64
    for n, size in enumerate(SIZES):
        expected = by_pixels(lambda x, y, n=n: value(distance(x, y, n), BETAS[n]), size, 21)
        assert np.abs(made[n] - expected).max() < 1e-12


def test_sinc_filters_are_their_formula() -> None:
    omegas = np.pi * np.array([1 / 3, 1 / 5, 1.0, 0.7, 0.5])

    def value(x: int, y: int, omega: float) -> float:
        r = math.hypot(x, y)
        return omega * jv(1, omega * r) / (2 * math.pi * r) if r else omega**2 / (4 * math.pi)

    made = kernels.sinc(SIZES, omegas, 23)
    for n, size in enumerate(SIZES):
        expected = by_pixels(lambda x, y, n=n: value(x, y, omegas[n]), size, 23)
        assert np.abs(made[n] - expected).max() < 1e-12
    assert made.min() < 0


def test_disks_weigh_pixels_by_the_area_inside() -> None:
    """Against the length of the circle's chord, integrated over each column of a pixel."""
    radii = np.array([0.3, 0.5, 1.0, 2.37, 4.5])
    made = kernels.disk(radii, 9)

    def area(x: int, y: int, radius: float) -> float:
        def chord(t: float) -> float:
            half = math.sqrt(max(radius**2 - t**2, 0))
            return max(min(half, y + 0.5) - max(-half, y - 0.5), 0)

        kinks = {s * math.sqrt(radius**2 - (y + e) ** 2) for s in (-1, 1) for e in (-0.5, 0.5) if radius > abs(y + e)}
        points = [point for point in (*kinks, -radius, radius) if abs(point - x) < 0.5]
        return quad(chord, x - 0.5, x + 0.5, points=points or None, epsabs=1e-11)[0]

    for kernel, radius in zip(made, radii, strict=True):
        expected = by_pixels(lambda x, y, radius=radius: area(x, y, radius), 9, 9)
        assert np.abs(kernel - expected).max() < 1e-8


def test_motion_is_the_mean_over_the_path() -> None:
    lengths, angles = np.array([0.0, 6.0, 9.0, 11.0]), np.array([0.3, 0.0, 1.0, 2.5])
    bends = np.array([0.0, 0.0, 1.5, -3.0])
    made = kernels.motion(lengths, angles, bends, 13)
    assert made[0, 6, 6] == 1
    for kernel, length, angle, bend in zip(made, lengths, angles, bends, strict=True):
        step, place, path = length / 2000, np.zeros(2), []
        for number in range(2000):  # walked in small steps
            direction = angle + bend * ((number + 0.5) / 2000 - 0.5)
            place = place + step * np.array([math.cos(direction), math.sin(direction)])
            path.append(place)
        offsets = np.array(path) - np.mean(path, axis=0)

        def weight(x: int, y: int, offsets: np.ndarray = offsets) -> float:
            return float(np.prod(np.maximum(0, 1 - np.abs([x, y] - offsets)), axis=1).mean())

        assert np.abs(kernel - by_pixels(weight, 13, 13)).max() < 5e-4
        pixels = np.arange(13) - 6
        assert abs(kernel.sum(0) @ pixels) < 1e-9 and abs(kernel.sum(1) @ pixels) < 1e-9
