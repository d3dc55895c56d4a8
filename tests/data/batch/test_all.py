"""Every degradation of batches: what none of them may get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.compat.pytorch import OpOverload, tree_leaves
from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Plan, stack
from srtoolbox.registry import TRANSFORMS
from tests.engine.recorded import Strict

ARGUMENTS: dict[str, dict[str, Any]] = {
    "DiffJPEG kinds": {"subsampling": ["4:2:0", "4:2:2", "4:4:4"]},
    "DiffJPEG smooth": {"differentiable": True},
    "GaussianDownsampling": {"scale": 3},
    "GaussianNoise gray": {"sigma": (1, 30), "gray": 0.5},
    "GaussianNoise mixed": {"sigma": (1, 30), "gray": 0.3, "mixed": 0.4},
    "PoissonNoise gray": {"gray": 0.5},
    "Resize matlab": {"modes": ["matlab"], "up": (1, 2)},
    "Resize to a factor of LQ": {"to": "lq", "up": (1, 1.2), "down": (0.3, 1), "probabilities": (0.3, 0.4, 0.3)},
    "Resize to LQ": {"to": "lq"},
    "SpeckleNoise mixed": {"mixed": 0.5},
    "VideoCompression": {"codecs": ["h264", "mpeg2"], "frames": (1, 2)},
}
"""Arguments of those that have no defaults; of several rows of one class the names go on: 'Blur disk'."""
BATCHED_DIFFERS: set[str] = set()
"""Those whose batched form computes something else than the loop (said in their docstring)."""
WIDE = (torch.float64, torch.complex128)
SIZES = [(40, 33), (17, 24), (24, 48), (40, 48)]
CASES = [
    *(name for name in TRANSFORMS if issubclass(TRANSFORMS.get(name), BatchDegradation) and name not in ARGUMENTS),
    *ARGUMENTS,
]  # fmt: skip
CASES = [name for name in CASES if TRANSFORMS.get(name.split()[0]).__module__.startswith("srtoolbox.")]
pytestmark = pytest.mark.parametrize("name", CASES)


class AsOnDevices(Strict):
    """Refuses what waits for a device, and float64, which MPS lacks."""

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        result = super().run(func, args, kwargs)
        for value in tree_leaves((args, kwargs, result)):
            assert not isinstance(value, torch.Tensor) or value.dtype not in WIDE, f"{func.name()} in {value.dtype}"
        return result


def step_of(name: str) -> BatchDegradation:
    return TRANSFORMS.build({"type": name.split()[0], **ARGUMENTS.get(name, {})})


def photos(photo: np.ndarray, *, channels: int = 3) -> list[torch.Tensor]:
    whole = torch.from_numpy(photo[:48, :48, :channels].transpose(2, 0, 1).copy()).float() / 255
    return [whole[:, :height, :width].clone() for height, width in SIZES]


def degraded(step: BatchDegradation, images: Images, draws: np.ndarray) -> tuple[Plan, Images]:
    plan = Plan(images.sizes, np.maximum(images.sizes // 4, 1))
    step.add_to(plan, Rngs(5, draws), np.arange(len(draws)))
    return plan, plan.run(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_what_its_images_are_alone(name: str, photo: np.ndarray, channels: int) -> None:
    """Bit for bit, whatever lies beyond an image, and nothing of what is given changes."""
    step, each, draws = step_of(name), photos(photo, channels=channels), np.arange(7, 11)
    images = stack(each)
    for pixels, (height, width) in zip(images.pixels, images.sizes, strict=True):
        pixels[:, height:], pixels[:, :, width:] = torch.nan, torch.nan
    before = images.pixels.clone()
    plan, together = degraded(step, images, draws)
    assert torch.equal(torch.nan_to_num(before, 7), torch.nan_to_num(images.pixels, 7))
    assert (plan.sizes == together.sizes).all() and together.pixels.dtype == torch.float32
    for number, image in enumerate(together.each()):
        assert image.shape[0] == channels and image.isfinite().all() and 0 <= image.min() <= image.max() <= 1
        _, alone = degraded(step, stack([each[number]]), draws[number : number + 1])
        assert torch.equal(alone.pixels[0], image)


def test_the_batched_form_computes_the_same(name: str, photo: np.ndarray) -> None:
    """As on a GPU, all at once, with NaN beyond each image: at most a few rounding errors from the loop."""
    step, draws = step_of(name), np.arange(7, 11)
    if step.on_host or name in BATCHED_DIFFERS:
        pytest.skip("it has one form" if step.on_host else "its forms differ, as its docstring says")
    images = stack(photos(photo))
    _, looped = degraded(step, images, draws)
    for pixels, (height, width) in zip(images.pixels, images.sizes, strict=True):
        pixels[:, height:], pixels[:, :, width:] = torch.nan, torch.nan
    with AsOnDevices():
        _, batched = degraded(step, Images(images.pixels, images.sizes, batched=True), draws)
    assert (looped.sizes == batched.sizes).all()
    for one, other in zip(looped.each(), batched.each(), strict=True):
        assert (one - other).abs().max() < 2e-5
    _, elsewhere = degraded(step, Images(images.pixels.to("meta"), images.sizes), draws)  # refuses tensors of the host
    assert elsewhere.pixels.is_meta and elsewhere.pixels.shape == batched.pixels.shape


def test_every_parameter_is_one_value_an_image_and_draws_differ(name: str, photo: np.ndarray) -> None:
    step, images = step_of(name), stack(photos(photo) * 8)
    plan, once = degraded(step, images, np.arange(32))
    _, again = degraded(step, images, np.arange(32))
    assert torch.equal(once.pixels, again.pixels)
    for action in plan.actions:
        assert all(len(values) == len(action.rows) for values in action.parameters.values())
    _, others = degraded(step, images, np.arange(32, 64))
    if plan.actions and any(values.dtype.kind == "f" for values in plan.actions[0].parameters.values()):
        assert once.pixels.shape != others.pixels.shape or not torch.equal(once.pixels, others.pixels)


def test_it_is_a_transform_of_a_sample_too(name: str, photo: np.ndarray) -> None:
    step = step_of(name)
    for dtype, levels in ((np.uint8, 1), (np.uint16, 257)):
        lq = np.ascontiguousarray(photo[:24, :32]).astype(dtype) * levels
        lq.setflags(write=False)
        sample = step({"lq": lq, "gt": lq, "key": "a"}, Rng(3, 4))
        assert sample["gt"] is lq and sample["lq"].dtype == dtype
        plan = Plan(np.array([[24, 32]]), np.array([[24, 32]]))
        step.add_to(plan, Rng(3, 4).alone(), np.arange(1))
        assert sample["lq"].shape[:2] == tuple(plan.sizes[0])
