"""Losses over the spectrum of images: all frequencies count, where in pixels few decide."""

from __future__ import annotations

import torch
from torch import Tensor

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_choice
from srtoolbox.losses.pixel import PixelLoss
from srtoolbox.registry import LOSSES


@LOSSES.register
class FFTLoss(PixelLoss):
    """|FFT(pred) - FFT(target)|, mean over real and imaginary parts (SAFMN, ShuffleMixer).

    The transform is not normalised, as there: its values are sums over all pixels, and usual
    weights small (0.05).

    Args:
        weight: factor of the returned value.
        part: 'complex', or 'magnitude' for the difference of the magnitudes, which lets phases be.
    """

    def __init__(self, weight: float = 0.05, part: str = "complex") -> None:
        super().__init__(weight)
        require_choice("FFTLoss", "part", part, ("complex", "magnitude"))
        self.part = part

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        if self.part == "magnitude":
            # the gradient of a magnitude at 0 is 0 in torch: padding and flat images are no trouble
            return (torch.fft.fft2(pred).abs() - torch.fft.fft2(target).abs()).abs().mean()
        return torch.view_as_real(torch.fft.fft2(pred - target)).abs().mean()


@LOSSES.register
class FocalFrequencyLoss(PixelLoss):
    """Squared distance of spectra, the frequencies that are far off weighted most.

    Jiang, Dai, Wu, Loy: "Focal frequency loss for image reconstruction and synthesis" (ICCV 2021,
    arXiv:2012.12821). The transform is orthonormal; the weight of a frequency is its distance to
    the power `alpha` over the largest of its channel, and passes no gradient.

    Args:
        weight: factor of the returned value.
        alpha: how much the hard frequencies count more, at least 0.
    """

    def __init__(self, weight: float = 1.0, alpha: float = 1.0) -> None:
        super().__init__(weight)
        if alpha < 0:
            raise ConfigError(f"FocalFrequencyLoss: alpha={alpha!r} is not possible; it is at least 0", key="alpha")
        self.alpha = alpha

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        squares = torch.view_as_real(torch.fft.fft2(pred - target, norm="ortho")).square().sum(-1)
        with torch.no_grad():
            focus = squares.sqrt() ** self.alpha
            focus = (focus / focus.amax((-2, -1), keepdim=True)).nan_to_num(0).clamp(0, 1)
        return (focus * squares).mean()
