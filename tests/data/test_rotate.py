"""Rotation: of GT, before LQ is made; the crop of the turned image; refused where LQ is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.transform

import srtoolbox.data.datasets.gt_only as gt_only
from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw, Rng
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.data.transforms.orientation import RandomRotation
from srtoolbox.errors import ConfigError
from srtoolbox.image import write_image
from srtoolbox.image.pixels import rotate
from srtoolbox.resize import imresize

TURN = dict(type="RandomRotation", degrees=10)


@pytest.fixture(scope="module")
def smooth(photo: np.ndarray) -> np.ndarray:
    """The photograph without what interpolation kernels disagree about."""
    from scipy.ndimage import gaussian_filter

    return np.rint(gaussian_filter(photo.astype(float), (1.5, 1.5, 0))).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, smooth: np.ndarray) -> str:
    folder = tmp_path_factory.mktemp("turned")
    write_image(folder / "a.png", smooth)
    return str(folder)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("degrees", [-30.0, 7.3, 90.0])
def test_rotation_is_that_of_skimage(smooth: np.ndarray, degrees: float, dtype: type) -> None:
    image = np.ascontiguousarray(smooth[50:250, 100:300])
    peak = np.iinfo(dtype).max
    ours = rotate(image.astype(dtype) * (peak // 255), degrees, (99.5, 99.5), "zero") / peak
    theirs = skimage.transform.rotate(image / 255, degrees, order=3)  # counter-clockwise, about the middle
    inner = np.hypot(*(np.mgrid[:200, :200] - 99.5)) < 95
    assert np.abs(ours - theirs)[inner].max() < 4 / 255
    assert np.abs(ours - theirs)[inner].mean() < 0.6 / 255
    if degrees < 0:
        assert (ours[:20, :20] == 0).all()


def test_reflection_repeats_the_edge_pixel() -> None:
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 4, (40, 1))[..., None]
    turned = rotate(ramp, 180, (19.5, 39.5), "reflect")  # all of it lies outside: what shows is the mirror image
    assert np.array_equal(turned[::-1], ramp)


@pytest.mark.parametrize(("scale", "keep"), [(2, 0), (3, 1 << 30), (4, 0), (4, 1 << 30)])
def test_crop_is_that_of_the_whole_image_turned_about_the_crop(
    folder: str, smooth: np.ndarray, scale: int, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gt_only, "KEEP_BYTES", keep)
    side, at_edge = 96 // scale, 0
    dataset = GTOnlyDataset(folder, scale, gt_size=96, transforms=[TURN | dict(degrees=45)])
    high, wide = (n // scale * scale for n in smooth.shape[:2])
    for number in range(60):
        sample = dataset[Draw(0, number, 4)]
        window = dataset.cropper.window(high // scale, wide // scale, Rng(4, number))
        at_edge += min(window.top, window.left) == 0
        top, left, *_ = window.scaled(scale)
        angle = Rng(4, number).at(0).uniform(-45, 45)
        whole = rotate(np.ascontiguousarray(smooth[:high, :wide]), angle, (top + 47.5, left + 47.5), "reflect")
        difference = np.abs(whole[top : top + 96, left : left + 96].astype(int) - sample["gt"])
        assert difference.max() <= 3 and difference.mean() < 0.2  # cv2 rounds places to 1/32 px
        difference = np.abs(window.cut(imresize(whole, 1 / scale)).astype(int) - sample["lq"])
        assert sample["lq"].shape == (side, side, 3) and difference.max() <= 2 and difference.mean() < 0.2
    assert at_edge  # crops are as near the edge as without rotation


def overhang(side: int, degrees: float) -> float:
    """How far a square's corners come to lie outside of it when it is turned by up to so many degrees."""
    angles = np.radians(np.linspace(0, degrees, 10_000))
    return (side / 2 * (np.abs(np.cos(angles)) + np.abs(np.sin(angles)) - 1)).max()


@pytest.mark.parametrize("degrees", [1, 10, 45, 60, 90, 180])
@pytest.mark.parametrize("side", [32, 128])
def test_the_margin_holds_the_corners_and_the_kernel(side: int, degrees: float) -> None:
    assert 2 <= RandomRotation(degrees).margin(side) - overhang(side, degrees) < 3.1


def test_what_is_read_holds_the_corners_of_all_that_is_reduced(folder: str) -> None:
    dataset = GTOnlyDataset(folder, 4, gt_size=96, transforms=[TURN | dict(degrees=45)])
    assert dataset._reach * 4 >= overhang(96 + 2 * gt_only.MARGIN * 4, 45) + 2


def test_lq_is_exactly_the_reduction_of_the_turned_gt(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with what lies around the crop: the inner LQ pixels follow from the GT crop alone."""
    dataset = GTOnlyDataset(folder, 4, gt_size=96, transforms=[TURN])
    for number in range(30):
        sample = dataset[Draw(0, number, 7)]
        alone = imresize(np.ascontiguousarray(sample["gt"]), 0.25)
        assert np.array_equal(alone[2:-2, 2:-2], sample["lq"][2:-2, 2:-2])
    seen = []
    monkeypatch.setattr(gt_only, "imresize", lambda gt, size: seen.append(gt) or imresize(gt, size=size))
    sample = dataset[Draw(0, 3, 7)]
    [given] = seen
    assert np.array_equal(imresize(np.ascontiguousarray(given), 0.25)[3:27, 3:27], sample["lq"])
    assert np.array_equal(given[12:108, 12:108], sample["gt"])


def test_a_draw_without_rotation_is_the_sample_without_it(folder: str) -> None:
    rare = GTOnlyDataset(folder, 4, gt_size=96, transforms=[dict(type="RandomApply", p=0.3, transforms=[TURN])])
    plain = GTOnlyDataset(folder, 4, gt_size=96)
    same = 0
    for number in range(200):
        a, b = rare[Draw(0, number, 7)], plain[Draw(0, number, 7)]
        assert np.array_equal(a["gt"], b["gt"]) == np.array_equal(a["lq"], b["lq"])
        same += np.array_equal(a["lq"], b["lq"])
    assert abs(same - 140) < 25


def test_angles_are_even(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    angles = []
    monkeypatch.setattr(
        "srtoolbox.data.transforms.orientation.rotate", lambda gt, angle, *_: angles.append(angle) or gt
    )
    for draw in range(2000):
        RandomRotation(10)({"gt": np.zeros((4, 4, 1), np.uint8)}, Rng(0, draw))
    assert min(angles) < -9.9 and max(angles) > 9.9 and min(angles) >= -10
    assert np.quantile(angles, [0.25, 0.5, 0.75]) == pytest.approx([-5, 0, 5], abs=0.7)


@pytest.mark.parametrize("filling", ["reflect", "zero"])
def test_small_images_are_filled(tmp_path: Path, photo: np.ndarray, filling: str) -> None:
    """An image just as large as the crop, and one that is smaller: no refusal for want of a margin."""
    write_image(tmp_path / "a.png", np.maximum(photo[:48, :48], 60))
    turn = TURN | dict(filling=filling, degrees=45)
    dataset = GTOnlyDataset(str(tmp_path), 4, gt_size=48, transforms=[turn])
    least = [dataset[Draw(0, number, 0)]["gt"].min() for number in range(10)]
    assert (min(least) < 40) == (filling == "zero")
    larger = GTOnlyDataset(str(tmp_path), 4, gt_size=64, small="zero", transforms=[turn])
    sample = larger[Draw(0, 1, 0)]
    assert sample["gt"].shape == (64, 64, 3) and sample["lq"].shape == (16, 16, 3)
    assert not sample["gt"][48:].any() and not sample["lq"][:, 12:].any() and sample["lq"][:12, :12].any()


def test_gray_and_16_bits(tmp_path: Path, smooth: np.ndarray) -> None:
    write_image(tmp_path / "a.png", smooth[..., :1].astype(np.uint16) * 257)
    sample = GTOnlyDataset(str(tmp_path), 3, gt_size=48, transforms=[TURN])[Draw(0, 0, 0)]
    assert sample["gt"].dtype == sample["lq"].dtype == np.uint16 and sample["gt"].shape == (48, 48, 3)
    sample = GTOnlyDataset(str(tmp_path), 3, gt_size=48, transforms=[TURN], channels=1)[Draw(0, 0, 0)]
    assert sample["gt"].shape == (48, 48, 1) and set(sample) == {"gt", "lq", "key"}


def test_whole_images_and_fixed_crops_of_evaluation_stay(folder: str) -> None:
    turned, plain = (GTOnlyDataset(folder, 3, gt_size=96, crop="center", transforms=t) for t in ([TURN], []))
    assert np.array_equal(turned[0]["gt"], plain[0]["gt"]) and np.array_equal(turned[0]["lq"], plain[0]["lq"])
    assert np.array_equal(GTOnlyDataset(folder, 3, transforms=[TURN])[0]["lq"], GTOnlyDataset(folder, 3)[0]["lq"])


def test_any_number_of_workers_makes_the_same_batches(folder: str) -> None:
    transforms = [TURN, dict(type="ColourJitter", hue=10), dict(type="GaussianNoise"), dict(type="CoarseDropout")]
    batches = []
    for workers in (0, 2):
        loader = build_train_loader(
            GTOnlyDataset(folder, 4, gt_size=64, transforms=transforms), 4, workers=workers, seed=5
        )
        stream = iter(loader)
        batches.append([next(stream) for _ in range(3)])
        getattr(loader, "close", lambda: None)()
    for first, second in zip(*batches, strict=True):
        assert first["lq"].equal(second["lq"]) and first["gt"].equal(second["gt"])


def test_refused_where_lq_is_given(tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "gt/a.png", photo[:96, :96])
    write_image(tmp_path / "lq/a.png", photo[:24, :24])
    nested = dict(spatial=dict(type="RandomApply", transforms=[dict(type="RandomHorizontalFlip"), TURN]))
    cfg = dict(gt=str(tmp_path / "gt"), lq=str(tmp_path / "lq"), scale=4, gt_size=48, transforms=nested)
    [fault] = PairedDataset.check(cfg, {})
    assert fault.startswith("transforms.spatial.transforms.1: RandomRotation acts on GT before LQ is made")
    assert "GTOnlyDataset" in fault
    with pytest.raises(ConfigError, match="acts on GT before LQ is made"):
        PairedDataset(**cfg)
    jitter = [dict(type="ColourJitter", brightness=0.2)]
    assert PairedDataset.check(cfg | dict(transforms=jitter), {}) == []
    sample = PairedDataset(**cfg | dict(transforms=jitter))[Draw(0, 1, 0)]
    assert not np.array_equal(sample["lq"], PairedDataset(**cfg | dict(transforms=[]))[Draw(0, 1, 0)]["lq"])


def test_the_check_names_file_and_line(tiny_config: Path, photo_folder: Path) -> None:
    text = tiny_config.read_text()
    text = text.replace("type='GTOnlyDataset', gt=", f"type='PairedDataset', lq={str(photo_folder)!r}, gt=", 1)
    text = text.replace("dict(type='RandomTranspose')", "dict(type='RandomRotation', degrees=10)")
    tiny_config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check(Config.fromfile(tiny_config))
    [fault] = caught.value.faults
    line = 1 + text[: text.index("RandomRotation")].count("\n")
    assert f"tiny.py:{line}: data.train.dataset: transforms.1: RandomRotation acts on GT" in fault


@pytest.mark.parametrize("wrong", [dict(degrees=0), dict(degrees=200), dict(degrees=5, filling="white")])
def test_impossible_arguments_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="RandomRotation: "):
        RandomRotation(**wrong)
