"""Losses over single pixels. All are computed in float32, whatever precision the network ran in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.registry import LOSSES


def require_one_shape(owner: str, pred: Tensor, target: Tensor) -> None:
    """Raise an SrtoolboxError where shapes differ, which torch would broadcast without a word."""
    if pred.shape != target.shape:
        shapes = f"prediction {tuple(pred.shape)} and target {tuple(target.shape)} differ"
        raise SrtoolboxError(f"{owner}: {shapes}. Do the network's scale and colour fit the data?")


def exact(pred: Tensor) -> AbstractContextManager[object]:
    """Return a context without mixed precision.

    Nothing where there is none, which takes no time.
    """
    is_mixed = torch.is_autocast_enabled(pred.device.type)
    return torch.autocast(pred.device.type, enabled=False) if is_mixed else nullcontext()


class PixelLoss(nn.Module):
    """Base: `weight` times the mean over all elements of `distance(pred, target)`.

    Args:
        weight: factor of the returned value.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean distance of two float32 tensors of one shape, a scalar."""
        raise NotImplementedError

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N, C, H, W) each -> weighted scalar, float32.

        Raises:
            SrtoolboxError: the shapes differ (torch would broadcast them without a word).
        """
        require_one_shape(type(self).__name__, pred, target)
        with exact(pred):
            loss = self.distance(pred.float(), target.float())
        return loss if self.weight == 1 else self.weight * loss


@LOSSES.register
class L1Loss(PixelLoss):
    """|pred - target|, mean over elements."""

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(pred, target)


@LOSSES.register
class MSELoss(PixelLoss):
    """(pred - target)^2, mean over elements."""

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(pred, target)


@LOSSES.register
class CharbonnierLoss(PixelLoss):
    """sqrt((pred - target)^2 + eps^2), mean over elements (LapSRN, arXiv:1704.03915).

    Args:
        weight: factor of the returned value.
        eps: where the loss turns from quadratic to linear, in units of pixels, [0, 1].
    """

    def __init__(self, weight: float = 1.0, eps: float = 1e-3) -> None:
        super().__init__(weight)
        if eps <= 0:
            raise SrtoolboxError(f"CharbonnierLoss: eps={eps!r} must be positive, or the gradient at 0 is not finite")
        self.eps = eps

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        return torch.sqrt((pred - target).square() + self.eps**2).mean()
