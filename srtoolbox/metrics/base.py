"""The base of all metrics, and the two protocols, which must always be named beside a figure.

`rgb`: pred and target are RGB, both rounded to 8 bit as if saved; with `y_channel` the unrounded
BT.601 luma of that is measured. The convention of RGB networks' papers and of today's toolboxes.
`y_direct`: pred and target are luma, both rounded to 8 bit: a Y network's own output, no colour
image in between. The convention of the SRCNN, FSRCNN and VDSR tables; 0.02-0.06 dB below `rgb`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from srtoolbox.devices import to_exact
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError
from srtoolbox.image.pixels import squared_distance

PROTOCOLS = {"rgb": 3, "y_direct": 1}  # with their channels
LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # BT.601: luma = 16 + LUMA @ rgb, in levels
BAND = 1 << 17  # values per band


class Metric:
    """Base of the metrics, stateless: `evaluate` averages over images and ranks.

    Args:
        crop_border: px left out at each side of the image; papers use the scale.
        y_channel: measure luma; False: R, G and B alike (protocol `rgb` only).
        protocol: 'rgb' or 'y_direct', see the module.
    """

    higher_is_better: bool | None
    """None: neither, as of a ratio that is best near 1; it keeps no best checkpoint."""
    needs_target: ClassVar[bool] = True
    """False: it judges an image alone, by `score_images(pred)` or `score(pred)`."""
    is_perceptual: ClassVar[bool] = False
    """True: it says how natural images look, rather than how far pixels are from the truth's."""

    def __init__(self, crop_border: int = 0, y_channel: bool = True, protocol: str = "rgb") -> None:
        faults = _option_faults(crop_border, y_channel, protocol)
        if type(self).score is Metric.score and type(self).score_images is Metric.score_images:
            faults.append(Fault("type", "it lacks score(pred, target) -> (N,), see docs/add_a_component.md"))
        if faults:
            raise ConfigError([fault.of(type(self).__name__) for fault in faults])
        self.crop_border, self.y_channel, self.protocol = crop_border, y_channel, protocol

    def __init_subclass__(cls) -> None:
        """Let a `score` written over that of a metric which measures by `score_images` count."""
        super().__init_subclass__()
        if "score" in vars(cls) and "score_images" not in vars(cls):
            cls.score_images = Metric.score_images  # type: ignore[method-assign]  # of this class alone

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Return the faults in the arguments, before anything is built."""
        return _option_faults(cfg.get("crop_border", 0), cfg.get("y_channel", True), cfg.get("protocol", "rgb"))

    def __call__(self, pred: Tensor, target: Tensor | None = None) -> Tensor:
        """Score a batch of images.

        Args:
            pred, target: (N, 3, H, W) for protocol 'rgb', (N, 1, H, W) for 'y_direct'; float in
                [0, 1], or uint8 levels. The target is not looked at where `needs_target` is False.

        Returns:
            (N,) float64 on the same device (of MPS on the CPU, since it has no float64).

        Raises:
            SrtoolboxError: shapes that differ, do not fit the protocol or are too small for the
                border; no target where one is needed; a `score` that is not a number per image.
        """
        images = self._images(pred, target)
        height, width = (slice(self.crop_border, side - self.crop_border) for side in pred.shape[-2:])
        images = [to_exact(image)[..., height, width] for image in images]
        kind = images[0].device.type
        exact = torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else contextlib.nullcontext()
        with torch.no_grad(), exact:
            return self._checked(self._scores(images), len(pred))

    def score(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return (N,), a number per image, of the measured planes; own metrics implement it.

        Where `needs_target` is False, it is called with `pred` alone.

        Args:
            pred, target: (N, C, h, w) float32, borders cut, clipped and rounded to 8 bit as if
                saved, levels / 255. Luma (C = 1, in [16/255, 235/255]; protocol 'rgb': unrounded,
                since taken of rounded RGB), or with `y_channel=False` RGB (C = 3, in [0, 1]).
        """
        raise NotImplementedError

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return (N,) of two batches as `__call__` got them, but with their borders cut.

        To override where the planes of `score` are not what is measured, or take long to make:
        `planes`, `as_saved`, `mean_square` and `mean_of_difference` do what the protocol asks.
        """
        return self.score(*[self.planes(image, torch.float32).div_(255) for image in (pred, target)])

    def _scores(self, images: Sequence[Tensor]) -> Tensor:
        """Return the scores of the prediction, alone or beside the target."""
        if type(self).score_images is not Metric.score_images:
            return self.score_images(*images)
        return self.score(*[self.planes(image, torch.float32).div_(255) for image in images])

    def planes(self, image: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the measured planes in levels: (N, 1, h, w) luma, or (N, C, h, w) 0 ... 255."""
        levels = _levels(image).to(dtype)
        return _luma(levels).add_(16) if self._takes_luma else levels

    def as_saved(self, image: Tensor) -> Tensor:
        """(N, C, h, w) float32 in [0, 1], rounded to 8 bit: what reading the saved image gives."""
        return _levels(image).div_(255)

    def mean_square(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) float64: mean squared difference over an image, in squared levels."""
        if {image.dtype for image in (pred, target)} != {torch.uint8} or pred.device.type != "cpu":
            return self.mean_of_difference(pred, target, lambda diff: torch.linalg.vecdot(diff, diff).double())
        weights = LUMA if self._takes_luma else None
        sums = [squared_distance(*pair, weights) for pair in zip(pred.numpy(), target.numpy(), strict=True)]
        count = pred[0, 0].numel() * (1 if weights else pred.shape[1])
        return torch.tensor(sums, dtype=torch.float64) / count

    def mean_of_difference(self, pred: Tensor, target: Tensor, total: Callable[[Tensor], Tensor]) -> Tensor:
        """(N,) float64: mean over an image of a function of pred - target in levels.

        Args:
            total: maps (N, M) float32 differences to their (N,) float64 sum.
        """
        # luma is linear: one conversion does for both; bands of rows stay in the CPU's cache
        count, channels, height, width = pred.shape
        rows = max(1, BAND // (channels * width)) if pred.device.type == "cpu" else height
        result = pred.new_zeros(count, dtype=torch.float64)
        for top in range(0, height, rows):
            band = slice(top, top + rows)
            diff = _levels(pred[..., band, :]).sub_(_levels(target[..., band, :]))
            result += total((_luma(diff) if self._takes_luma else diff).flatten(1))
        return result / (height * width * (1 if self._takes_luma else channels))

    @property
    def _takes_luma(self) -> bool:
        return self.protocol == "rgb" and self.y_channel

    def _images(self, pred: Tensor, target: Tensor | None) -> list[Tensor]:
        """Return the images that are looked at, or raise what is wrong with them."""
        name = type(self).__name__
        channels = PROTOCOLS[self.protocol]
        if not self.needs_target:
            target = None
        elif target is None:
            raise SrtoolboxError(f"{name} compares images with their truth: call it with (pred, target)")
        if target is not None and pred.shape != target.shape:
            shapes = f"prediction {tuple(pred.shape)} and target {tuple(target.shape)}"
            raise SrtoolboxError(f"{name}: {shapes} differ in shape")
        if pred.dim() != 4 or pred.shape[1] != channels:
            need = f"protocol {self.protocol!r} measures (N, {channels}, H, W)"
            raise SrtoolboxError(f"{name}: {need}, got {tuple(pred.shape)}")
        if min(pred.shape[-2:]) <= 2 * self.crop_border:
            fault = f"crop_border={self.crop_border} leaves nothing of an image"
            raise SrtoolboxError(f"{name}: {fault} of {pred.shape[-2]}x{pred.shape[-1]} px")
        return [pred] if target is None else [pred, target]

    def _checked(self, scores: object, count: int) -> Tensor:
        """Return a `score` as (N,) float64, or raise an error that asks for such a one."""
        if isinstance(scores, Tensor) and scores.shape == (count,) and not scores.is_complex():
            return scores.double()
        got = f"a tensor {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise SrtoolboxError(
            f"{type(self).__name__}.score returned {got} for {count} image{'s' if count > 1 else ''}: return a tensor "
            f"({count},), one number per image, such as difference.square().flatten(1).mean(1)"
        )


def _option_faults(crop_border: object, y_channel: object, protocol: object) -> list[Fault]:
    faults = []
    if protocol not in PROTOCOLS:
        fault = f"protocol={protocol!r} is not possible; allowed: {', '.join(PROTOCOLS)}"
        faults.append(Fault("protocol", fault))
    if protocol == "y_direct" and not y_channel:
        fault = "protocol 'y_direct' measures luma only; y_channel=False contradicts it"
        faults.append(Fault("y_channel", fault))
    if not isinstance(crop_border, int) or crop_border < 0:
        fault = f"crop_border={crop_border!r} is not possible; it is a whole number of pixels"
        faults.append(Fault("crop_border", fault))
    return faults


def _levels(image: Tensor) -> Tensor:
    """Whole numbers 0 ... 255 as float32, in new memory: what a saved image holds."""
    levels = image.float()
    return levels if image.dtype == torch.uint8 else levels.mul(255).round_().clamp_(0, 255)


def _luma(rgb: Tensor) -> Tensor:
    """The linear part of `image.rgb_to_y`, (N, 3, h, w) -> (N, 1, h, w): 0 stays exactly 0."""
    red, green, blue = LUMA
    return torch.mul(rgb[:, :1], red).add_(rgb[:, 1:2], alpha=green).add_(rgb[:, 2:], alpha=blue)
