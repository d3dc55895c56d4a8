"""The perceptual loss against numpy formulas over torchvision's own features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.features import FeatureNetwork
from srtoolbox.registry import LOSSES

LAYERS = {"fire3": 1.0, "conv1": 0.25}
CFG = {"type": "PerceptualLoss", "backbone": "squeezenet1_1", "layers": LAYERS, "weights": "random"}
CRITERIA = {
    "l1": lambda d: np.abs(d).mean(),
    "l2": lambda d: (d**2).mean(),
    "mse": lambda d: (d**2).mean(),
    "fro": lambda d: np.mean([np.sqrt((one**2).sum()) for one in d]),
}


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 3, 40, 44, generator=generator) for _ in range(2))


def features_of(*images, **options) -> list[dict[str, np.ndarray]]:
    network = FeatureNetwork("squeezenet1_1", list(LAYERS), weights="random", **options)
    return [{name: value.double().numpy() for name, value in network(image).items()} for image in images]


def grams(features: np.ndarray) -> np.ndarray:
    return np.einsum("nihw,njhw->nij", features, features) / features[0].size


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("normalize_input", [True, False])
def test_against_numpy(criterion, normalize_input):
    pred, target = pair()
    options = {"criterion": criterion, "normalize_input": normalize_input, "style_weight": 3.0, "weight": 0.5}
    loss = LOSSES.build({**CFG, **options})
    got, wanted = features_of(pred, target, normalize_input=normalize_input)
    distance = CRITERIA[criterion]
    content = sum(factor * distance(got[name] - wanted[name]) for name, factor in LAYERS.items())
    style = sum(factor * distance(grams(got[name]) - grams(wanted[name])) for name, factor in LAYERS.items())
    value = loss(pred, target)
    assert value.shape == ()
    assert value.item() == pytest.approx(0.5 * content + 3 * style, rel=1e-4)
    averaged = LOSSES.build({**CFG, **options, "normalize_loss": True})
    assert averaged(pred, target).item() == pytest.approx((0.5 * content + 3 * style) / 1.25, rel=1e-4)


def test_only_the_prediction_gets_a_gradient_and_equal_images_lose_nothing():
    pred, target = (image.requires_grad_() for image in pair())
    loss = LOSSES.build({**CFG, "criterion": "mse"})
    loss(pred, target).backward()
    assert pred.grad.abs().sum() > 0 and target.grad is None
    assert loss(target, target).item() == 0


def test_gradient_against_finite_differences():
    generator = torch.Generator().manual_seed(1)
    pred, target = (torch.rand(1, 3, 19, 19, generator=generator, dtype=torch.float64) for _ in range(2))
    loss = LOSSES.build({**CFG, "layers": {"relu1": 1.0}, "criterion": "mse", "style_weight": 1.0}).double()
    pred.requires_grad_()
    loss(pred, target).backward()
    for place in ((0, 0, 9, 9), (0, 2, 4, 12)):
        step = torch.zeros_like(pred)
        step[place] = 1e-6
        with torch.no_grad():
            slope = (loss(pred + step, target) - loss(pred - step, target)) / 2e-6
        assert pred.grad[place].item() == pytest.approx(slope.item(), rel=1e-4)


def test_float32_under_autocast():
    pred, target = pair()
    loss = LOSSES.build({**CFG, "style_weight": 1.0})
    plain = loss(pred, target)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(pred, target)
    assert value.dtype == torch.float32 and torch.equal(value, plain)


def test_nothing_of_it_is_trained_or_saved():
    loss = LOSSES.build(CFG)
    assert not list(loss.parameters()) and not loss.state_dict()


def test_weight_scales_it():
    pred, target = pair()
    one, half = (LOSSES.build({**CFG, "weight": weight}) for weight in (1.0, 0.5))
    assert half(pred, target).item() == pytest.approx(one(pred, target).item() / 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layers": {"fire33": 1.0}}, "Did you mean 'fire3'"),
        ({"layers": ["fire3"]}, "layers is a dict"),
        ({"layers": {"fire3": "much"}}, "a number as its weight"),
        ({"layers": {}}, "at least one layer"),
        ({"backbone": "vgg20"}, "Did you mean"),
        ({"criterion": "huber"}, "allowed: l1, l2, mse, fro"),
        ({"weights": "absent.pth"}, "no such file"),
        ({"layers": {"fire3": 0.0}, "normalize_loss": True}, "must be positive"),
    ],
)
def test_faults_are_told_at_check_and_at_building(change, told):
    faults = LOSSES.get("PerceptualLoss").check({**CFG, **change}, {})
    assert len(faults) == 1 and told in faults[0]
    with pytest.raises(ConfigError, match=told):
        LOSSES.build({**CFG, **change})


def test_a_good_config_has_no_faults():
    assert LOSSES.get("PerceptualLoss").check(CFG, {}) == []


def test_images_must_fit():
    loss = LOSSES.build(CFG)
    with pytest.raises(SrtoolboxError, match=r"PerceptualLoss: prediction .* differ"):
        loss(torch.rand(1, 3, 40, 40), torch.rand(1, 3, 40, 41))
    with pytest.raises(SrtoolboxError, match="takes RGB"):
        loss(torch.rand(1, 1, 40, 40), torch.rand(1, 1, 40, 40))
