"""Real-ESRGAN's degradations: ours against a second transcription of what was published, and that against theory.

The steps of ours get the same parameters as those of the transcription and make the same images, noise
apart; and what ours draw, and the noise, sharpness and blocks of its LQ, are distributed alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from srtoolbox.config import Config
from srtoolbox.data.loading.draws import Draw, Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Plan
from srtoolbox.data.transforms.batch.blur import Blur, SincFilter
from srtoolbox.data.transforms.batch.jpeg import DiffJPEG
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.data.transforms.batch.resize import Resize
from srtoolbox.image.statistics import STATISTICS
from srtoolbox.registry import TRANSFORMS
from tests.data.batch.samples import p_values, photographs, random_crops, statistics_of
from tests.data.batch.transcriptions import real_esrgan as published

ROOT = Path(__file__).parents[3]
SEED = 3
LEAST = 1e-3
"""The least probability that two samples differ so by chance."""


def image_of(photo: np.ndarray, size: int) -> torch.Tensor:
    return torch.from_numpy(photo[:size, :size].transpose(2, 0, 1).astype(np.float64) / 255)


# ---- the transcription


@pytest.mark.parametrize("kind", published.KINDS)
def test_a_transcribed_kernel_has_sum_1_and_its_spread_along_its_axes(kind: str) -> None:
    kernel = published.mixed_kernel(kind, 21, 2.0, 1.0, 0.4, 1.0)
    offsets = np.arange(21) - 10
    along = np.cos(0.4) * offsets[None, :] + np.sin(0.4) * offsets[:, None]
    across = -np.sin(0.4) * offsets[None, :] + np.cos(0.4) * offsets[:, None]
    assert abs(kernel.sum() - 1) < 1e-12 and (kernel == kernel[::-1, ::-1]).all()
    assert ((kernel * along**2).sum() > 1.5 * (kernel * across**2).sum()) == ("aniso" in kind)
    if "plateau" not in kind:  # with beta 1 it is a Gaussian
        assert abs((kernel * along**2).sum() - 4) < 1e-2


def test_the_transcribed_sinc_filter_lets_low_frequencies_through_and_no_high_ones() -> None:
    response = np.abs(np.fft.fft2(published.sinc_kernel(np.pi / 2, 21), (64, 64)))
    assert abs(response[0, :8] - 1).max() < 0.1 and response[0, 26:33].max() < 0.1


def test_transcribed_noise_is_as_strong_as_its_level(photo: np.ndarray) -> None:
    image, rng = image_of(photo, 128), np.random.default_rng(0)
    assert abs(float(published.gaussian_noise(image, 20, False, rng).std()) * 255 - 20) < 0.3
    gray = published.gaussian_noise(image, 20, True, rng)
    assert torch.equal(gray[0], gray[2])
    levels = torch.arange(256, dtype=torch.float64).repeat(3, 100, 1) / 255
    noise = published.poisson_noise(levels, 2.0, False, rng)
    assert abs(float((noise**2).mean() / (4 * levels / 256).mean()) - 1) < 0.02


def test_the_transcribed_jpeg_is_the_codecs_but_for_roundings_where_rows_are_columns(photo: np.ndarray) -> None:
    """The codec rounds tables and pixels, too; in the published code, a table has its directions swapped."""
    pixels = photo[:120, :136, 1]
    image = torch.from_numpy(pixels / 255).expand(3, -1, -1)
    for quality in (90, 60, 30):
        codec = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
        changed = np.abs(codec / 255 - pixels / 255).mean()
        swapped, straight = published.jpeg(image.mT, quality)[0].mT, published.jpeg(image, quality)[0]
        assert np.abs(swapped.numpy() - codec / 255).mean() < 0.5 * changed
        assert np.abs(straight.numpy() - codec / 255).mean() > 0.6 * changed
    assert np.abs(published.TO_RGB @ published.TO_YCBCR - np.eye(3)).max() < 1e-5


def test_the_transcribed_mask_sharpens_edges_and_leaves_flat_areas_alone() -> None:
    step = torch.full((3, 120, 120), 0.3, dtype=torch.float64)
    step[:, :, 60:] = 0.6
    sharp = published.sharpen(step)
    assert torch.allclose(sharp[:, :, :8], step[:, :, :8], atol=1e-6)
    assert float(sharp[0, 60, 60]) > 0.61 and float(sharp[0, 60, 59]) < 0.29


def test_the_transcribed_whole_gives_an_image_of_the_wanted_size_in_8_bits(photo: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        lq = published.degrade(image_of(photo, 96), published.draw(rng), rng)
        assert lq.shape == (3, 24, 24) and float((lq * 255 - (lq * 255).round()).abs().max()) < 1e-9


# ---- the comparison of samples


@cache
def drawn(seed: int, count: int = 1000) -> list[published.Drawn]:
    return draw_anew(seed, count)


def draw_anew(seed: int, count: int) -> list[published.Drawn]:
    rng = np.random.default_rng(seed)
    return [published.draw(rng) for _ in range(count)]


def test_the_comparison_of_samples_sees_changed_ranges_and_changed_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = drawn(1)
    assert min(p_values(drawn(2), theirs).values()) > LEAST
    changes = {
        "QUALITY": (30.0, 93.0),
        "GRAY_PROBABILITY": 0.6,
        "SECOND": replace(published.SECOND, noise_sigma=(3.0, 25.0)),
        "KIND_WEIGHTS": (0.55, 0.25, 0.05, 0.03, 0.09, 0.03),
        "KERNEL_SIZES": (7, 9, 11, 13, 15, 17, 19),
    }
    for name, value in changes.items():
        monkeypatch.setattr(published, name, value)
    seen = {name for name, p in p_values(draw_anew(2, 1000), theirs).items() if p < LEAST}
    expected = [
        "jpeg1_quality, ends",
        "jpeg2_quality, ends",
        "noise2_gray of gaussian",
        "noise2_level of gaussian, ends",
    ]
    assert seen >= {*expected, "blur1_kind", "blur2_kind", "blur1_size", "final_size"}
    assert not seen & {"final_order", "noise1_kind", "resize1_mode", "resize2_direction"}


# ---- ours against the transcription

Taken = tuple[str, dict[str, Any]]
"""The name of a step that an image has gone through, and its parameters."""
ORDERS = {"DiffJPEG Resize SincFilter": "jpeg first", "Resize SincFilter DiffJPEG": "sinc first"}


@cache
def pipeline() -> DegradationPipeline:
    """That of the configs, each image with all parameters of its own."""
    preprocess = Config.fromfile(ROOT / "configs/realesrgan/realesrnet_x4_df2k_ost_1000k.py").model.preprocess
    return TRANSFORMS.build({**preprocess, "share": None})


def draws(count: int) -> list[Draw]:
    return [Draw(0, number, SEED) for number in range(count)]


def sizes_of(count: int, side: int) -> np.ndarray:
    return np.full((count, 2), side)


def taken_steps(plan: Plan) -> list[list[Taken]]:
    """What each image of a plan goes through, in order."""
    taken: list[list[Taken]] = [[] for _ in plan.sizes]
    for action in plan.actions:
        for place, row in enumerate(action.rows):
            own = {name: values[place] for name, values in action.parameters.items()}
            taken[row].append((type(action.step).__name__, own))
    return taken


def record_of(taken: list[Taken]) -> published.Drawn:
    """The parameters of an image under the names of the transcription."""
    steps = list(taken)
    record: published.Drawn = {}
    for number in (1, 2):
        blur = steps.pop(0)[1] if steps[0][0] == "Blur" else {"kind": "none"}
        record |= {f"blur{number}_{name}": value for name, value in of_kernel(blur).items()}
        resize = steps.pop(0)[1]
        direction = ("down", "keep", "up")[1 + int(np.sign(resize["scale"] - 1))]
        record |= {f"resize{number}_direction": direction, f"resize{number}_factor": float(resize["scale"])}
        record[f"resize{number}_mode"] = str(resize["mode"])
        kind, level = {"GaussianNoise": ("gaussian", "sigma"), "PoissonNoise": ("poisson", "scale")}[steps[0][0]]
        values = steps.pop(0)[1]
        record |= {f"noise{number}_kind": kind, f"noise{number}_level": float(values[level])}
        record[f"noise{number}_gray"] = bool(values["gray"])
        if number == 1:
            record["jpeg1_quality"] = float(steps.pop(0)[1]["quality"])
    record["final_order"] = ORDERS[" ".join(name for name, _ in steps)]
    last = dict(steps)
    record |= {f"final_{name}": value for name, value in of_kernel(last["SincFilter"]).items()}
    return record | {"final_mode": str(last["Resize"]["mode"]), "jpeg2_quality": float(last["DiffJPEG"]["quality"])}


def of_kernel(own: Mapping[str, Any]) -> published.Drawn:
    """What a kernel was made from, under the names of the transcription."""
    kind = str(own["kind"])
    if kind == "none":
        return {"kind": kind}
    names = {"sigma_x": "sigma_x", "beta": "beta", "omega": "omega"}
    if "aniso" in kind:
        names |= {"sigma_y": "sigma_y", "angle": "rotation"}
    found = {name: float(own[theirs]) for name, theirs in names.items() if not np.isnan(own.get(theirs, np.nan))}
    return {"kind": kind, "size": int(own["size"]), **found}


@pytest.mark.parametrize("second", [False, True])
def test_each_kernel_is_equal_to_its_formula(second: bool) -> None:
    step = Blur(sigma=(0.2, 1.5) if second else (0.2, 3.0), sinc=0.2, kinds=dict.fromkeys(published.KINDS, 1.0))
    sizes = sizes_of(80, 64)
    values = step.draw(Rngs(SEED, np.arange(80)), sizes, Plan(sizes, sizes // 4))
    for number, kernel in enumerate(values["kernel"]):
        record = of_kernel({name: value[number] for name, value in values.items()})
        theirs = published.kernel_of({f"blur1_{name}": value for name, value in record.items()}, "blur1")
        assert np.abs(kernel - np.pad(theirs, (21 - len(theirs)) // 2)).max() < 1e-6, record
    assert {str(kind) for kind in values["kind"]} == {*published.KINDS, "sinc"}


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_what_ours_draws_is_distributed_as_published(count: int) -> None:
    plan = pipeline().plan(sizes_of(count, 256), draws(count))
    ps = p_values([record_of(taken) for taken in taken_steps(plan)], drawn(1, count))
    assert len(ps) > 70 and min(ps.values()) > LEAST, sorted(ps.items(), key=lambda item: item[1])[:5]


@pytest.mark.parametrize("batched", [False, True])
def test_each_step_of_ours_makes_the_image_of_the_published_one(batched: bool, photo: np.ndarray) -> None:
    """From the same image by the same parameters: to 1e-4, but where JPEG rounds halves up here and down there."""
    crops = [photo[top : top + 96, left : left + 96] for top in (0, 100, 200) for left in range(0, 350, 90)]
    count = len(crops)
    plan = pipeline().plan(sizes_of(count, 96), draws(count))
    images = Images(torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2)).float() / 255, batched=batched)
    sharpened = pipeline().sharpening_plan(images.sizes, draws(count)).run(images)
    for before, after in zip(images.each(), sharpened.each(), strict=True):
        differences = (published.sharpen(before.double()) - after).abs()
        assert float(differences.max()) < 1e-3 and float(differences.median()) < 1e-5  # a pixel may be at the threshold
    seen, images = set(), sharpened
    for action in plan.actions:
        before, images = images, action.run(images)
        pairs = list(zip(before.each(), images.each(), strict=True))
        for place, row in enumerate(action.rows):
            own = {name: values[place] for name, values in action.parameters.items()}
            given = pairs[row][0].double()
            expected = published_step(action.step, given, own)
            if expected is not None:
                differences = (expected - pairs[row][1]).abs()
                assert expected.shape == pairs[row][1].shape
                share = 0.99 if isinstance(action.step, DiffJPEG) else 1.0
                assert float(differences.quantile(share)) < 1e-4, (action.step, own)
                seen.add(type(action.step).__name__)
    assert seen == {"Blur", "Resize", "DiffJPEG", "SincFilter"}


def published_step(step: BatchDegradation, image: torch.Tensor, own: Mapping[str, Any]) -> torch.Tensor | None:
    """What the transcription makes of an image by the parameters of ours; None for noise."""
    if isinstance(step, DiffJPEG):
        return published.jpeg(image, float(own["quality"]))
    if isinstance(step, Resize) and step.to is None:
        return published.resize_by(image, float(own["scale"]), str(own["mode"]))
    if isinstance(step, Resize):
        return published.resize_to(image, (int(own["height"]), int(own["width"])), str(own["mode"]))
    if isinstance(step, Blur | SincFilter):
        record = {f"blur1_{name}": value for name, value in of_kernel(own).items()}
        return published.blur(image, published.kernel_of(record, "blur1"))
    return None


# ---- the images of both


def of_ours(crops: list[np.ndarray], first: int) -> tuple[list[published.Drawn], list[dict[str, float]]]:
    """Degrade a batch: what was drawn for each, and the statistics of its LQ."""
    numbers, whole = [Draw(0, first + place, SEED) for place in range(len(crops))], pipeline()
    images = Images(torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2)).float() / 255)
    plan = whole.plan(images.sizes, numbers)
    lq = plan.run(whole.sharpening_plan(images.sizes, numbers).run(images))
    return [record_of(taken) for taken in taken_steps(plan)], [statistics_of(each) for each in lq.each()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lq_of_2000_photographs_is_distributed_as_published(data_root: Path) -> None:
    crops, rng = list(random_crops(photographs(data_root), 2000, 160)), np.random.default_rng(2)
    samples: dict[str, tuple[list[published.Drawn], list[dict[str, float]]]] = {"ours": ([], []), "theirs": ([], [])}
    for first in range(0, len(crops), 50):
        for side, found in zip(samples["ours"], of_ours(crops[first : first + 50], first), strict=True):
            side.extend(found)
    for crop in crops:
        record = published.draw(rng)
        lq = published.degrade(torch.from_numpy(crop.transpose(2, 0, 1) / 255), record, rng)
        samples["theirs"][0].append(record)
        samples["theirs"][1].append(statistics_of(lq))
    ps = p_values(samples["ours"][0], samples["theirs"][0]) | p_values(samples["ours"][1], samples["theirs"][1])
    for name, p in sorted(ps.items(), key=lambda item: item[1]):
        print(f"{p:8.4f} {name}")
    assert ps.keys() >= STATISTICS.keys() and min(ps.values()) > LEAST
