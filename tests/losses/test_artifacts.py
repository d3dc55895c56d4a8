"""LDL against its formula written pixel by pixel, and what a loss gets that asks for more than two images."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srtoolbox import registry
from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.models.restorers.base import asked_for
from srtoolbox.registry import LOSSES
from tests.engine.runs import differing, final_state, run


def ldl(pred: np.ndarray, target: np.ndarray, averaged: np.ndarray, window: int) -> float:
    total, reach = 0.0, window // 2
    for image, truth, other in zip(pred, target, averaged, strict=True):
        residual, before = (np.abs(each - truth).sum(0) for each in (image, other))
        padded = np.pad(residual, reach, mode="reflect")
        for row, column in np.ndindex(*residual.shape):
            if residual[row, column] >= before[row, column]:
                near = padded[row : row + window, column : column + window].var(ddof=1)
                factor = residual.var(ddof=1) ** 0.2 * near
                total += factor * np.abs(image - truth)[:, row, column].sum()
    return total / pred.size


@pytest.mark.parametrize("window", [7, 3])
def test_against_the_formula(window: int) -> None:
    generator = torch.Generator().manual_seed(0)
    target, *noise = torch.rand(3, 2, 3, 12, 10, generator=generator)
    pred, averaged = (target + 0.2 * (each - 0.5) for each in noise)
    loss = LOSSES.build({"type": "LDLLoss", "weight": 0.5, "window": window})
    expected = 0.5 * ldl(pred.double().numpy(), target.double().numpy(), averaged.double().numpy(), window)
    assert loss(pred, target, averaged).item() == pytest.approx(expected, rel=1e-4)
    same = target.clone().requires_grad_()
    loss(same, target, target).backward()
    assert same.grad is not None and same.grad.isfinite().all()


def test_impossible_windows_and_shapes_are_told() -> None:
    with pytest.raises(ConfigError, match="window=4 is not possible; it is an odd whole number"):
        LOSSES.build({"type": "LDLLoss", "window": 4})
    with pytest.raises(SrtoolboxError, match=r"LDLLoss: prediction \(1, 3, 8, 8\) and target \(1, 1, 8, 8\) differ"):
        LOSSES.build({"type": "LDLLoss"})(torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))


LDL = "model.losses.ldl={'type': 'LDLLoss'}"


def test_a_run_with_the_average_resumes_bit_for_bit(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole", LDL)
    run(tiny_config, tmp_path / "parts", LDL, "max_iters=10")
    run(tiny_config, tmp_path / "parts", LDL, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    run(tiny_config, tmp_path / "without")
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "without"))


def test_the_check_says_that_an_average_is_missing(tiny_config: Path) -> None:
    check(Config.fromfile(tiny_config, [LDL]))
    with pytest.raises(ConfigError, match=r"losses.ldl: LDLLoss compares .* add hooks=dict\(ema=dict\(type='EMAHook'"):
        check(Config.fromfile(tiny_config, [LDL, "hooks.ema=None"]))


class FromInput(nn.Module):
    """Asks for the network's input."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, pred: Tensor, target: Tensor, lq: Tensor) -> Tensor:
        assert lq.shape[-1] * 3 == pred.shape[-1] == target.shape[-1]
        return (pred - target).abs().mean() + lq.mean() * 0


class FromElsewhere(nn.Module):
    """Asks for what there is not."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, pred: Tensor, target: Tensor, depth: Tensor) -> Tensor:
        return (pred - target).abs().mean() * depth


def test_a_loss_gets_what_its_parameters_name(
    tiny_config: Path, tmp_path: Path, register: Callable[[object, object], object]
) -> None:
    register(LOSSES, FromInput)
    register(LOSSES, FromElsewhere)
    run(tiny_config, tmp_path / "run", "model.losses.more={'type': 'FromInput'}", "max_iters=2")
    with pytest.raises(ConfigError, match="FromElsewhere asks for 'depth'; there are lq and sr_ema"):
        check(Config.fromfile(tiny_config, ["model.losses.more={'type': 'FromElsewhere'}"]))


class FromNothingMore(nn.Module):
    """Takes whatever else it is given."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, pred: Tensor, target: Tensor, *more: Tensor, **named: Tensor) -> Tensor:
        return (pred - target).abs().mean()


def test_a_loss_that_takes_any_arguments_asks_for_none(
    tiny_config: Path, register: Callable[[object, object], object]
) -> None:
    register(LOSSES, FromNothingMore)
    check(Config.fromfile(tiny_config, ["model.losses.more={'type': 'FromNothingMore'}"]))
    assert asked_for(FromNothingMore) == ()


def test_annotations_of_a_loss_are_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.14 on they may name what only type checkers import."""
    formats = types.SimpleNamespace(Format=types.SimpleNamespace(FORWARDREF="forward references"))
    monkeypatch.setattr(registry, "annotationlib", formats)
    plain, options = inspect.signature, []

    def noted(entry: Callable[..., object], **given: object) -> inspect.Signature:
        options.append(given)
        return plain(entry)

    monkeypatch.setattr(inspect, "signature", noted)
    assert asked_for(FromInput) == ("lq",)
    assert options == [{"annotation_format": "forward references"}]
