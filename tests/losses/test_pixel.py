from __future__ import annotations

import numpy as np
import pytest
import torch

from srtoolbox.errors import SrtoolboxError
from srtoolbox.registry import LOSSES

FORMULAS = {
    "L1Loss": lambda d: np.abs(d),
    "MSELoss": lambda d: d**2,
    "CharbonnierLoss": lambda d: np.sqrt(d**2 + 1e-3**2),
}


def pair(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(2, 3, 8, 9, generator=generator).to(dtype) for _ in range(2))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_against_numpy(name, weight):
    pred, target = pair()
    loss = LOSSES.build({"type": name, "weight": weight})
    expected = weight * FORMULAS[name](pred.double().numpy() - target.double().numpy()).mean()
    assert loss.weight == weight
    assert loss(pred, target).shape == ()
    assert loss(pred, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_float32_inside_autocast_and_for_half_inputs(name):
    pred, target = pair(torch.bfloat16)
    loss = LOSSES.build({"type": name})
    expected = FORMULAS[name](pred.double().numpy() - target.double().numpy()).mean()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(pred, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_broadcastable_shape_is_still_refused(name):
    with pytest.raises(SrtoolboxError, match=rf"{name}: prediction \(2, 1, 8, 8\) and target \(2, 3, 8, 8\)"):
        LOSSES.build({"type": name})(torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients(name):
    pred, target = (t.double().requires_grad_() for t in pair())
    loss = LOSSES.build({"type": name})
    value = loss(pred, target)
    value.backward()
    d = (pred - target).detach()
    expected = {"L1Loss": d.sign(), "MSELoss": 2 * d, "CharbonnierLoss": d / (d**2 + 1e-6).sqrt()}[name] / d.numel()
    torch.testing.assert_close(pred.grad, expected, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(target.grad, -expected, rtol=1e-4, atol=1e-8)


def test_charbonnier_is_smooth_at_zero_and_needs_eps():
    pred = torch.zeros(1, 1, 2, 2, requires_grad=True)
    LOSSES.build({"type": "CharbonnierLoss"})(pred, torch.zeros(1, 1, 2, 2)).backward()
    assert not pred.grad.any()
    with pytest.raises(SrtoolboxError, match="eps"):
        LOSSES.build({"type": "CharbonnierLoss", "eps": 0})


@pytest.mark.parametrize("name", FORMULAS)
def test_every_loss_has_a_weight_that_scales_it(name):
    pred, target = pair()
    one, half = (LOSSES.build({"type": name, "weight": weight}) for weight in (1.0, 0.5))
    assert half(pred, target).item() == pytest.approx(one(pred, target).item() / 2)
