"""Losses over spectra, edges, low frequencies and structure, against formulas in NumPy and other people's code."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.metrics
import torch
from torch import Tensor

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.registry import LOSSES

Images = tuple[Tensor, Tensor]


def pair(size: tuple[int, int] = (20, 26)) -> Images:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, *size, generator=generator)
    return (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


def fft(pred: np.ndarray, target: np.ndarray) -> float:
    difference = np.fft.fft2(pred) - np.fft.fft2(target)
    return (np.abs(difference.real).mean() + np.abs(difference.imag).mean()) / 2


def magnitude(pred: np.ndarray, target: np.ndarray) -> float:
    return np.abs(np.abs(np.fft.fft2(pred)) - np.abs(np.fft.fft2(target))).mean()


def focal(pred: np.ndarray, target: np.ndarray, alpha: float) -> float:
    distance = np.abs(np.fft.fft2(pred, norm="ortho") - np.fft.fft2(target, norm="ortho"))
    focus = distance**alpha
    return (focus / focus.max((2, 3), keepdims=True) * distance**2).mean()


def edges(pred: np.ndarray, target: np.ndarray, operators: list) -> float:
    difference = pred - target
    responses = [operator(plane) for plane in difference.reshape(-1, *pred.shape[2:]) for operator in operators]
    return float(np.abs(responses).mean())


def sobel(axis: int):
    return lambda plane: scipy.ndimage.sobel(plane, axis, mode="nearest")


def cells(pred: np.ndarray, target: np.ndarray, size: int) -> float:
    difference = pred - target
    means = [
        np.abs(difference[:, :, top : top + size, left : left + size].mean((2, 3)))
        for top in range(0, pred.shape[2], size)
        for left in range(0, pred.shape[3], size)
    ]
    return float(np.mean(means))


def ssim(pred: np.ndarray, target: np.ndarray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    scores = []
    for first, second in zip(pred.reshape(-1, *pred.shape[2:]), target.reshape(-1, *pred.shape[2:]), strict=True):
        _, whole = skimage.metrics.structural_similarity(first, second, full=True, **options)
        scores.append(whole[5:-5, 5:-5].mean())
    return 1 - float(np.mean(scores))


CASES = [
    ({"type": "FFTLoss", "weight": 1.0}, fft),
    ({"type": "FFTLoss", "weight": 1.0, "part": "magnitude"}, magnitude),
    ({"type": "FocalFrequencyLoss"}, lambda p, t: focal(p, t, 1.0)),
    ({"type": "FocalFrequencyLoss", "alpha": 0.5}, lambda p, t: focal(p, t, 0.5)),
    ({"type": "GradientLoss"}, lambda p, t: edges(p, t, [sobel(0), sobel(1)])),
    (
        {"type": "GradientLoss", "operator": "laplacian"},
        lambda p, t: edges(p, t, [lambda plane: scipy.ndimage.laplace(plane, mode="nearest")]),
    ),
    ({"type": "ColourLoss"}, lambda p, t: cells(p, t, 16)),
    ({"type": "ColourLoss", "size": 5}, lambda p, t: cells(p, t, 5)),
    ({"type": "SSIMLoss"}, ssim),
    ({"type": "MSSSIMLoss", "scales": 1}, ssim),
]


def named(value: object) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else ""


@pytest.mark.parametrize(("config", "formula"), CASES, ids=named)
def test_values_are_those_of_the_formula(config: dict, formula) -> None:
    pred, target = pair()
    expected = formula(pred.double().numpy(), target.double().numpy())
    assert LOSSES.build(config)(pred, target).item() == pytest.approx(expected, rel=2e-5)
    assert LOSSES.build({**config, "weight": 0.25})(pred, target).item() == pytest.approx(expected / 4, rel=2e-5)


@pytest.mark.parametrize(("config", "formula"), CASES, ids=named)
def test_of_equal_images_it_is_nothing_and_gradients_are_finite(config: dict, formula) -> None:
    _, target = pair()
    loss = LOSSES.build(config)
    same = target.clone().requires_grad_()
    value = loss(same, target)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6) and same.grad is not None and same.grad.isfinite().all()
    flat = torch.full_like(target, 0.5, requires_grad=True)
    loss(flat, target).backward()
    assert flat.grad is not None and flat.grad.isfinite().all() and flat.grad.abs().sum() > 0


@pytest.mark.parametrize(("config", "formula"), CASES, ids=named)
def test_float32_inside_autocast_and_no_tensors_in_checkpoints(config: dict, formula) -> None:
    pred, target = pair()
    loss = LOSSES.build(config)
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(pred, target).item() == pytest.approx(loss(pred, target).item()) and not loss.state_dict()
        assert loss(pred, target).dtype == torch.float32
    assert loss.double()(pred.double(), target.double()).item() == pytest.approx(loss(pred, target).item(), rel=1e-4)


def test_the_focus_passes_no_gradient() -> None:
    pred, target = pair()
    pred.requires_grad_()
    LOSSES.build({"type": "FocalFrequencyLoss"})(pred, target).backward()
    spectrum = torch.fft.fft2(pred.detach() - target, norm="ortho")
    focus = spectrum.abs() / spectrum.abs().amax((2, 3), keepdim=True)
    expected = 2 * torch.fft.ifft2(focus * spectrum, norm="ortho").real / pred.numel()
    torch.testing.assert_close(pred.grad, expected, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("kind", ["SSIMLoss", "MSSSIMLoss"])
def test_similarity_convolves_in_float32_on_a_gpu(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    precisions: list[str] = []
    conv2d = torch.nn.functional.conv2d

    def noted(*args: Tensor) -> Tensor:
        precisions.append(torch.backends.cudnn.conv.fp32_precision)
        return conv2d(*args)

    monkeypatch.setattr(torch.nn.functional, "conv2d", noted)
    before = torch.backends.cudnn.conv.fp32_precision
    LOSSES.build({"type": kind, **({"scales": 1} if kind == "MSSSIMLoss" else {})})(*pair())
    assert set(precisions) == {"ieee"} and torch.backends.cudnn.conv.fp32_precision == before


def test_ms_ssim_against_another_library() -> None:
    torchvision_models()  # mended, where it does not fit this torch
    piq = pytest.importorskip("piq", reason="needs piq")
    pred, target = pair((192, 176))
    expected = 1 - piq.multi_scale_ssim(pred, target, data_range=1.0).item()
    assert LOSSES.build({"type": "MSSSIMLoss"})(pred, target).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"type": "SSIMLoss"}, r"SSIMLoss: an image of 10x40 px is smaller than 11x11; train on larger crops"),
        ({"type": "MSSSIMLoss"}, r"MSSSIMLoss: .* smaller than 176x176; .* with fewer scales \(scales=3\)"),
        ({"type": "MSSSIMLoss", "scales": 2}, r"smaller than 22x22"),
    ],
    ids=named,
)
def test_crops_that_are_too_small_are_told(config: dict, sentence: str) -> None:
    with pytest.raises(SrtoolboxError, match=sentence):
        LOSSES.build(config)(torch.rand(1, 3, 10, 40), torch.rand(1, 3, 10, 40))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"type": "FFTLoss", "part": "phase"}, "part"),
        ({"type": "FocalFrequencyLoss", "alpha": -1}, "alpha"),
        ({"type": "GradientLoss", "operator": "canny"}, "operator"),
        ({"type": "ColourLoss", "size": 0}, "size"),
        ({"type": "MSSSIMLoss", "scales": 6}, "scales"),
        ({"type": "MSSSIMLoss", "scales": [1, -1]}, "scales"),
    ],
    ids=named,
)
def test_impossible_arguments_are_told(config: dict, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        LOSSES.build(config)
    assert error.value.faults[0].key == key


@pytest.mark.parametrize(("scales", "side"), [(1, 11), (2, 22), (3, 44), (4, 88), (5, 176)])
def test_the_smallest_crops_of_ms_ssim(scales: int, side: int) -> None:
    loss = LOSSES.build({"type": "MSSSIMLoss", "scales": scales})
    assert loss(torch.zeros(1, 1, side, side), torch.ones(1, 1, side, side)).isfinite()
    with pytest.raises(SrtoolboxError, match=f"smaller than {side}x{side}"):
        loss(torch.zeros(1, 1, side, side - 1), torch.ones(1, 1, side, side - 1))


def test_crops_smaller_than_the_window_of_ldl_are_told() -> None:
    loss = LOSSES.build({"type": "LDLLoss"})
    with pytest.raises(
        SrtoolboxError, match=r"LDLLoss: an image of 3x9 px is too small for window=7; .* from 4 pixels"
    ):
        loss(*[torch.rand(1, 3, 3, 9) for _ in range(3)])
    assert loss(*[torch.rand(1, 3, 4, 9) for _ in range(3)]).isfinite()
