"""A loss over the artefacts of GANs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.losses.pixel import exact, require_one_shape
from srtoolbox.registry import LOSSES

LEAST = 1e-12  # of a variance under a root, whose gradient at 0 is infinite


@LOSSES.register
class LDLLoss(nn.Module):
    """|pred - target| times how likely each pixel is an artefact: locally discriminative learning.

    Liang, Zeng, Zhang: "Details or artifacts: a locally discriminative learning approach to
    realistic image super-resolution" (CVPR 2022, arXiv:2203.09195). The factor is the variance of
    the residual in a pixel's window, times that of the whole image to the power 0.2; 0 where the
    network is nearer to the target than its average is. Gradients pass through it, as in the
    authors' code. Needs an EMAHook.

    Args:
        weight: factor of the returned value.
        window: sides of the window, odd; the images' borders are mirrored.
    """

    def __init__(self, weight: float = 1.0, window: int = 7) -> None:
        super().__init__()
        if not isinstance(window, int) or window < 3 or window % 2 == 0:
            fault = f"window={window!r} is not possible; it is an odd whole number from 3"
            raise ConfigError(f"LDLLoss: {fault}", key="window")
        self.weight, self.window = weight, window

    def forward(self, pred: Tensor, target: Tensor, sr_ema: Tensor) -> Tensor:
        """(N, C, H, W) each -> weighted scalar, float32.

        `sr_ema` is the averaged network's output.
        """
        require_one_shape("LDLLoss", pred, target)
        (height, width), least = pred.shape[-2:], self.window // 2 + 1
        if min(height, width) < least:
            fault = f"an image of {height}x{width} px is too small for window={self.window}"
            raise SrtoolboxError(f"LDLLoss: {fault}; train on crops from {least} pixels, or with a smaller window")
        with exact(pred):
            pred, target = pred.float(), target.float()
            factor = self.artifacts((pred - target).abs().sum(1, keepdim=True), (sr_ema.float() - target).abs())
            return self.weight * (factor * (pred - target)).abs().mean()

    def artifacts(self, residual: Tensor, averaged: Tensor) -> Tensor:
        """Return (N, 1, H, W), how likely each pixel is an artefact.

        Args:
            residual: (N, 1, H, W), the sum over channels of the network's absolute error.
            averaged: (N, C, H, W), the absolute error of its average.
        """
        whole = residual.var((1, 2, 3), keepdim=True).clamp_min(LEAST) ** 0.2
        reach = self.window // 2
        padded = F.pad(residual, (reach, reach, reach, reach), mode="reflect")
        windows = padded.unfold(2, self.window, 1).unfold(3, self.window, 1)
        near = windows.var((-2, -1))
        return torch.where(residual < averaged.sum(1, keepdim=True), 0.0, whole * near)
