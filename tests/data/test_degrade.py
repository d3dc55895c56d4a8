"""Hard augmentations: LQ alone, what each does against other libraries, how often and how strongly."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.transforms.batch.codecs import JPEGCompression
from srtoolbox.data.transforms.batch.noise import GaussianNoise
from srtoolbox.data.transforms.degrade import CoarseDropout, Degradation, GaussianBlur
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS

NAMES = [name for name in TRANSFORMS.names() if isinstance(TRANSFORMS.get(name), type)]
NAMES = [name for name in NAMES if issubclass(TRANSFORMS.get(name), Degradation | GaussianNoise)]


@pytest.fixture
def lq(photo: np.ndarray) -> np.ndarray:
    image = np.ascontiguousarray(photo[100:148, 150:214])
    image.setflags(write=False)
    return image


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def test_all_four_are_there() -> None:
    assert set(NAMES) >= {"JPEGCompression", "CoarseDropout", "GaussianNoise", "GaussianBlur"}


@pytest.mark.parametrize("name", NAMES)
def test_gt_is_untouched_and_lq_changes_with_the_draw(lq: np.ndarray, photo: np.ndarray, name: str) -> None:
    transform, seen = TRANSFORMS.build({"type": name}), set()
    for draw in range(10):
        after = transform({"lq": lq, "gt": photo, "key": "a"}, Rng(3, draw))
        assert after["gt"] is photo and after["lq"].shape == lq.shape
        seen.add(after["lq"].tobytes())
    assert len(seen - {lq.tobytes()}) >= 6  # a quality may be drawn twice; the faintest blur changes nothing


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_jpeg_is_about_that_of_pillow(lq: np.ndarray, quality: int) -> None:
    ours = JPEGCompression((quality, quality)).degrade(lq, Rng(0, 0))
    buffer = io.BytesIO()
    Image.fromarray(lq).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    theirs = np.asarray(Image.open(buffer))
    assert psnr(ours, lq) == pytest.approx(psnr(theirs, lq), abs=0.5)
    assert np.abs(ours.astype(int) - theirs).mean() < 0.25 * np.abs(ours.astype(int) - lq).mean()


def test_jpeg_is_what_cv2_writes_by_itself(lq: np.ndarray) -> None:
    for draw in range(8):
        quality = Rng(0, draw).integers(30, 96)
        _, data = cv2.imencode(".jpg", cv2.cvtColor(lq, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        ours = JPEGCompression().degrade(lq, Rng(0, draw))
        assert np.array_equal(ours, cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def test_jpeg_of_gray_and_of_16_bits(lq: np.ndarray) -> None:
    gray = np.ascontiguousarray(lq[..., :1])
    once = JPEGCompression((40, 40)).degrade(gray, Rng(0, 0))
    deep = JPEGCompression((40, 40)).degrade(gray.astype(np.uint16) * 257, Rng(0, 0))
    assert once.shape == gray.shape and deep.dtype == np.uint16
    assert np.array_equal(deep, once.astype(np.uint16) * 257)


def test_qualities_are_drawn_evenly_with_both_ends(lq: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    name = "srtoolbox.data.transforms.batch.codecs.compress_jpeg"
    monkeypatch.setattr(name, lambda image, quality, subsampling: (drawn.append(quality), image)[1])
    for draw in range(4000):
        JPEGCompression((30, 33)).degrade(lq[:8, :8], Rng(0, draw))
    assert all(abs(drawn.count(quality) - 1000) < 140 for quality in (30, 31, 32, 33)) and len(set(drawn)) == 4


def holes_of(before: np.ndarray, after: np.ndarray) -> int:
    return scipy.ndimage.label((before != after).any(axis=2))[1]


def test_dropout_fills_that_many_rectangles_of_that_size() -> None:
    white, areas, heights = np.full((40, 60, 3), 255, np.uint8), [], set()
    for draw in range(1500):
        after = CoarseDropout((1, 1), (3, 6), fill=7).degrade(white, Rng(0, draw))
        rows, columns = np.nonzero((after != white).any(axis=2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width and (after[rows, columns] == 7).all()  # one filled rectangle
        areas.append((rows.min(), columns.min(), height, width))
    tops, lefts, heights, widths = map(set, zip(*areas, strict=True))
    assert heights == widths == {3, 4, 5, 6}
    assert min(tops) == min(lefts) == 0  # and to the other edges
    assert max(top + height for top, _, height, _ in areas) == 40
    assert max(left + width for _, left, _, width in areas) == 60


def test_dropout_count_and_mean_colour(lq: np.ndarray) -> None:
    large = np.ascontiguousarray(np.tile(lq, (6, 6, 1)))
    after = CoarseDropout((5, 5), (2, 2), fill="mean").degrade(large, Rng(0, 1))
    changed = (after != large).any(axis=2)
    assert holes_of(large, after) == 5
    assert np.abs(after[changed].astype(float) - large.mean(axis=(0, 1))).max() <= 0.5
    counts = [holes_of(large, CoarseDropout((1, 3), (2, 2)).degrade(large, Rng(0, draw))) for draw in range(300)]
    assert set(counts) == {1, 2, 3} and abs(counts.count(2) - 100) < 40
    deep = CoarseDropout((1, 1), (99, 99), fill=10).degrade(lq.astype(np.uint16), Rng(0, 0))
    assert (deep == 2570).all()  # a hole is never larger than the image


def test_noise_has_its_sigma_and_no_bias() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    noise = GaussianNoise((8, 8)).degrade(flat, Rng(0, 0)).astype(float) - 128
    assert noise.std() == pytest.approx(np.sqrt(64 + 1 / 12), rel=0.01) and abs(noise.mean()) < 0.1
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.mean(np.abs(noise) <= 8) - 0.71) < 0.02  # 0.7116 of |N(0, 8)| rounds to 8 or less
    gray = GaussianNoise((8, 8), gray=True).degrade(flat, Rng(0, 0))
    assert (gray == gray[..., :1]).all() and gray.std() == pytest.approx(8, rel=0.02)
    deep = GaussianNoise((8, 8)).degrade(np.full((200, 200, 1), 30000, np.uint16), Rng(0, 0))
    assert deep.std() == pytest.approx(8 * 257, rel=0.02)
    levels = [GaussianNoise((0, 10)).degrade(flat[:40, :40], Rng(0, draw)).std() for draw in range(300)]
    assert np.quantile(levels, [0.02, 0.5, 0.98]) == pytest.approx([0.2, 5, 9.8], abs=0.8)


def test_noise_is_clipped() -> None:
    ends = np.repeat(np.array([0, 255], np.uint8), 500).reshape(10, 100, 1)
    noisy = GaussianNoise((30, 30)).degrade(ends, Rng(0, 0))
    assert (noisy[ends == 0] < 150).all() and (noisy[ends == 255] > 100).all()


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_blur_is_that_of_scipy(lq: np.ndarray, sigma: float) -> None:
    ours = GaussianBlur((sigma, sigma)).degrade(lq, Rng(0, 0))
    exact = scipy.ndimage.gaussian_filter(lq.astype(float), (sigma, sigma, 0), mode="reflect", truncate=3.5)
    assert np.abs(ours - exact).max() < 2 and abs((ours - exact).mean()) < 0.1
    deep = GaussianBlur((sigma, sigma)).degrade(lq.astype(np.uint16) * 257, Rng(0, 0))
    assert np.abs(deep - exact * 257).max() < 400
    assert np.array_equal(GaussianBlur((sigma, sigma), kernel=1).degrade(lq, Rng(0, 0)), lq)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (dict(type="JPEGCompression", quality=[0, 50]), "between 1 and 100"),
        (dict(type="JPEGCompression", quality=[60, 50]), "lowest, highest"),
        (dict(type="CoarseDropout", holes=[0, 3]), "from 1 up"),
        (dict(type="CoarseDropout", fill=300), "0 to 255"),
        (dict(type="GaussianNoise", sigma=[-1, 3]), "from 0 up"),
        (dict(type="GaussianBlur", kernel=4), "odd"),
        (dict(type="GaussianBlur", sigma=[1]), "lowest, highest"),
    ],
)
def test_impossible_values_are_refused(cfg: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TRANSFORMS.build(cfg)
