"""Degradations of `GTOnlyDataset`, in training and in evaluation; and networks for x1 from training to upscaling."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import srtoolbox
from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.kept import fault
from srtoolbox.engine.job.job import Job
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.image import write_image
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import facts_of
from srtoolbox.metrics.base import LUMA
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize
from tests.data.batch import steps as _steps
from tests.engine.runs import differing, final_state, records, run
from tests.models.networks.small import GENERATORS, small_arguments

assert _steps
NOISE = [{"type": "GaussianNoise", "sigma": [25.0, 25.0]}]
FLIPS = [{"type": "RandomHorizontalFlip"}, {"type": "RandomTranspose"}]


def dataset(folder: Path, scale: int = 1, **options: object) -> GTOnlyDataset:
    return GTOnlyDataset(str(folder), scale, **options)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def same(one: dict, other: dict) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in ("lq", "gt"))


@pytest.mark.parametrize("scale", [1, 2])
def test_a_crop_is_the_clean_one_made_noisy(photo_folder: Path, scale: int) -> None:
    options = {"gt_size": 24, "transforms": FLIPS}
    clean, noisy = dataset(photo_folder, scale, **options), dataset(photo_folder, scale, degradations=NOISE, **options)
    differences = []
    for number in range(8):
        draw = Draw(number % len(clean), number, seed=3)
        before, after = clean[draw], noisy[draw]
        assert np.array_equal(before["gt"], after["gt"]) and same(after, noisy[draw])
        differences.append(after["lq"].astype(float) - before["lq"])
    assert scale > 1 or np.array_equal(before["lq"], before["gt"])
    assert abs(likeness(differences[0], differences[len(clean)])) < 0.2
    assert 18 < np.std(differences) < 26  # some of it is clipped


@pytest.mark.parametrize("scale", [1, 3])
def test_a_whole_image_is_noisy_in_the_same_way_each_time(photo_folder: Path, scale: int) -> None:
    clean, noisy = dataset(photo_folder, scale), dataset(photo_folder, scale, degradations=NOISE)
    differences = []
    for index in range(2):
        before, after = clean[index], noisy[index]
        assert np.array_equal(before["gt"], after["gt"]) and same(after, noisy[index - len(noisy)])
        assert np.array_equal(before["lq"], imresize(before["gt"], 1 / scale))
        differences.append(after["lq"].astype(float) - before["lq"])
    assert abs(likeness(*differences)) < 0.2 and 18 < np.std(differences) < 26
    again = dataset(photo_folder, scale, degradations=NOISE)
    assert same(again[1], noisy[1])


def test_other_random_numbers_than_the_transforms_have(photo_folder: Path) -> None:
    """Those of a transform within another are of a sub-stream, too."""
    transforms, draw = [{"type": "OneOf", "transforms": NOISE}], Draw(0, 5, seed=3)
    once = dataset(photo_folder, gt_size=24, transforms=transforms)
    twice = dataset(photo_folder, gt_size=24, transforms=transforms, degradations=NOISE)
    first = once[draw]["lq"].astype(float) - once[draw]["gt"]
    second = twice[draw]["lq"].astype(float) - once[draw]["lq"]
    assert abs(likeness(first, second)) < 0.2


def test_what_changes_gt_is_no_degradation(photo_folder: Path, tiny_config: Path) -> None:
    flipped = dataset(photo_folder, degradations=[{"type": "RandomVerticalFlip", "p": 1.0}])
    with pytest.raises(DataError, match=r"cat0: one of the degradations changes GT, too: it belongs among"):
        flipped[0]
    wrong = [{"type": "RandomRotation", "degrees": 10}, {"type": "GaussianNoise", "sigma": [9, 3]}]
    with pytest.raises(ConfigError) as error:
        check(Config.fromfile(tiny_config, [f"data.train.dataset.degradations={wrong!r}"]))
    assert "degradations.0: RandomRotation acts on GT, not on LQ alone" in str(error.value)
    assert "degradations.1" in str(error.value) and "sigma is (lowest, highest)" in str(error.value)


def test_crops_are_not_cut_on_the_device_then(photo_folder: Path) -> None:
    assert fault(dataset(photo_folder, gt_size=24)) is None
    assert fault(dataset(photo_folder, gt_size=24, degradations=NOISE)) == "GaussianNoise is not made there"
    flips = [{"type": "RandomHorizontalFlip"}]
    assert fault(dataset(photo_folder, gt_size=24, degradations=flips)) == "RandomHorizontalFlip is not made there"


def test_given_pairs_of_one_size_are_cut_alike(photo_folder: Path, tmp_path: Path) -> None:
    made = dataset(photo_folder, degradations=NOISE)
    for index in range(len(made)):
        write_image(tmp_path / f"lq/{made[index]['key']}.png", made[index]["lq"])
    pairs = PairedDataset(str(photo_folder), str(tmp_path / "lq"), 1, gt_size=24, transforms=FLIPS)
    clean = dataset(photo_folder, gt_size=24, transforms=FLIPS)
    for number in range(6):
        assert same(pairs[number], made[number])
        sample, other = (each[Draw(number, number, seed=3)] for each in (pairs, clean))
        assert np.array_equal(sample["gt"], other["gt"])
        assert 15 < np.std(sample["lq"].astype(float) - sample["gt"]) < 26


AT_ONE = ("scale=1", *(f"data.{part}.degradations={NOISE!r}" for part in ("train.dataset", "val.datasets.photos")))


def test_a_run_at_x1_learns_and_resumes_bit_for_bit(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole", *AT_ONE)
    run(tiny_config, tmp_path / "parts", *AT_ONE, "max_iters=10")
    run(tiny_config, tmp_path / "parts", *AT_ONE, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    scores = [record["scores"]["photos/psnr"] for record in records(tmp_path / "whole") if record["kind"] == "eval"]
    assert len(scores) == 4 and scores[-1] > scores[0]


def test_a_run_that_ends_below_its_input_says_so(tiny_config: Path, tmp_path: Path) -> None:
    changes = (*AT_ONE, "max_iters=2", "data.val.interval=2")
    Job(Config.fromfile(tiny_config, changes), tmp_path / "run", source=tiny_config).train()
    log = (tmp_path / "run/train.log").read_text()
    assert "where the input has " in log and "bicubic" not in log


def test_a_denoiser_is_scored_beside_its_input(tiny_config: Path, photo_folder: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", *AT_ONE, "max_iters=5")
    checkpoint, page = tmp_path / "run/checkpoints/iter_000005.pth", tmp_path / "page"
    scored = srtoolbox.test(tiny_config, checkpoint, overrides=AT_ONE, baseline=True, report=page)
    assert list(scored.images) == ["Input", "iter_000005"]
    noisy = dataset(photo_folder, degradations=NOISE)[0]
    luma = [image.astype(float)[1:-1, 1:-1] @ LUMA for image in (noisy["lq"], noisy["gt"])]
    expected = 10 * np.log10(255**2 / np.square(luma[0] - luma[1]).mean())
    assert scored.images["Input"]["photos"][noisy["key"]]["psnr"] == pytest.approx(expected, abs=1e-6)
    text = (page / "index.html").read_text()
    assert "<bdi>Input</bdi></th>" in text and "<bdi>Bicubic</bdi></th>" not in text


AT_X1 = [name for name in GENERATORS if 1 in (getattr(NETWORKS.get(name), "scales", None) or [1])]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in AT_X1 if name not in ("Adapter", "Bicubic")])
def test_each_network_for_x1_is_trained_scored_and_upscales(name: str, tiny_config: Path, tmp_path: Path) -> None:
    generator = {"_delete_": True, "type": name, "scale": 1, "colour": "rgb", **small_arguments(name)}
    optim = {"generator": {"_delete_": True, "optimizer": {"type": "Adam"}}}
    changes = (f"model.generator={generator!r}", f"optim={optim!r}", "max_iters=2", "data.val.interval=2")
    runner = run(tiny_config, tmp_path / "run", *AT_ONE, *changes)
    (scores,) = [record["scores"] for record in records(tmp_path / "run") if record["kind"] == "eval"]
    assert np.isfinite(scores["photos/psnr"])
    network = runner.networks["generator"].eval()
    assert facts_of(network).scale == 1
    image = np.random.default_rng(0).integers(0, 256, (70, 53, 3), dtype=np.uint8)
    with torch.inference_mode():
        whole, tiled = (Upscaler(network, tile=tile)(image) for tile in (None, 32))
    assert whole.shape == tiled.shape == image.shape
    if facts_of(network).receptive_field is not None:
        assert np.abs(whole.astype(int) - tiled).max() <= 1


def pipeline(*kinds: str, **options: object) -> dict[str, object]:
    return {
        "type": "DegradationPipeline",
        "scale": 2,
        "steps": [{"type": kind} for kind in (*kinds, "Fitting")],
        **options,
    }


def test_a_pipeline_makes_lq_of_crops_and_of_whole_images(photo_folder: Path) -> None:
    options = {"gt_size": 36, "transforms": FLIPS, "pipeline": pipeline("Brightening", gt_size=24, share="batch")}
    made, plain = dataset(photo_folder, 2, **options), dataset(photo_folder, 2, gt_size=36, transforms=FLIPS)
    draws = [Draw(1, 5, 3), Draw(1, 6, 3), Draw(1, 5, 4)]
    samples = [made[draw] for draw in draws]
    assert all(map(same, samples, [pickle.loads(pickle.dumps(made))[draw] for draw in draws]))
    assert samples[0]["lq"].shape == (12, 12, 3) and samples[0]["gt"].shape == (24, 24, 3)
    assert len({sample["lq"].tobytes() for sample in samples}) == 3
    whole = plain[draws[0]]["gt"]
    windows = np.lib.stride_tricks.sliding_window_view(whole, (24, 24, 3))[::2, ::2, 0]
    assert (windows == samples[0]["gt"]).all((2, 3, 4)).sum() == 1, "a crop of GT, on the grid of LQ"
    for index in range(len(made)):
        image, other = made[index], dataset(photo_folder, 2)[index]
        assert same(image, made[index]) and np.array_equal(image["gt"], other["gt"])
        assert image["lq"].shape == other["lq"].shape and not np.array_equal(image["lq"], other["lq"])
        assert likeness(image["lq"], other["lq"]) > 0.9
    assert made[0]["lq"].astype(int).mean() - dataset(photo_folder, 2)[0]["lq"].astype(int).mean() > 0


def test_one_thing_makes_lq(photo_folder: Path) -> None:
    with pytest.raises(DataError, match="degradations change LQ, which a pipeline makes from GT"):
        dataset(photo_folder, 2, degradations=NOISE, pipeline=pipeline())
    with pytest.raises(DataError, match="GaussianNoise changes LQ, which a pipeline makes from GT"):
        dataset(photo_folder, 2, transforms=[{"type": "RandomApply", "transforms": NOISE}], pipeline=pipeline())
    with pytest.raises(ConfigError, match="Fitting is no pipeline"):
        dataset(photo_folder, 2, pipeline={"type": "Fitting"})
    with pytest.raises(ConfigError, match="the pipeline's scale is 2, not 3"):
        dataset(photo_folder, 3, pipeline=pipeline())
    with pytest.raises(DataError, match=r"the dataset's pipeline and model\.preprocess both make LQ"):
        dataset(photo_folder, 2, pipeline=pipeline()).leave_out_lq()
    assert fault(dataset(photo_folder, 2, gt_size=24, pipeline=pipeline())) == "its pipeline is not run there"


def test_gt_alone_is_that_of_the_pairs(photo_folder: Path) -> None:
    options = {"gt_size": 24, "transforms": [*FLIPS, {"type": "RandomRotation", "degrees": 10}], "small": "reflect"}
    pairs, alone = dataset(photo_folder, 2, **options), dataset(photo_folder, 2, **options)
    both = ConcatDataset([alone, dataset(photo_folder, 2, **options)])
    both.leave_out_lq()
    for number in range(8):
        sample = both[Draw(number, number, 7)]
        assert sorted(sample) == ["gt", "key"]
        assert np.array_equal(sample["gt"], pairs[Draw(number % len(pairs), number, 7)]["gt"])
