"""Structural similarity.

Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity" (IEEE TIP
2004): 11x11 Gaussian window of sigma 1.5, population covariance, only where the window lies inside the picture; per
channel, then the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
DTYPES = {"float32": torch.float32, "float64": torch.float64}
BAND = 1 << 16  # windows per band


@METRICS.register
class SSIM(Metric):
    """Mean structural similarity, at most 1.

    Args:
        crop_border: px left out at each side of the picture; papers use the scale.
        y_channel: measure luma; False: the mean over R, G and B.
        protocol: 'rgb' or 'y_direct', see `metrics.base`.
        dtype: 'float32' (off by about 1e-7, by up to 1e-5 where half the picture is black or white) or 'float64' (exact
            to rounding, about twice the time).
    """

    higher_is_better = True

    def __init__(
        self, crop_border: int = 0, y_channel: bool = True, protocol: str = "rgb", *, dtype: str = "float32"
    ) -> None:
        super().__init__(crop_border, y_channel, protocol)
        if dtype not in DTYPES:
            raise ConfigError(f"SSIM: dtype={dtype!r} is not possible; allowed: {', '.join(DTYPES)}")
        self.dtype = dtype

    def score(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) in [-1, 1]."""
        height, width = pred.shape[-2:]
        if min(height, width) < WINDOW:
            raise SrtoolboxError(
                f"SSIM: a picture of {height}x{width} px (borders cut) is smaller than the {WINDOW}x{WINDOW} window"
            )
        return torch.stack([self._mean(*pair) for pair in zip(pred.split(1), target.split(1), strict=True)])

    def _mean(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean over all windows and planes of one picture (1, C, H, W), on the CPU in bands that stay in its cache."""
        height, width = pred.shape[-2] - WINDOW + 1, pred.shape[-1] - WINDOW + 1
        rows = max(WINDOW, BAND // width) if pred.device.type == "cpu" else height
        total = pred.new_zeros((), dtype=torch.float64)
        for top in range(0, height, rows):
            band = slice(top, min(top + rows, height) + WINDOW - 1)
            planes = [self.planes(picture[..., band, :], DTYPES[self.dtype])[0] for picture in (pred, target)]
            for pair in zip(*planes, strict=True):
                total += _ssim_map(*pair).sum(dtype=torch.float64)
        return total / (len(planes[0]) * height * width)


def _ssim_map(pred: Tensor, target: Tensor) -> Tensor:
    """SSIM of every window of a band, (h, w) -> (h - 10, w - 10)."""
    maps = pred.new_empty((pred.shape[0], 4, pred.shape[1]))
    # variances do not change with an offset; around the middle level their differences of squares lose fewer digits
    p = torch.sub(pred, 128, out=maps[:, 0])
    t = torch.sub(target, 128, out=maps[:, 1])
    torch.mul(p, t, out=maps[:, 2])
    torch.mul(p, p, out=maps[:, 3]).addcmul_(t, t)
    mean_p, mean_t, product, squares = _blur(maps).unbind(1)
    means = mean_p * mean_t
    mean_squares = (mean_p * mean_p).addcmul_(mean_t, mean_t)
    covariance = product.sub_(means).mul_(2).add_(C2)
    variances = squares.sub_(mean_squares).add_(C2)
    offset = mean_p.add_(mean_t).mul_(256).add_(2 * 128**2 + C1)  # what the 128 adds to both products of means
    luminance = means.mul_(2).add_(offset).div_(mean_squares.add_(offset))
    return luminance.mul_(covariance.div_(variances))


def _blur(maps: Tensor) -> Tensor:
    """Separable Gaussian by shifted sums, (h, 4, w) -> (h - 10, 4, w - 10); on a CPU far quicker than convolutions.

    Both passes run over flat memory, so that every operand is one contiguous slice; the horizontal pass computes 10
    values too many at the end of each row, which are cut off.
    """
    taps = torch.exp(-((torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    taps = (taps / taps.sum()).tolist()
    height, count, width = maps.shape
    vertical = _shifted_sum(maps.flatten(), taps, count * width)
    blurred = maps.new_empty(vertical.numel())
    _shifted_sum(vertical, taps, 1, out=blurred[: vertical.numel() - WINDOW + 1])
    return blurred.view(height - WINDOW + 1, count, width)[..., : width - WINDOW + 1]


def _shifted_sum(flat: Tensor, taps: list[float], step: int, out: Tensor | None = None) -> Tensor:
    length = flat.numel() - (len(taps) - 1) * step
    total = torch.mul(flat[:length], taps[0], out=out)
    for number, tap in enumerate(taps[1:], start=1):
        total.add_(flat[number * step : number * step + length], alpha=tap)
    return total
