"""BSRGAN's degradations: ours against a second transcription of what was published, and that against theory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.config import Config
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Plan
from srtoolbox.data.transforms.batch.blur import Blur, GaussianDownsampling
from srtoolbox.data.transforms.batch.codecs import JPEGCompression
from srtoolbox.data.transforms.batch.noise import GaussianNoise
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.data.transforms.batch.resize import Resize
from srtoolbox.image.statistics import STATISTICS
from srtoolbox.registry import TRANSFORMS
from srtoolbox.resize import imresize
from tests.data.batch.samples import p_values, photographs, random_crops, statistics_of
from tests.data.batch.transcriptions import bsrgan as published

ROOT = Path(__file__).parents[3]
SEED = 3
LEAST = 1e-3
"""The least probability that two samples differ so by chance."""

# ---- the transcription


def test_a_transcribed_kernel_lies_where_it_should() -> None:
    offsets = np.arange(25) - 12
    kernel = published.anisotropic_kernel(25, 6.0, 1.5, 0.4)
    along = np.cos(0.4) * offsets[None, :] + np.sin(0.4) * offsets[:, None]
    assert abs(kernel.sum() - 1) < 1e-12 and abs((kernel * along**2).sum() - 6) < 0.01
    shifted = published.shifted_kernel(2.0, 4)
    assert abs((shifted.sum(0) * offsets).sum() + 1.5) < 1e-3 and np.allclose(shifted, shifted.T)


def test_the_transcribed_half_is_matlabs(photo: np.ndarray) -> None:
    image = photo[:64, :80] / 255
    ours = imresize(torch.from_numpy(image.transpose(2, 0, 1))[None], 0.5, border="symmetric")
    assert np.abs(published.halve(image) - ours[0].numpy().transpose(1, 2, 0).clip(0, 1)).max() < 1e-6


def test_the_transcribed_blur_before_every_fourth_pixel_keeps_the_image_in_its_place() -> None:
    ramp = np.tile(np.arange(128.0)[None, :, None] / 128, (128, 1, 3))
    thinned = published.blur(ramp, published.shifted_kernel(1.5, 4))[::4, ::4]
    assert np.abs(thinned[16, 6:-6, 0] - ramp.reshape(128, 32, 4, 3).mean(2)[16, 6:-6, 0]).max() < 1e-3


def test_the_transcribed_whole_gives_an_image_of_the_wanted_size_in_8_bits(photo: np.ndarray) -> None:
    rng, orders = np.random.default_rng(3), set()
    for _ in range(8):
        drawn = published.draw(rng)
        orders.add(tuple(drawn[f"{step}_place"] for step in published.STEPS))
        assert drawn["resize1_place"] < drawn["resize2_place"]
        lq = published.degrade(photo[:128, :160] / 255, drawn, rng)
        assert lq.shape == (32, 40, 3) and np.abs(lq * 255 - (lq * 255).round()).max() < 1e-9
    assert len(orders) > 5


# ---- ours against the transcription

Taken = tuple[BatchDegradation, dict[str, Any]]
"""A step that an image has gone through, and its parameters."""


def pipeline() -> DegradationPipeline:
    """That of the configs, without its cut."""
    preprocess = Config.fromfile(ROOT / "configs/bsrgan/bsrnet_x4_df2k_ost_1000k.py").model.preprocess
    return TRANSFORMS.build({**preprocess, "gt_size": None})


def planned(count: int, side: int, first: int = 0) -> tuple[Plan, list[list[Taken]]]:
    """A plan, and what each image of it goes through, in order."""
    plan = pipeline().plan(np.full((count, 2), side), [Draw(0, first + number, SEED) for number in range(count)])
    taken: list[list[Taken]] = [[] for _ in range(count)]
    for action in plan.actions:
        for place, row in enumerate(action.rows):
            own = {name: values[place] for name, values in action.parameters.items()}
            taken[row].append((action.step, own))
    return plan, taken


def record_of(taken: list[Taken]) -> published.Drawn:
    """The parameters of an image under the names of the transcription; blur1 comes before blur2."""
    steps = list(taken)
    record: published.Drawn = {"half_kind": "none", "scale": 4, "last_quality": int(steps.pop()[1]["quality"])}
    if isinstance(steps[0][0], Resize) and steps[0][1]["scale"] == 0.5:
        record |= {"half_kind": str(steps.pop(0)[1]["mode"]), "scale": 2}
    record["jpeg_kind"] = "none"
    for place, (step, own) in enumerate(steps):
        name, found = described(step, own)
        if name == "blur":
            name = "blur2" if "blur1_kind" in record else "blur1"
        record |= {f"{name}_{key}": value for key, value in found.items()} | {f"{name}_place": place}
    return record


def described(step: BatchDegradation, own: Mapping[str, Any]) -> tuple[str, published.Drawn]:
    """The name of a step in the transcription, and its parameters."""
    if isinstance(step, GaussianDownsampling):
        return "resize1", {"kind": "filtered", "sigma": float(own["sigma"])}
    if isinstance(step, Resize) and step.to is None:
        return "resize1", {"kind": "scaled", "divisor": 1 / float(own["scale"]), "mode": str(own["mode"])}
    if isinstance(step, Resize):
        return "resize2", {"mode": str(own["mode"])}
    if isinstance(step, JPEGCompression):
        return "jpeg", {"kind": "codec", "quality": int(own["quality"])}
    if isinstance(step, GaussianNoise):
        kind = "correlated" if "mixing" in own else "gray" if own["gray"] else "colour"
        return "noise", {"kind": kind, "level": float(np.rint(own["sigma"]))}  # published ones are whole
    assert isinstance(step, Blur)
    found: published.Drawn = {"kind": str(own["kind"]), "size": int(own["size"])}
    if found["kind"] == "iso":
        return "blur", found | {"sigma": float(own["sigma_x"])}
    variances = {f"variance{number}": float(own[f"sigma_{axis}"]) ** 2 for number, axis in ((1, "x"), (2, "y"))}
    return "blur", found | variances | {"angle": float(own["rotation"]) % np.pi}


def in_order(record: published.Drawn) -> published.Drawn:
    """The record with blur1 the earlier one, and which step comes before which in place of their places."""
    used = {name: value for name, value in record.items() if name != "noise_covariance"}
    if record["jpeg_kind"] == "none":
        used = {name: value for name, value in used.items() if name not in ("jpeg_quality", "jpeg_place")}
    if used["blur1_place"] > used["blur2_place"]:
        swapped = str.maketrans("12", "21")
        used = {name.translate(swapped) if name.startswith("blur") else name: used[name] for name in used}
    used |= {f"{step}_scale": used["scale"] for step in ("blur1", "blur2", "resize1")}
    places = {name.removesuffix("_place"): used.pop(name) for name in list(used) if name.endswith("_place")}
    pairs = itertools.combinations(sorted(places), 2)
    return used | {f"{one} before {other}": places[one] < places[other] for one, other in pairs}


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_what_ours_draws_is_distributed_as_published(count: int) -> None:
    rng = np.random.default_rng(1)
    theirs = [in_order(published.draw(rng)) for _ in range(count)]
    ps = p_values([in_order(record_of(taken)) for taken in planned(count, 128)[1]], theirs)
    assert len(ps) > 40 and min(ps.values()) > LEAST, sorted(ps.items(), key=lambda item: item[1])[:8]


def test_each_step_of_ours_makes_the_image_of_the_published_one(photo: np.ndarray) -> None:
    """From the same image by the same parameters; but noise, and areas, which PyTorch and OpenCV weigh differently."""
    crops = [photo[top : top + 96, left : left + 96] for top in (0, 100, 200) for left in range(0, 350, 50)]
    plan, _ = planned(len(crops), 96)
    images = Images(torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2)).float() / 255)
    seen = set()
    for action in plan.actions:
        before, images = images, action.run(images)
        pairs = list(zip(before.each(), images.each(), strict=True))
        for place, row in enumerate(action.rows):
            own = {name: values[place] for name, values in action.parameters.items()}
            given, made = (image.permute(1, 2, 0).double().numpy() for image in pairs[row])
            expected = published_step(action.step, given, own)
            if expected is not None:
                differences = np.abs(expected - made)
                if own.get("mode") == "matlab":  # its border is symmetric, ours goes on
                    differences = differences[4:-4, 4:-4]
                difference, tolerance = differences.max(), 1e-4
                if isinstance(action.step, JPEGCompression):  # another build of it
                    difference, tolerance = differences.mean(), 0.4 * np.abs(expected - given).mean() + 1e-3
                assert expected.shape == made.shape and difference < tolerance, (action.step, own)
                seen.add(type(action.step).__name__)
    assert seen == {"Blur", "Resize", "GaussianDownsampling", "JPEGCompression"}


def published_step(step: BatchDegradation, image: np.ndarray, own: Mapping[str, Any]) -> np.ndarray | None:
    """What the transcription makes of an image by the parameters of ours; None where they are not to agree."""
    name, found = described(step, own)
    if name == "blur":
        record = {f"blur1_{key}": value for key, value in found.items()}
        return published.blur(image, published.kernel_of(record, "blur1"))
    if isinstance(step, GaussianDownsampling):
        kernel = published.shifted_kernel(found["sigma"], step.scale)
        return published.blur(image, kernel)[:: step.scale, :: step.scale]
    if isinstance(step, JPEGCompression):
        return published.jpeg(image, found["quality"])
    if isinstance(step, GaussianNoise) or found["mode"] == "area":
        return None
    if found["mode"] == "matlab":
        return published.halve(image)
    size = (int(own["height"]), int(own["width"]))
    return published.resize(image, size, found["mode"]) if size != image.shape[:2] else image.clip(0, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lq_of_2000_photographs_is_distributed_as_published(data_root: Path) -> None:
    crops, rng = list(random_crops(photographs(data_root), 2000, 160)), np.random.default_rng(2)
    ours, theirs = [], []
    for first in range(0, len(crops), 50):
        some = np.stack(crops[first : first + 50]).transpose(0, 3, 1, 2)
        lq = planned(50, 160, first)[0].run(Images(torch.from_numpy(some).float() / 255))
        ours += [statistics_of(image) for image in lq.each()]
    for crop in crops:
        lq = published.degrade(crop / 255, published.draw(rng), rng)
        theirs.append(statistics_of(torch.from_numpy(lq.transpose(2, 0, 1))))
    ps = p_values(ours, theirs)
    print(*(f"{p:8.4f} {name}" for name, p in ps.items()), sep="\n")
    assert ps.keys() >= STATISTICS.keys() and min(ps.values()) > LEAST
