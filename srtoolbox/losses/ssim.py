"""Losses over structural similarity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.devices import exact_convolutions
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.losses.pixel import PixelLoss
from srtoolbox.registry import LOSSES

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class _Similarity(PixelLoss):
    """Base: means of luminance and of contrast times structure, over 11x11 Gaussian windows."""

    window: Tensor

    def __init__(self, weight: float) -> None:
        super().__init__(weight)
        offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
        window = torch.exp(-offsets.square() / (2 * SIGMA**2))
        self.register_buffer("window", (window / window.sum()).float().view(1, 1, 1, -1), persistent=False)

    def similarity(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (N, C) means of SSIM, and of its part without the luminance."""
        count, channels = pred.shape[:2]
        stacked = torch.stack([pred, target, pred.square(), target.square(), pred * target])
        planes = stacked.flatten(0, 2)[:, None]
        window = self.window.to(planes.dtype)
        with exact_convolutions():  # variances are small differences of these
            means = F.conv2d(F.conv2d(planes, window), window.transpose(2, 3))
        x, y, xx, yy, xy = means.view(5, count, channels, *means.shape[2:])
        structure = (2 * (xy - x * y) + C2) / (xx - x.square() + yy - y.square() + C2)
        luminance = (2 * x * y + C1) / (x.square() + y.square() + C1)
        return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


@LOSSES.register
class SSIMLoss(_Similarity):
    """1 - SSIM of images in [0, 1], the mean over channels and images.

    Wang et al.: "Image quality assessment: from error visibility to structural similarity" (IEEE
    TIP 2004), as `metrics.ssim`.

    Args:
        weight: factor of the returned value.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        _require_size("SSIMLoss", pred, WINDOW)
        return 1 - self.similarity(pred, target)[0].mean()


@LOSSES.register
class MSSSIMLoss(_Similarity):
    """1 - MS-SSIM of images in [0, 1]: SSIM over scales, each half the size of the one before.

    Wang, Simoncelli, Bovik: "Multiscale structural similarity for image quality assessment"
    (Asilomar 2003). Five scales take crops of at least 176 pixels; four 88, three 44.

    Args:
        weight: factor of the returned value.
        scales: exponents from the finest scale to the coarsest. Fewer than the paper's five, for
            smaller crops, are divided by their sum.
    """

    def __init__(self, weight: float = 1.0, scales: Sequence[float] | int = SCALES) -> None:
        super().__init__(weight)
        exponents = SCALES[:scales] if isinstance(scales, int) else tuple(scales)
        if not exponents or min(exponents) <= 0 or (isinstance(scales, int) and not 0 < scales <= len(SCALES)):
            fault = f"scales={scales!r} is not possible; it is exponents above 0, or how many of the paper's five"
            raise ConfigError(f"MSSSIMLoss: {fault}", key="scales")
        total = sum(exponents) if len(exponents) < len(SCALES) else 1.0
        self.exponents = [exponent / total for exponent in exponents]

    def distance(self, pred: Tensor, target: Tensor) -> Tensor:
        _require_size("MSSSIMLoss", pred, WINDOW * 2 ** (len(self.exponents) - 1))
        product: Tensor | float = 1.0
        for number, exponent in enumerate(self.exponents, start=1):
            whole, structure = self.similarity(pred, target)
            is_last = number == len(self.exponents)
            # of a negative number no power is real; and at 0 the gradient of one is infinite
            product = product * (whole if is_last else structure).clamp_min(1e-6) ** exponent
            if not is_last:
                pred, target = (F.avg_pool2d(image, 2) for image in (pred, target))
        return 1 - torch.as_tensor(product).mean()


def _require_size(owner: str, image: Tensor, side: int) -> None:
    height, width = image.shape[-2:]
    if min(height, width) < side:
        advice = "train on larger crops" + (", or with fewer scales (scales=3)" if owner == "MSSSIMLoss" else "")
        raise SrtoolboxError(f"{owner}: an image of {height}x{width} px is smaller than {side}x{side}; {advice}")
