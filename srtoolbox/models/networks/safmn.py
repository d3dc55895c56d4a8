"""SAFMN and SAFMN++: features scaled by themselves, pooled to several sizes; 3x3 channel mixers.

Sun, Dong, Tang, Pan: "Spatially-adaptive feature modulation for efficient image super-resolution"
(ICCV 2023, arXiv:2302.13800).

state_dict, the authors': `to_feat`, `feats.N` with `norm1`, `norm2`, `safm.mfr.{0..3}`, `safm.aggr`
and `ccm.ccm.{0,2}`, `to_img.0`, each `.weight` and `.bias`. SAFMN++, without biases: `to_feat`,
`feats.N` with `conv1.{proj,dwconv,out}` and `conv2.conv.{0,2}` (AIS) or `conv2.{conv1,conv2}`
(NTIRE), `to_img.0`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.models.networks.blocks import ChannelNorm, Step, receptive_field
from srtoolbox.registry import NETWORKS

LEVELS = 4  # of SAFMN's pyramid: the size itself, a half, a quarter, an eighth
COARSEST = 2 ** (LEVELS - 1)


def pooled(features: Tensor, factor: int) -> Tensor:
    """Return the maxima of `factor` x `factor` cells.

    Where the sides are no multiples of it, cells overlap as the authors' adaptive pooling has them.
    """
    height, width = features.shape[-2:]
    if height % factor == 0 and width % factor == 0:
        return F.max_pool2d(features, factor)
    return F.adaptive_max_pool2d(features, (max(height // factor, 1), max(width // factor, 1)))


def mixer_layers(num_features: int, ffn_scale: float, bias: bool) -> list[nn.Module]:
    """Return a 3x3 convolution to `ffn_scale` times the channels, GELU, and a 1x1 one back."""
    hidden = int(num_features * ffn_scale)
    conv = nn.Conv2d(num_features, hidden, 3, padding=1, bias=bias)
    return [conv, nn.GELU(), nn.Conv2d(hidden, num_features, 1, bias=bias)]


def require_wide_mixer(owner: str, num_features: int, ffn_scale: float) -> None:
    """Raise a ConfigError unless the channel mixer has channels."""
    if not num_features * ffn_scale >= 1:
        fault = f"ffn_scale={ffn_scale!r} is not possible; times num_features it is at least 1"
        raise ConfigError(f"{owner}: {fault}", key="ffn_scale")


class Modulation(nn.Module):
    """SAFM: a quarter of the channels at each of four sizes, fused, scales all channels."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        part = num_features // LEVELS
        self.mfr = nn.ModuleList([nn.Conv2d(part, part, 3, padding=1, groups=part) for _ in range(LEVELS)])
        self.aggr = nn.Conv2d(num_features, num_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        parts = []
        for level, (part, conv) in enumerate(zip(features.chunk(LEVELS, 1), self.mfr, strict=True)):
            if level == 0:
                parts.append(conv(part))
            else:
                coarse = conv(pooled(part, 2**level))
                parts.append(F.interpolate(coarse, size=features.shape[-2:], mode="nearest"))
        return F.gelu(self.aggr(torch.cat(parts, 1))) * features


class ChannelMixer(nn.Module):
    """CCM: 3x3 to more channels, GELU, 1x1 back."""

    def __init__(self, num_features: int, ffn_scale: float) -> None:
        super().__init__()
        self.ccm = nn.Sequential(*mixer_layers(num_features, ffn_scale, bias=True))

    def forward(self, features: Tensor) -> Tensor:
        return self.ccm(features)


class FeatureMixing(nn.Module):
    """Modulation, then the channel mixer, each of normalised features and added to its input."""

    def __init__(self, num_features: int, ffn_scale: float) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(num_features)
        self.norm2 = ChannelNorm(num_features)
        self.safm = Modulation(num_features)
        self.ccm = ChannelMixer(num_features, ffn_scale)

    def forward(self, features: Tensor) -> Tensor:
        features = self.safm(self.norm1(features)) + features
        return self.ccm(self.norm2(features)) + features


@NETWORKS.register
class SAFMN(SRNetwork):
    """A convolution, feature-mixing blocks under a long skip, one sub-pixel step.

    At x4 240 thousand parameters; the large one, SAFMN-L, 5.60 million.
    The defaults are the paper's efficient network. Convolutions begin as torch has them. Each block
    sees a cell of 8 pixels to either side: 8 blocks 130 pixels.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels, a multiple of 4.
        num_blocks: feature-mixing blocks.
        ffn_scale: the channel mixer's inner channels over its outer ones.
    """

    size_multiple = COARSEST
    repeated_block = FeatureMixing
    variants: ClassVar = {"SAFMN": {}, "SAFMN-L": {"num_features": 128, "num_blocks": 16}}

    def __init__(
        self, scale: int, colour: str = "rgb", *, num_features: int = 36, num_blocks: int = 8, ffn_scale: float = 2.0
    ) -> None:
        super().__init__(scale, colour)
        require_positive("SAFMN", num_features=num_features, num_blocks=num_blocks)
        require_wide_mixer("SAFMN", num_features, ffn_scale)
        if num_features % LEVELS:
            fault = f"num_features={num_features} is not possible; it is a multiple of {LEVELS}"
            raise ConfigError(f"SAFMN: {fault}", key="num_features")
        self.to_feat = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        self.feats = nn.Sequential(*[FeatureMixing(num_features, ffn_scale) for _ in range(num_blocks)])
        last = nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1)
        self.to_img = nn.Sequential(last, nn.PixelShuffle(scale))
        block: list[Step] = [("pooled", COARSEST, 3), 3]
        self.receptive_field = receptive_field([3, *block * num_blocks, 3, ("shuffle", scale)])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W), best multiples of 8."""
        shallow = self.to_feat(lq)
        return self.to_img(self.feats(shallow) + shallow)


class SimpleModulation(nn.Module):
    """A part of the channels scaled by itself at an eighth of the size; all fused."""

    def __init__(self, num_features: int, ratio: int) -> None:
        super().__init__()
        part = num_features // ratio
        self.split = [part, num_features - part]
        self.proj = nn.Conv2d(num_features, num_features, 3, padding=1, bias=False)
        self.dwconv = nn.Conv2d(part, part, 3, padding=1, groups=part, bias=False)
        self.out = nn.Conv2d(num_features, num_features, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        part, rest = self.proj(features).split(self.split, dim=1)
        coarse = self.dwconv(pooled(part, COARSEST))
        weights = F.interpolate(coarse, size=features.shape[-2:], mode="bilinear")
        return self.out(F.gelu(torch.cat([rest, F.gelu(weights) * part], 1)))


class SimpleMixing(nn.Module):
    """Modulation and channel mixer in a row, added to the input or not."""

    def __init__(self, num_features: int, ffn_scale: float, ratio: int, is_residual: bool) -> None:
        super().__init__()
        self.is_residual = is_residual
        self.conv1 = SimpleModulation(num_features, ratio)
        layers = mixer_layers(num_features, ffn_scale, bias=False)
        names = ("conv1", "act", "conv2")
        inner = zip(names, layers, strict=True) if is_residual else [("conv", nn.Sequential(*layers))]
        self.conv2 = nn.Sequential(OrderedDict(inner))

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.conv2(self.conv1(features))
        return mixed + features if self.is_residual else mixed


@NETWORKS.register
class SAFMNPP(SRNetwork):
    """SAFMN++: no normalisation, no biases, a single coarse size.

    Sun, Dong, Tang, Pan: their entries in the challenges of 2024, on efficient SR (NTIRE,
    arXiv:2404.10343) and on real-time SR of compressed images (AIS, arXiv:2404.16484).

    The defaults are the light network of AIS 2024 (66 thousand parameters at x4): plain blocks
    under a long skip of features. NTIRE 2024's has 212 thousand. Convolutions begin as torch has
    them. 2 blocks see 39 pixels.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: blocks.
        ffn_scale: the channel mixer's inner channels over its outer ones.
        ratio: one of so many channels is modulated.
        residual: add each block to its input, and the whole to the bilinearly enlarged image.
    """

    size_multiple = COARSEST
    repeated_block = SimpleMixing
    variants: ClassVar = {
        "SAFMN++-light": {},
        "SAFMN++": {"num_features": 36, "num_blocks": 6, "ratio": 3, "residual": True},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 32,
        num_blocks: int = 2,
        ffn_scale: float = 1.5,
        ratio: int = 2,
        residual: bool = False,
    ) -> None:
        super().__init__(scale, colour)
        require_positive("SAFMNPP", num_features=num_features, num_blocks=num_blocks, ratio=ratio)
        require_wide_mixer("SAFMNPP", num_features, ffn_scale)
        if not 1 < ratio <= num_features:
            fault = f"ratio={ratio} is not possible; it is from 2 to num_features"
            raise ConfigError(f"SAFMNPP: {fault}", key="ratio")
        self.residual = residual
        self.to_feat = nn.Conv2d(self.in_channels, num_features, 3, padding=1, bias=False)
        blocks = [SimpleMixing(num_features, ffn_scale, ratio, residual) for _ in range(num_blocks)]
        self.feats = nn.Sequential(*blocks)
        last = nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1, bias=False)
        self.to_img = nn.Sequential(last, nn.PixelShuffle(scale))
        block: list[Step] = [3, ("pooled bilinear", COARSEST, 3), 3]
        self.receptive_field = receptive_field([3, *block * num_blocks, 3, ("shuffle", scale)])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W), best multiples of 8."""
        shallow = self.to_feat(lq)
        if not self.residual:
            return self.to_img(self.feats(shallow) + shallow)
        return self.to_img(self.feats(shallow)) + F.interpolate(lq, scale_factor=self.scale, mode="bilinear")
