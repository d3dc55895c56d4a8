"""What runs on the host: real codecs, and the degradations of samples, by the random numbers that samples have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms import Compose
from srtoolbox.data.transforms.base import build_transforms
from srtoolbox.data.transforms.batch.base import Plan, stack
from srtoolbox.data.transforms.batch.codecs import JPEGCompression
from srtoolbox.data.transforms.degrade import Degradation
from srtoolbox.errors import DataError
from srtoolbox.image import to_image, to_tensor
from srtoolbox.image.pixels import compress_jpeg

ON_SAMPLES = [
    {"type": "OneOf", "transforms": [{"type": "CoarseDropout"}, {"type": "JPEGCompression", "quality": [10, 90]}]},
    {"type": "RandomApply", "p": 0.7, "transforms": [{"type": "GaussianBlur", "sigma": [0.5, 2]}]},
    {"type": "Shuffle", "transforms": [{"type": "CoarseDropout"}, {"type": "GaussianBlur"}]},
    {"type": "Repeat", "transforms": [{"type": "CoarseDropout", "holes": [1, 1]}]},
]


class Posterise(Degradation):
    """A degradation as plugins write them, by `degrade` alone."""

    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        step = rng.integers(20, 60)
        return (image // step * step).astype(image.dtype)


class Cut(Degradation):
    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        return image[1:]


def run(chain: Any, crops: list[np.ndarray], seed: int = 3) -> tuple[Plan, list[np.ndarray]]:
    images = stack([to_tensor(crop)[0] for crop in crops])
    plan = Plan(images.sizes, images.sizes)
    chain.add_to(plan, Rngs(seed, np.arange(len(crops))), np.arange(len(crops)))
    return plan, [to_image(image) for image in plan.run(images).each()]


def crops_of(photo: np.ndarray, count: int = 12) -> list[np.ndarray]:
    return [np.ascontiguousarray(photo[20 + n : 60, 100 : 148 - n]) for n in range(count)]


def test_degradations_of_samples_do_in_a_batch_what_they_do_alone(photo: np.ndarray) -> None:
    chain, crops = Compose([*build_transforms(ON_SAMPLES), Posterise()]), crops_of(photo)
    plan, batch = run(chain, crops)
    assert len(plan.actions) > 6 and len(plan.split()[0]) == len(plan.actions)
    changed = 0
    for number, (crop, image) in enumerate(zip(crops, batch, strict=True)):
        alone = chain({"lq": crop, "gt": crop, "key": "a"}, Rng(3, number))["lq"]
        assert np.array_equal(alone, image)
        changed += not np.array_equal(crop, image)
    assert changed == len(crops)


def test_what_returns_another_shape_is_refused(photo: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"Cut made \(39, 48, 3\) uint8 of \(40, 48, 3\) uint8: a degradation keeps"):
        run(Cut(), crops_of(photo, 1))


def test_jpeg_has_the_quality_and_the_subsampling_that_its_plan_says(photo: np.ndarray) -> None:
    crops = crops_of(photo)
    plan, batch = run(JPEGCompression((5, 95), ["4:4:4", "4:2:0"]), crops)
    (action,) = plan.actions
    qualities, kinds = action.parameters["quality"].tolist(), action.parameters["subsampling"].tolist()
    assert set(kinds) == {"4:4:4", "4:2:0"} and len(set(qualities)) > 6
    for crop, image, quality, kind in zip(crops, batch, qualities, kinds, strict=True):
        assert np.array_equal(image, compress_jpeg(crop, quality, kind))


def test_a_pipeline_rounds_before_a_codec_and_not_after(photo: np.ndarray) -> None:
    pixels = to_tensor(photo[:16, :16]) + 0.3 / 255
    plan = Plan(np.array([[16, 16]]), np.array([[16, 16]]))
    JPEGCompression().add_to(plan, Rngs(0, np.arange(1)), np.arange(1))
    result = plan.run(stack(list(pixels))).pixels * 255
    assert torch.equal(result, plan.run(stack(list(to_tensor(photo[:16, :16])))).pixels * 255)
