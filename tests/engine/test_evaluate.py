"""Scores of images that share a name, of gray images, and by each protocol, against scikit-image."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srtoolbox.engine.evaluate import build_metrics, evaluate, unique_names
from srtoolbox.image import read_image, rgb_to_y, to_tensor, write_image
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.registry import DATASETS, NETWORKS
from tests.engine.runs import records, run

RGB = {"type": "PSNR", "y_channel": False}
METRICS = {
    "rgb": RGB,
    "y": {"type": "PSNR"},
    "direct": {"type": "PSNR", "protocol": "y_direct"},
    "ssim": {"type": "SSIM"},
}


@pytest.fixture(scope="module")
def gray_folder(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The green channels of `photo_folder`."""
    folder = tmp_path_factory.mktemp("gray")
    for path in photo_folder.iterdir():
        write_image(folder / path.name, np.ascontiguousarray(read_image(path)[..., 1:2]))
    return folder


def photos(folder: Path, **more: object) -> dict[str, object]:
    return {"type": "GTOnlyDataset", "gt": str(folder), "scale": 3, **more}


def test_two_images_of_one_name_both_count(photo_folder: Path, tmp_path: Path) -> None:
    for key in ("cat0", "cat1"):  # other images under the names of the first set
        write_image(tmp_path / f"{key}.png", read_image(photo_folder / f"{key}.png")[::-1, ::-1])
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": 3})
    metrics = build_metrics({"rgb": RGB})
    parts = [evaluate(bicubic, DATASETS.build(photos(folder)), metrics) for folder in (photo_folder, tmp_path)]
    both = DATASETS.build({"type": "ConcatDataset", "datasets": [photos(photo_folder), photos(tmp_path)]})
    result = evaluate(bicubic, both, metrics)
    assert len(result) == 8
    expected = [scores["rgb"] for part in parts for scores in part.values()]
    assert [scores["rgb"] for scores in result.values()] == expected
    assert result.means["rgb"] == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("generator", ["Bicubic", "ESPCN-y", "ESPCN-rgb"])
@pytest.mark.parametrize("channels", [1, 3])
def test_scores_of_gray_and_colour_sets(generator: str, channels: int, photo_folder: Path, gray_folder: Path) -> None:
    name, _, colour = generator.partition("-")
    network = NETWORKS.build({"type": name, "scale": 3, **({"colour": colour} if colour else {})})
    dataset = DATASETS.build(photos(gray_folder if channels == 1 else photo_folder, channels=channels))
    result = evaluate(network, dataset, build_metrics(METRICS))
    assert list(result) == [f"{who}{number}" for who in ("cat", "woman") for number in (0, 1, 2)]
    sample = dataset[0]
    assert sample["gt"].shape[2] == channels
    gt, sr = np.ascontiguousarray(sample["gt"]), upscale_whole(network, np.ascontiguousarray(sample["lq"]))
    scores = result["cat0"]
    assert scores["rgb"] == pytest.approx(peak_signal_noise_ratio(gt, sr), abs=1e-4)
    luma = [255 * rgb_to_y(to_tensor(p).expand(-1, 3, -1, -1))[0, 0].double().numpy() for p in (gt, sr)]
    assert scores["y"] == pytest.approx(peak_signal_noise_ratio(*luma, data_range=255), abs=1e-4)
    assert 0 < scores["ssim"] < 1 and np.isfinite(scores["direct"])


def test_ten_crops_of_each_image_are_scored(photo_folder: Path) -> None:
    network, metrics = NETWORKS.build({"type": "Bicubic", "scale": 3}), build_metrics({"rgb": RGB})
    ten = photos(photo_folder, gt_size=24, crop="ten")
    dataset = DATASETS.build(ten)
    result = evaluate(network, dataset, metrics)
    assert list(result)[8:12] == ["cat0-9", "cat0-10", "cat1", "cat1-2"] and len(result) == len(dataset) == 60
    sample = dataset[7]
    sr = upscale_whole(network, np.ascontiguousarray(sample["lq"]))
    assert result["cat0-8"]["rgb"] == pytest.approx(peak_signal_noise_ratio(sample["gt"], sr), abs=1e-4)
    both = DATASETS.build({"type": "ConcatDataset", "datasets": [photos(photo_folder), ten]})
    assert both.keys() == [both[index]["key"] for index in range(66)] and len(evaluate(network, both, metrics)) == 66


def test_gray_panels_go_to_tensorboard(tiny_config: Path, gray_folder: Path, tmp_path: Path) -> None:
    gray = f"data.val.datasets.photos={photos(gray_folder, channels=1)!r}"
    run(tiny_config, tmp_path, gray, "max_iters=5", "hooks.logger.tensorboard=True")
    assert [line["iter"] for line in records(tmp_path) if line["kind"] == "eval"] == [5]
    assert EventAccumulator(str(tmp_path)).Reload().Tags()["images"] == [
        "photos/cat0 (LQ, SR, GT, error 0-32 levels)",
        "photos/cat1 (LQ, SR, GT, error 0-32 levels)",
    ]


def test_a_run_without_its_validation_sets_trains_and_says_so(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("srtoolbox").propagate = True
    runner = run(tiny_config, tmp_path, "max_iters=5", "data.val.datasets.photos.gt=nowhere")
    assert runner.iter == 5 and "nowhere" in caplog.text
    assert {line["kind"] for line in records(tmp_path)} == {"train"}


def test_each_image_is_a_sign_of_progress(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an evaluation may last as long as it likes, and no image may."""
    signs: list[int] = []
    monkeypatch.setattr("srtoolbox.dist.advance", lambda: signs.append(len(seen)))
    seen: list[str] = []
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": 3})
    dataset = DATASETS.build(photos(photo_folder))
    evaluate(bicubic, dataset, build_metrics({"rgb": RGB}), on_picture=lambda image: seen.append(image.name))
    assert signs == [0, 1, 2, 3, 4, 5] and len(seen) == 6


def test_names_stay_unique_even_among_numbered_ones() -> None:
    assert unique_names(["a", "a", "a-2", "b"]) == ["a", "a-2", "a-2-2", "b"]
