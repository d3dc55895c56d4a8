"""The plain restorer: batches become float images, `preprocess` acts on them, `targets` choose what losses see."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import skimage.color
import torch
from torch import Tensor

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import rgb_to_y
from srtoolbox.interfaces import IMAGE_KEYS
from srtoolbox.models.restorers.base import Restorer
from srtoolbox.optim.wrapper import build_optim
from srtoolbox.registry import TRANSFORMS


class Halving:
    """A user's batch transform: dimmer LQ, and a second, brighter target."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        assert images["lq"].dtype == torch.float32 and float(images["lq"].max()) <= 1
        return {**images, "lq": images["lq"] * self.factor, "bright": images["gt"] * 0.5 + 0.5}


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    TRANSFORMS.register(Halving)
    yield
    del TRANSFORMS._entries["Halving"]


@pytest.fixture
def batch() -> dict[str, object]:
    generator = torch.Generator().manual_seed(0)
    lq, gt = (torch.randint(0, 256, (2, n, n, 3), dtype=torch.uint8, generator=generator) for n in (6, 12))
    return {"lq": lq, "gt": gt, "key": ["a", "b"]}


def restorer(colour: str = "rgb", **more: object) -> Restorer:
    torch.manual_seed(0)
    generator = {"type": "ESPCN", "scale": 2, "kernels": [3, 3], "channels": [4], "colour": colour}
    losses = {"near": {"type": "L1Loss", "weight": 2.0}, "far": {"type": "MSELoss"}}
    return Restorer(generator, losses, **more)


def floats(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def test_batches_become_float_images(batch: dict[str, object]) -> None:
    prepared = restorer().prepare(batch)
    for key in ("lq", "gt"):
        torch.testing.assert_close(prepared[key], floats(batch[key]))
    assert prepared["key"] == ["a", "b"] and batch["lq"].dtype == torch.uint8


@pytest.mark.parametrize("peak", [255, 65535])
def test_a_luma_network_gets_unrounded_luma(batch: dict[str, object], peak: int) -> None:
    if peak > 255:
        batch = {key: batch[key].int().mul(257).sub(100).clamp(0).to(torch.uint16) for key in IMAGE_KEYS}
    prepared = restorer("y").prepare(batch)
    for key in IMAGE_KEYS:
        expected = skimage.color.rgb2ycbcr(batch[key].numpy() / peak)[..., 0] / 255
        np.testing.assert_allclose(prepared[key][:, 0], expected, rtol=0, atol=3e-7)
        levels = prepared[key] * 255
        assert (levels - levels.round()).abs().max() > 0.4


def test_preprocess_acts_before_the_network_sees_the_batch(batch: dict[str, object]) -> None:
    prepared = restorer(preprocess={"type": "Halving", "factor": 0.5}).prepare(batch)
    torch.testing.assert_close(prepared["lq"], floats(batch["lq"]) / 2)
    torch.testing.assert_close(prepared["gt"], floats(batch["gt"]))
    torch.testing.assert_close(prepared["bright"], floats(batch["gt"]) / 2 + 0.5)


def test_a_luma_network_gets_luma_of_what_preprocess_made(batch: dict[str, object]) -> None:
    prepared = restorer("y", preprocess={"type": "Halving", "factor": 0.5}).prepare(batch)
    torch.testing.assert_close(prepared["lq"], rgb_to_y(floats(batch["lq"]) / 2))
    torch.testing.assert_close(prepared["bright"], rgb_to_y(floats(batch["gt"]) / 2 + 0.5))


@pytest.mark.parametrize("targets", [{"far": "bright"}, {"near": "bright"}, {}])
def test_each_loss_is_measured_against_its_target(targets: dict[str, str], batch: dict[str, object]) -> None:
    model = restorer(preprocess={"type": "Halving", "factor": 0.5}, targets=targets)
    with torch.no_grad():
        sr = model.generator(floats(batch["lq"]) / 2)
    images = {"gt": floats(batch["gt"]), "bright": floats(batch["gt"]) / 2 + 0.5}
    near, far = (images[targets.get(name, "gt")] for name in ("near", "far"))
    optim = build_optim("generator", model.generator, {"optimizer": {"type": "SGD", "lr": 0.1}})
    before = model.generator.conv1.weight.detach().clone()
    terms = model.train_step(batch, {"generator": optim})
    torch.testing.assert_close(terms["near"], 2 * (sr - near).abs().mean())
    torch.testing.assert_close(terms["far"], (sr - far).square().mean())
    assert not any(term.requires_grad for term in terms.values())
    assert not torch.equal(model.generator.conv1.weight, before)


def test_the_step_follows_the_sum_of_the_terms(batch: dict[str, object]) -> None:
    model, other = restorer(), restorer()
    optim = build_optim("generator", model.generator, {"optimizer": {"type": "SGD", "lr": 0.1}})
    model.train_step(batch, {"generator": optim})
    sr = other.generator(floats(batch["lq"]))
    gt = floats(batch["gt"])
    (2 * (sr - gt).abs().mean() + (sr - gt).square().mean()).backward()
    for stepped, start in zip(model.generator.parameters(), other.generator.parameters(), strict=True):
        torch.testing.assert_close(stepped.detach(), (start - 0.1 * start.grad).detach())


@pytest.mark.parametrize(
    ("result", "got"),
    [
        (lambda difference: difference.flatten(1).mean(1), r"a tensor \(2,\)"),
        (lambda difference: difference, r"a tensor \(2, 3, 12, 12\)"),
        (lambda difference: None, "a NoneType"),
        (lambda difference: 0.5, "a float"),
    ],
)
def test_a_loss_that_is_no_number_is_named(batch: dict[str, object], result: object, got: str) -> None:
    model = restorer()
    model.losses["far"].forward = lambda pred, target: result(pred - target)
    optim = build_optim("generator", model.generator, {"optimizer": {"type": "SGD", "lr": 0.1}})
    with pytest.raises(SrtoolboxError, match=rf"losses\.far: MSELoss returned {got}: a loss returns one number"):
        model.train_step(batch, {"generator": optim})


def test_wiring_faults() -> None:
    cfg = {"losses": {"pixel": {"type": "L1Loss"}}, "targets": {"pixl": "gt"}}
    assert Restorer.check(cfg, {}) == ["targets names loss 'pixl', which is not in losses. Did you mean 'pixel'?"]
    assert "training needs a loss" in Restorer.check({}, {"max_iters": 5})[0]
    assert Restorer.check({}, {}) == []


def test_a_target_that_preprocess_makes_is_no_fault() -> None:
    losses = {"far": {"type": "MSELoss"}}
    cfg = {"losses": losses, "targets": {"far": "bright"}, "preprocess": {"type": "Halving", "factor": 0.5}}
    assert Restorer.check(cfg, {}) == []
