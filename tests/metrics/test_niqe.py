"""NIQE against a slow transcription of its MATLAB code, and what it must do whatever the statistics are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from scipy.ndimage import correlate
from scipy.special import gamma

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.image import read_image, to_tensor
from srtoolbox.image.pixels import gaussian_blur
from srtoolbox.metrics.natural_scenes import describe_blocks
from srtoolbox.metrics.niqe import NIQE, fit_statistics, load_statistics
from srtoolbox.resize import imresize


def fit(values: np.ndarray) -> tuple[float, float, float]:
    """Return shape, left and right scale of an asymmetric generalised Gaussian, by search."""
    shapes = np.arange(0.2, 10.0005, 0.001)
    moments = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    left, right = (np.sqrt(np.mean(side**2)) for side in (values[values < 0], values[values > 0]))
    ratio = left / right
    moment = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    moment *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = shapes[np.argmin((moments - moment) ** 2)]
    factor = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * factor, right * factor


def block_features(block: np.ndarray) -> list[float]:
    shape, left, right = fit(block)
    features = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (-1, 1)):
        shape, left, right = fit(block * np.roll(block, shift, (0, 1)))
        features += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return features


def slow_niqe(image: np.ndarray, statistics: Path) -> float:
    """Block by block, (H, W, 3) uint8."""
    luma = (image / 255 @ [65.481, 128.553, 24.966] + 16).round()
    rows, columns = (side // 96 for side in luma.shape)
    plane = luma[: rows * 96, : columns * 96]
    grid = np.arange(-3, 4) ** 2
    window = np.exp(-(grid[:, None] + grid) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    features = []
    for side in (96, 48):
        mean = correlate(plane, window, mode="nearest")
        deviation = np.sqrt(np.abs(correlate(plane**2, window, mode="nearest") - mean**2))
        normal = (plane - mean) / (deviation + 1)
        corners = [(row * side, column * side) for row in range(rows) for column in range(columns)]
        blocks = [normal[top : top + side, left : left + side] for top, left in corners]
        features.append([block_features(block) for block in blocks])
        plane = imresize(torch.from_numpy(plane)[None, None], 0.5, border="symmetric")[0, 0].numpy()
    own = np.concatenate(features, axis=1)
    natural = np.load(statistics)
    difference = own.mean(0) - natural["mu_pris_param"]
    pooled = (np.cov(own, rowvar=False) + natural["cov_pris_param"]) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


def test_a_slow_transcription(photo):
    noisy = np.clip(photo + np.random.default_rng(0).normal(0, 4, photo.shape), 0, 255).round().astype(np.uint8)
    score = NIQE(crop_border=2)(to_tensor(noisy))
    assert score.shape == (1,) and score.dtype == torch.float64
    luma_is_of_the_whole = noisy[2:-2, 2:-2]
    assert score.item() == pytest.approx(slow_niqe(luma_is_of_the_whole, NIQE().file), rel=1e-9)


def test_blur_noise_and_their_measure(photo):
    metric, rng = NIQE(), np.random.default_rng(0)
    small = imresize(photo, 0.8)  # sharper than the photograph
    blurred = [metric(to_tensor(gaussian_blur(small, sigma))).item() for sigma in (0.3, 1, 2, 4)]
    noise = rng.normal(0, 1, small.shape)
    noisy = [np.clip(small + sigma * noise, 0, 255).round().astype(np.uint8) for sigma in (5, 10, 20, 40)]
    noisy_scores = [metric(to_tensor(image)).item() for image in noisy]
    assert blurred == sorted(blurred) and blurred[-1] > 2 * blurred[0]
    assert noisy_scores == sorted(noisy_scores) and noisy_scores[-1] > 2 * noisy_scores[0]


def test_a_batch_its_kinds_and_no_look_at_the_target(photo):
    images = np.stack([photo[:100, :200], photo[100:200, 100:300]])
    levels = torch.from_numpy(images).permute(0, 3, 1, 2)
    metric = NIQE()
    scores = metric(levels)
    assert torch.equal(scores, torch.cat([metric(levels[:1]), metric(levels[1:])]))
    assert torch.equal(scores, metric(levels.float() / 255, torch.zeros(2, 3, 4, 4)))
    assert not metric.needs_target and metric.higher_is_better is False
    luma = metric.planes(levels, torch.float64).round() / 255
    torch.testing.assert_close(NIQE(protocol="y_direct")(luma), scores, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("size", "blocks"), [((95, 400), "no blocks"), ((191, 191), "1 block ")])
def test_too_small_images_in_one_sentence(size, blocks):
    with pytest.raises(SrtoolboxError, match=f"NIQE: an image of {size[1]}x{size[0]} px .* holds {blocks}"):
        NIQE()(torch.rand(1, 3, *size))


def test_flat_images_have_no_score(photo):
    assert math.isnan(NIQE()(torch.full((1, 3, 96, 192), 0.5)).item())
    half_flat = photo[:192, :192].copy()
    half_flat[:, :96] = 128
    assert NIQE()(to_tensor(half_flat)).item() > 0


def test_flat_places_are_free_of_rounding_errors(photo):
    luma = torch.from_numpy(photo[:96, :192, 1] // 2).double()[None, None]
    luma[..., 40:80, 20:60] = 30
    features = describe_blocks(luma).features
    torch.testing.assert_close(describe_blocks(luma + 77).features, features, rtol=1e-6, atol=1e-6)
    flat = describe_blocks(torch.full((1, 1, 96, 96), 77.0, dtype=torch.float64)).features[0, 0]
    assert flat[0] == 0.2, "the first of the shapes, as where MATLAB finds the least of nothing"
    assert flat[1].isnan()


def test_files_of_statistics(tmp_path):
    own = load_statistics(NIQE().file)
    names = {"authors.mat": ("mu_prisparam", "cov_prisparam"), "basicsr.npz": ("mu_pris_param", "cov_pris_param")}
    for name, keys in names.items():
        values = dict(zip(keys, (own.mean[None], own.covariance), strict=True))
        if name.endswith(".mat"):
            scipy.io.savemat(tmp_path / name, values)
        else:
            np.savez(tmp_path / name, **values, gaussian_window=np.ones((7, 7)))
        for read, expected in zip(load_statistics(tmp_path / name), own, strict=True):
            assert np.array_equal(read, expected)
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    (tmp_path / "text.mat").write_text("no statistics at all, " * 20)
    (tmp_path / "empty.npz").touch()
    (tmp_path / "hdf.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    scipy.io.savemat(tmp_path / "whole.mat", dict(zip(names["authors.mat"], own, strict=True)))
    (tmp_path / "cut.mat").write_bytes((tmp_path / "whole.mat").read_bytes()[:5000])
    np.savez(tmp_path / "complex.npz", mu_pris_param=own.mean + 1j, cov_pris_param=own.covariance)
    scipy.io.savemat(tmp_path / "complex.mat", {"pop_mu": own.mean + 1j, "pop_cov": own.covariance})
    for name in ("other.npz", "text.mat", "empty.npz", "hdf.mat", "cut.mat", "complex.npz", "complex.mat"):
        with pytest.raises(SrtoolboxError, match=rf"{name}: (holds no|cannot be read as) statistics for NIQE"):
            NIQE(statistics=str(tmp_path / name))(torch.rand(1, 3, 96, 192))


def test_what_is_no_covariance_is_refused(tmp_path):
    own = load_statistics(NIQE().file)
    lopsided, negative = own.covariance.copy(), own.covariance.copy()
    lopsided[3, 5] += 1
    negative[7, 7] = -1
    for covariance in (lopsided, negative):
        np.savez(tmp_path / "made.npz", mu_pris_param=own.mean, cov_pris_param=covariance)
        with pytest.raises(SrtoolboxError, match=r"made\.npz: cov_pris_param is no covariance"):
            load_statistics(tmp_path / "made.npz")
    np.savez(tmp_path / "flat.npz", mu_pris_param=own.mean, cov_pris_param=np.diag([1.0, *[0.0] * 35]))
    assert load_statistics(tmp_path / "flat.npz").covariance.sum() == 1


def test_a_missing_file_is_found_before_the_run():
    with pytest.raises(ConfigError, match=r"NIQE: statistics='none\.npz' is not the path of a file"):
        NIQE(statistics="none.npz")
    (fault,) = NIQE.check({"type": "NIQE", "statistics": "none.npz"}, {})
    assert fault.key == "statistics"


def test_fitting_takes_sharp_blocks_and_asks_for_enough(photo):
    with pytest.raises(SrtoolboxError, match=r"have \d+ sharp blocks .* take a hundred images"):
        fit_statistics([to_tensor(photo), torch.rand(1, 3, 20, 20)])


def test_the_published_statistics_give_the_published_score(weights_root, data_root):
    """BasicSR's source tells what MATLAB R2021a gives for the baboon: 5.72957338."""
    published = weights_root / "niqe_pris_params.npz"
    if not published.is_file():
        pytest.skip("needs BasicSR's niqe_pris_params.npz in SRTOOLBOX_WEIGHTS")
    baboon = to_tensor(read_image(data_root / "Set14/HR/X2/img_001.png"))
    assert NIQE(statistics=str(published))(baboon).item() == pytest.approx(5.72957338, abs=1e-6)
