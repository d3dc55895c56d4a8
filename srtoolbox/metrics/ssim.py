"""Structural similarity.

Wang et al.: "Image quality assessment: from error visibility to structural similarity" (IEEE TIP
2004): 11x11 Gaussian window of sigma 1.5, population covariance, only where the window lies inside
the image; per channel, then the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.image.pixels import window_means
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
REACH = 128.0
DTYPES = {"float32": torch.float32, "float64": torch.float64}
BAND = 1 << 16  # windows per band


@METRICS.register
class SSIM(Metric):
    """Mean structural similarity, at most 1.

    Args:
        crop_border: px left out at each side of the image; papers use the scale.
        y_channel: measure luma; False: the mean over R, G and B.
        protocol: 'rgb' or 'y_direct', see `metrics.base`.
        dtype: 'float32' (off by at most 1e-6) or 'float64' (exact, in about twice the time).
    """

    higher_is_better = True

    def __init__(
        self, crop_border: int = 0, y_channel: bool = True, protocol: str = "rgb", *, dtype: str = "float32"
    ) -> None:
        super().__init__(crop_border, y_channel, protocol)
        if dtype not in DTYPES:
            raise ConfigError(f"SSIM: dtype={dtype!r} is not possible; allowed: {', '.join(DTYPES)}", key="dtype")
        self.dtype = dtype

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) in [-1, 1]."""
        height, width = pred.shape[-2:]
        if min(height, width) < WINDOW:
            size = f"an image of {height}x{width} px (borders cut)"
            raise SrtoolboxError(f"SSIM: {size} is smaller than the {WINDOW}x{WINDOW} window")
        return torch.stack([self._mean(*pair) for pair in zip(pred.split(1), target.split(1), strict=True)])

    def _mean(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean over windows and planes of an image (1, C, H, W).

        In bands on the CPU, for its cache.
        """
        height, width = pred.shape[-2] - WINDOW + 1, pred.shape[-1] - WINDOW + 1
        rows = max(WINDOW, BAND // width) if pred.device.type == "cpu" else height
        total = pred.new_zeros((), dtype=torch.float64)
        for top in range(0, height, rows):
            band = slice(top, min(top + rows, height) + WINDOW - 1)
            planes = [self.planes(image[..., band, :], DTYPES[self.dtype])[0] for image in (pred, target)]
            for plane, true_plane in zip(*planes, strict=True):
                total += _ssim_map(plane, true_plane, self._centre(true_plane)).sum(dtype=torch.float64)
        return total / (len(planes[0]) * height * width)

    def _centre(self, target: Tensor) -> float | Tensor:
        """The level to reckon from: a power of two from black, or in bright images from white.

        The squares of flat black and white, which have no variance, are then exact in float32.
        """
        black, white = (0, 255) if self.protocol == "rgb" and not self.y_channel else (16, 235)
        is_dark = target.mean() < (black + white) / 2
        if is_dark.device.type != "cpu":  # nothing waits for the answer
            return torch.where(is_dark, float(black + REACH), float(white - REACH))
        return black + REACH if is_dark else white - REACH


def _ssim_map(pred: Tensor, target: Tensor, centre: float | Tensor) -> Tensor:
    """SSIM of every window of a band, (h, w) -> (h - 10, w - 10), as 1 - difference, twice.

    By sum and difference of the images: a small difference keeps digits that float32 would lose
    where a covariance is subtracted from variances, in the dark above all.
    """
    maps = pred.new_empty((4, *pred.shape))
    # variances do not change with an offset
    torch.add(pred, target, out=maps[0]).sub_(2 * centre)
    torch.sub(pred, target, out=maps[1])
    torch.mul(maps[:2], maps[:2], out=maps[2:])
    mean_sum, mean_difference, sum_squares, difference_squares = _window_means(maps).unbind()
    squared_difference = mean_difference * mean_difference
    variance = difference_squares - squared_difference
    variances = sum_squares.addcmul(mean_sum, mean_sum, value=-1).add_(variance).mul_(0.5).add_(C2)
    means = (mean_sum + 2 * centre).square_().add_(squared_difference).mul_(0.5).add_(C1)
    luminance = squared_difference.div_(means).neg_().add_(1)
    return variance.div_(variances).neg_().add_(1).mul_(luminance)


def _window_means(maps: Tensor) -> Tensor:
    """Gaussian means over all windows of (4, h, w) -> (4, h - 10, w - 10)."""
    if maps.device.type == "cpu":
        return torch.from_numpy(window_means(maps.numpy(), WINDOW, SIGMA))
    return _blur(maps.transpose(0, 1).contiguous()).transpose(0, 1)


def _blur(maps: Tensor) -> Tensor:
    """Separable Gaussian by shifted sums, (h, 4, w) -> (h - 10, 4, w - 10).

    Both passes run over flat memory, each operand one contiguous slice; the horizontal one computes
    10 values too many at the end of each row, which are cut off.
    """
    gaussian = torch.exp(-((torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    taps = (gaussian / gaussian.sum()).tolist()
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
