"""Blurs: what is drawn is what the kernels are made of, as often as published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch import kernels
from srtoolbox.data.transforms.batch.base import Images, Plan, stack
from srtoolbox.data.transforms.batch.blur import Blur, GaussianDownsampling, KernelBlur, SincFilter
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.registry import TRANSFORMS
from tests.data.batch.transcriptions import bsrgan


def drawn(step: KernelBlur, count: int = 2000) -> dict[str, np.ndarray]:
    sizes = np.full((count, 2), 8)
    return step.draw(Rngs(3, np.arange(count)), sizes, Plan(sizes, sizes))


def is_even(values: np.ndarray, low: float, high: float) -> bool:
    """True if values look as drawn evenly from the range: their quartiles, to five standard errors."""
    error = 5 * 0.5 * (high - low) / len(values) ** 0.5
    quartiles = np.quantile(values, [0.25, 0.5, 0.75]) - low - (high - low) * np.array([0.25, 0.5, 0.75])
    return bool(low <= values.min() and values.max() <= high and np.abs(quartiles).max() < error)


def test_kernels_are_those_described_and_drawn_as_published() -> None:
    values = drawn(Blur())
    kind, size, sigma_x, sigma_y = (values[name] for name in ("kind", "size", "sigma_x", "sigma_y"))
    rotation, beta, omega = (values[name] for name in ("rotation", "beta", "omega"))
    shares = dict(zip(*np.unique(kind, return_counts=True), strict=True))
    expected = {"iso": 0.405, "aniso": 0.225, "generalized_iso": 0.108, "generalized_aniso": 0.027}
    expected |= {"plateau_iso": 0.108, "plateau_aniso": 0.027, "sinc": 0.1}
    assert all(abs(shares[name] / 2000 - share) < 0.05 for name, share in expected.items()) and len(shares) == 7
    assert set(size) == set(range(7, 22, 2)) and np.unique(size, return_counts=True)[1].min() > 180
    is_sinc = kind == "sinc"
    turns = np.isin(kind, ["aniso", "generalized_aniso", "plateau_aniso"])
    assert is_even(sigma_x[~is_sinc], 0.2, 3) and is_even(sigma_y[turns], 0.2, 3)
    assert np.array_equal(sigma_y[~turns & ~is_sinc], sigma_x[~turns & ~is_sinc])
    assert abs(np.corrcoef(sigma_x[turns], sigma_y[turns])[0, 1]) < 0.15
    assert is_even(rotation[turns], -np.pi, np.pi) and np.isnan(rotation[~turns]).all()
    general, flat = np.char.startswith(kind, "gen"), np.char.startswith(kind, "plat")
    assert is_even(beta[general & (beta < 1)], 0.5, 1) and is_even(beta[general & (beta > 1)], 1, 4)
    assert abs((beta[general] < 1).mean() - 0.5) < 0.1 and abs((beta[flat] == 1).mean() - 0.5) < 0.1
    assert is_even(beta[flat & (beta > 1)], 1, 2) and np.isnan(beta[~general & ~flat]).all()
    assert np.isnan(omega[~is_sinc]).all()
    filters = drawn(Blur(sinc=1))
    for side in range(7, 22, 2):
        assert is_even(filters["omega"][filters["size"] == side], np.pi / (3 if side < 13 else 5), np.pi)
        assert (filters["omega"][filters["size"] == side] < np.pi / 3).any() == (side >= 13)
    for number in range(60):
        row = slice(number, number + 1)
        shape = size[row], sigma_x[row], sigma_y[row], np.nan_to_num(rotation[row])
        if is_sinc[number]:
            expect = kernels.sinc(size[row], omega[row], 21)
        elif flat[number]:
            expect = kernels.plateau(*shape, beta[row], 21)
        else:
            expect = kernels.generalized_gaussian(*shape, np.nan_to_num(beta[row], nan=1), 21)
        assert np.array_equal(values["kernel"][row], expect)


def test_arguments_bound_what_is_drawn() -> None:
    """BSRGAN's anisotropic Gaussians: variances, half turns, sizes up to 25."""
    step = Blur({"aniso": 1}, sinc=0, variance=(0, 8), rotation=(0, 180), kernel_size=(7, 25))
    values = drawn(step)
    assert set(values["kind"]) == {"aniso"} and values["kernel"].shape[1:] == (25, 25)
    assert is_even(values["sigma_x"] ** 2, 0, 8) and is_even(values["sigma_y"] ** 2, 0, 8)
    assert is_even(values["rotation"], 0, np.pi)
    for n in range(5):
        variances = (values[name][n] ** 2 for name in ("sigma_x", "sigma_y"))
        expected = np.pad(
            bsrgan.anisotropic_kernel(int(values["size"][n]), *variances, values["rotation"][n]),
            (25 - values["size"][n]) // 2,
        )
        assert np.abs(values["kernel"][n] - expected).max() < 1e-12
    general = drawn(Blur({"generalized_iso": 2, "iso": 0}, sinc=0, beta_generalized=(2, 3), sigma=(0, 0)), 500)
    assert set(general["kind"]) == {"generalized_iso"} and is_even(general["beta"], 2, 3)
    assert (general["kernel"][:, 10, 10] == 1).all()
    assert is_even(drawn(Blur({"plateau_iso": 1}, sinc=0, beta_plateau=(2, 3)), 500)["beta"], 2, 3)
    assert is_even(drawn(Blur(sinc=1, cutoff=(0.25, 0.5)))["omega"], np.pi / 4, np.pi / 2)


def test_a_sinc_filter_leaves_some_images_as_they_are() -> None:
    step = SincFilter(p=0.8)
    values = drawn(step)
    filtered = values["kind"] == "sinc"
    assert abs(filtered.mean() - 0.8) < 0.045 and (values["size"][~filtered] == 1).all()
    assert is_even(values["omega"][filtered], np.pi / 3, np.pi)
    images = Images(torch.rand(40, 3, 8, 8))
    result = step.apply(images, drawn(step, 40))
    for before, after, changed in zip(images.pixels, result.pixels, filtered, strict=False):
        assert torch.equal(before, after) != changed


@pytest.mark.parametrize("batched", [False, True])
def test_edges_ring_beyond_black_and_white(batched: bool) -> None:
    step, images = SincFilter(), torch.zeros(4, 1, 24, 24)
    images[..., 12:] = 1
    low, high = step.apply(Images(images, batched=batched), drawn(step, 4)).pixels.aminmax()
    assert low < -0.05 and high > 1.05


def test_disks_and_paths_are_drawn_from_their_ranges() -> None:
    disks = drawn(TRANSFORMS.build({"type": "DiskBlur", "radius": (1, 3.2)}))
    assert is_even(disks["radius"], 1, 3.2) and disks["kernel"].shape[1:] == (9, 9)
    assert np.array_equal(disks["kernel"][:9], kernels.disk(disks["radius"][:9], 9))
    ranges = {"length": (1.0, 8.0), "angle": (10.0, 90.0), "bend": (-20.0, 20.0)}
    paths = drawn(TRANSFORMS.build({"type": "MotionBlur", **ranges}))
    assert is_even(paths["length"], 1, 8)
    assert all(is_even(np.rad2deg(paths[name]), *ranges[name]) for name in ("angle", "bend"))
    made = kernels.motion(*(paths[name][:9] for name in ("length", "angle", "bend")), 11)
    assert np.array_equal(paths["kernel"][:9], made)
    edges = paths["kernel"].copy()
    edges[:, 1:-1, 1:-1] = 0
    assert edges.max() == 0  # no path is cut off


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsampling_is_bsrgans(scale: int, batched: bool, photo: np.ndarray) -> None:
    step, wide = GaussianDownsampling(scale), GaussianDownsampling(scale, (6, 6))
    whole = torch.from_numpy(photo[:61, :50].transpose(2, 0, 1).copy()).float() / 255
    images = stack([whole, whole[:, :37, :48], whole[:, 9:40, 8:21]], batched=batched)
    assert is_even(drawn(step, 500)["sigma"], 0.1, 0.6 * scale)
    for values in (drawn(step, 3), drawn(wide, 3)):
        result = step.apply(images, values)
        assert (result.sizes == step.sizes_after(images.sizes, {})).all()
        for image, small, sigma in zip(images.each(), result.each(), values["sigma"], strict=True):
            pixels, kernel = image.double().numpy().transpose(1, 2, 0), bsrgan.shifted_kernel(sigma, scale)
            expected = bsrgan.blur(pixels, kernel)[::scale, ::scale].transpose(2, 0, 1)
            assert small.shape == expected.shape and np.abs(small.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("config", "key", "sentence"),
    [
        ({"type": "Blur", "kinds": {"square": 1}}, "kinds", "kinds has no 'square'; there are iso, aniso,"),
        ({"type": "Blur", "kinds": {"iso": 0}}, "kinds", "a share >= 0, not all 0"),
        ({"type": "Blur", "kernel_size": (7, 20)}, "kernel_size", r"odd numbers, got \(7, 20\)"),
        ({"type": "Blur", "sinc": 1.5}, "sinc", "a probability between 0 and 1, got 1.5"),
        ({"type": "SincFilter", "cutoff": (0.5, 2)}, "cutoff", "between 0.01 and 1"),
    ],
)
def test_impossible_arguments_are_refused(config: dict[str, Any], key: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as raised:
        TRANSFORMS.build(config)
    assert raised.value.faults[0].key == key


def test_a_kernel_without_a_middle_is_refused() -> None:
    class Even(KernelBlur):
        def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> dict[str, np.ndarray]:
            return {"kernel": np.full((len(rngs), 4, 4), 1 / 16)}

    with pytest.raises(DataError, match="Even: kernels have odd sides, and it drew some of 4 px"):
        Even().apply(Images(torch.zeros(1, 3, 8, 8)), drawn(Even(), 1))
