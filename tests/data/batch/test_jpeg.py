"""JPEG in PyTorch, against a slow transcription of the published procedure and against the real codec."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from srtoolbox.data.transforms.batch.base import Images
from srtoolbox.data.transforms.batch.jpeg import SUBSAMPLINGS, DiffJPEG, compress
from srtoolbox.errors import ConfigError
from srtoolbox.image import to_image, to_tensor
from srtoolbox.image.pixels import compress_jpeg
from srtoolbox.registry import TRANSFORMS

# as printed in T.81, annex K
LUMA = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMA = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""
TABLES = [np.array(text.split(), float).reshape(8, 8) for text in (LUMA, CHROMA)]


def coded_slowly(image: np.ndarray, quality: float, share: tuple[int, int] = (2, 2)) -> np.ndarray:
    """(H, W, 3) in [0, 1] -> the same of Real-ESRGAN's DiffJPEG(differentiable=False), in float64, block by block."""
    height, width = image.shape[:2]
    padded = np.zeros((-(-height // 16) * 16, -(-width // 16) * 16, 3))
    padded[:height, :width] = image * 255
    red, green, blue = padded.transpose(2, 0, 1)
    planes = [
        0.299 * red + 0.587 * green + 0.114 * blue,
        -0.168736 * red - 0.331264 * green + 0.5 * blue + 128,
        0.5 * red - 0.418688 * green - 0.081312 * blue + 128,
    ]
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    results = []
    for number, plane in enumerate(planes):
        down, across = share if number else (1, 1)
        plane = plane.reshape(plane.shape[0] // down, down, -1, across).mean((1, 3))
        coded = np.empty_like(plane)
        steps = TABLES[min(number, 1)].T * factor
        for top in range(0, plane.shape[0], 8):
            for left in range(0, plane.shape[1], 8):
                block = np.s_[top : top + 8, left : left + 8]
                waves = scipy.fft.dctn(plane[block] - 128, norm="ortho")
                coded[block] = scipy.fft.idctn(np.round(waves / steps) * steps, norm="ortho") + 128
        results.append(coded.repeat(down, 0).repeat(across, 1))
    luma, cb, cr = results[0], results[1] - 128, results[2] - 128
    colours = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb]
    return np.stack(colours, 2).clip(0, 255)[:height, :width] / 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


def test_it_is_the_published_procedure(photo: np.ndarray) -> None:
    """But for values in the middle between two multiples of a step, which float32 may round the other way."""
    for size in ((48, 64), (41, 35), (1, 17)):
        crops = [photo[top : top + size[0], 150 : 150 + size[1]] for top in (60, 100, 140)]
        qualities = np.array([31.7, 50.0, 93.2])
        ours = compress(torch.cat([to_tensor(crop) for crop in crops]), qualities)
        for image, crop, quality in zip(ours, crops, qualities, strict=True):
            differences = np.abs(image.numpy().transpose(1, 2, 0) - coded_slowly(crop / 255, quality))
            assert (differences < 1e-5).mean() > 0.99 and differences.max() < 0.1


def test_other_subsamplings_are_means_of_fewer_pixels(photo: np.ndarray) -> None:
    crop = photo[60:101, 150:191]
    for kind, share in (("4:2:2", (1, 2)), ("4:4:0", (2, 1)), ("4:4:4", (1, 1))):
        ours = compress(to_tensor(crop), np.array([60.0]), kind)[0].numpy().transpose(1, 2, 0)
        assert (np.abs(ours - coded_slowly(crop / 255, 60, share)) < 1e-5).mean() > 0.99


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_it_is_near_the_real_codec(photo: np.ndarray, subsampling: str) -> None:
    """The codec's table of luma is not transposed: without that they are 40 dB and more from each other."""
    image = np.ascontiguousarray(photo[40:168, 100:260])
    apart = []
    for quality in (10, 30, 50, 75, 92):
        ours = to_image(compress(to_tensor(image), np.array([float(quality)]), subsampling))
        codec = compress_jpeg(image, quality, subsampling)
        apart.append(psnr(ours, codec))
        assert apart[-1] > psnr(codec, image) + 1.5 and abs(psnr(ours, image) - psnr(codec, image)) < 0.4
    assert apart[0] > 32 and apart == sorted(apart)


def test_gray_is_the_luma_of_equal_channels(photo: np.ndarray) -> None:
    gray = to_tensor(photo[40:81, 100:140, :1])
    alone, colour = (compress(each, np.array([40.0])) for each in (gray, gray.expand(1, 3, -1, -1)))
    assert alone.shape == gray.shape and (alone - colour).abs().max() < 1e-4


def test_gradients_pass_where_that_is_asked_for(photo: np.ndarray) -> None:
    """The rounding is off by the cube of what it takes away, so that its slope is three times the square."""
    image, quality = to_tensor(photo[40:64, 100:132]), np.array([70.0])
    grads = []
    for differentiable in (False, True):
        pixels = image.clone().requires_grad_()
        compress(pixels, quality, differentiable=differentiable).square().sum().backward()
        grads.append(pixels.grad.abs().mean())
    assert grads[0] == 0 and 0.01 < grads[1] < 10
    # 50 levels above the middle: 8 * 50 / 16 of a step at quality 50, and 0.4 of one more
    level = (128 + 50 + 0.4 * 16 / 8) / 255
    flat = torch.full((1, 1, 8, 8), level, requires_grad=True)
    coded = compress(flat, np.array([50.0]), differentiable=True)
    assert coded.mean().item() * 255 == pytest.approx(178 + 0.4**3 * 2, abs=1e-3)
    coded.sum().backward()
    assert flat.grad.sum().item() == pytest.approx(64 * 3 * 0.4**2, abs=1e-2)


def test_autocast_does_not_round_it(photo: np.ndarray) -> None:
    image, quality = to_tensor(photo[40:72, 100:132]), np.array([60.0])
    with torch.autocast("cpu", torch.bfloat16):
        inside = compress(image, quality)
    assert inside.equal(compress(image, quality))


def test_the_best_quality_changes_colour_alone(photo: np.ndarray) -> None:
    image = to_tensor(photo[40:72, 100:132])
    assert (compress(image, np.array([100.0]), "4:4:4") - image).abs().max() < 1e-3


def test_each_image_has_its_own_quality_and_subsampling(photo: np.ndarray) -> None:
    image = to_tensor(photo[40:81, 100:140])
    kinds, qualities = np.array(["4:2:0", "4:4:4", "4:2:0", "4:2:2"]), np.array([20.0, 90.0, 70.0, 50.0])
    for batched in (False, True):
        images = Images(image.expand(4, -1, -1, -1), batched=batched)
        results = DiffJPEG().apply(images, {"quality": qualities, "subsampling": kinds})
        for result, quality, kind in zip(results.each(), qualities, kinds, strict=True):
            assert (result - compress(image, np.array([quality]), kind)[0]).abs().max() < 2e-5


@pytest.mark.parametrize("name", ["DiffJPEG", "JPEGCompression"])
def test_impossible_values_are_refused(name: str) -> None:
    for arguments, message in (
        ({"quality": (0.5, 50)}, "between 1 and 100"),
        ({"subsampling": "4:1:1"}, "one or several of '4:4:4', '4:2:2', '4:4:0', '4:2:0', got '4:1:1'"),
        ({"subsampling": []}, "one or several"),
    ):
        with pytest.raises(ConfigError, match=message):
            TRANSFORMS.build({"type": name, **arguments})
