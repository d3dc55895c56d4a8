"""Networks that were trained on other numbers than RGB or luma in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import NetworkWrapper, require_choice, require_positive
from srtoolbox.registry import NETWORKS

# facts of some networks only (see `blocks`), each with the methods that it allows to call
_ORDERS = ("rgb", "bgr", "ycbcr")
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JPEG's
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
_GRAY = (0.0, 128 / 255, 128 / 255)  # of YCbCr
_OPTIONAL = {"reconstruct_field": ("extract", "reconstruct"), "refine_field": ("refine",)}


@NETWORKS.register
class Adapter(NetworkWrapper):
    """Another network, fed with `peak * (lq - mean)`, its output taken back to [0, 1].

    All conventions of other projects are an order of the channels and such a map: images in 0 ...
    255 are `peak=255`, in [-1, 1] `peak=2, mean=0.5`, full-range luma (JPEG's) `peak=255 / 219,
    mean=16 / 255`.

    Args:
        scale: upscaling factor.
        network: the other network, `dict(type='ESPCN', ...)`, of this scale, which may be left out.
            None is bicubic: it shows what the conversion alone does. Or a network that is there.
        order: of the channels it takes and gives: 'rgb', 'bgr' as of images that OpenCV read, or
            'ycbcr' for luma and chroma of the full range, as JPEG's.
        peak: what the input is multiplied by.
        mean: what is subtracted before: one number, or one per channel (red, green, blue).
        output_peak, output_mean: those of the output; None: the input's.
    """

    def __init__(
        self,
        scale: int,
        network: Mapping[str, Any] | nn.Module | None = None,
        *,
        order: str = "rgb",
        peak: float = 1.0,
        mean: float | Sequence[float] = 0.0,
        output_peak: float | None = None,
        output_mean: float | Sequence[float] | None = None,
    ) -> None:
        require_positive("Adapter", scale=scale)
        require_choice("Adapter", "order", order, _ORDERS)
        inner: Any = network
        if not isinstance(network, nn.Module):
            inner = NETWORKS.build({"scale": scale, **(network or {"type": "Bicubic"})})
        if inner.scale != scale:
            raise ConfigError(f"Adapter: scale={scale}, but its network upscales x{inner.scale}", key="scale")
        if order != "rgb" and inner.colour != "rgb":
            fault = f"order={order!r} is for networks of three channels, its network has colour='y'"
            raise ConfigError(f"Adapter: {fault}", key="order")
        super().__init__(inner)
        for fact, methods in _OPTIONAL.items():
            if all(hasattr(inner, name) for name in (fact, *methods)):
                setattr(self, fact, getattr(inner, fact))
        self.order, self.peak, self.mean = order, peak, mean
        self.output_peak = peak if output_peak is None else output_peak
        self.output_mean = mean if output_mean is None else output_mean
        for name, value in (("mean", self.mean), ("output_mean", self.output_mean)):
            if not isinstance(value, int | float) and len(value) != self.in_channels:
                fault = f"is not possible; it is one number or {self.in_channels}"
                raise ConfigError(f"Adapter: {name}={value!r} {fault}", key=name)
        if not (self.peak > 0 and self.output_peak > 0):
            fault = f"peak={peak!r}, output_peak={output_peak!r}; both are above 0"
            raise ConfigError(f"Adapter: {fault}", key="peak" if peak <= 0 else "output_peak")

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.leave(self.network(self.enter(lq)))

    def extract(self, lq: Tensor) -> Tensor:
        """The network's features of (N, C, H, W), where it splits (has `reconstruct_field`)."""
        return self.network.extract(self.enter(lq))

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """Features of `lq` -> (N, C, scale * H, scale * W); sees `reconstruct_field` pixels."""
        return self.leave(self.network.reconstruct(features, self.enter(lq)))

    def refine(self, upscaled: Tensor) -> Tensor:
        """Return the output for an interpolated image (with `refine_field`)."""
        # the weights of an interpolation add up to one: it may precede the affine map
        return self.leave(self.network.refine(self.enter(upscaled)))

    def enter(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> what the network takes."""
        if self.order == "ycbcr":
            image = _mixed(image, _TO_YCBCR) + _per_channel(_GRAY, image)
        return self._ordered((image - _per_channel(self.mean, image)) * self.peak)

    def leave(self, result: Tensor) -> Tensor:
        """(N, C, H, W) of the network -> in [0, 1]."""
        sr = self._ordered(result)
        sr = sr / self.output_peak + _per_channel(self.output_mean, sr)
        return _mixed(sr - _per_channel(_GRAY, sr), _TO_RGB) if self.order == "ycbcr" else sr

    def _ordered(self, image: Tensor) -> Tensor:
        return image.flip(1) if self.order == "bgr" else image


def _per_channel(value: float | Sequence[float], like: Tensor) -> Tensor | float:
    if isinstance(value, int | float):
        return value
    return torch.tensor(value, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def _mixed(image: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Return the three channels mixed, row by row of a matrix."""
    first, second, third = image.unbind(1)
    return torch.stack([row[0] * first + row[1] * second + row[2] * third for row in matrix], 1)
