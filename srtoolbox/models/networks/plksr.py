"""PLKSR and RealPLKSR: large kernels on a part of the channels, element-wise attention.

Lee, Yun, Ro: "Partial large kernel CNNs for efficient super-resolution" (2024, arXiv:2404.11848).

state_dict, the authors' and neosr's: `feats.0`; `feats.N` (N from 1) with `channe_mixer.{0,2}`,
in RealPLKSR `channel_mixer.{0,2}`, `lk.conv`, `attn.f.0`, `refine`, in RealPLKSR `norm` or
`layer_norm`; the last `feats.N`; with DySample `to_img.{offset,scope,end_conv}`; each `.weight` and
`.bias`; and DySample's constant `to_img.init_pos`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_choice, require_positive
from srtoolbox.models.networks.blocks import ChannelNorm, Step, receptive_field
from srtoolbox.registry import NETWORKS

MIXERS = {"CCM": (3, 1), "ICCM": (1, 3), "DCCM": (3, 3)}
"""The kernels of a channel mixer's two convolutions, by its name in the paper."""
GROUPS = 4  # of channels that DySample moves together, at even scales; 3 at odd ones


def init_narrow(conv: nn.Conv2d) -> nn.Conv2d:
    """Draw the weights of a convolution from a normal distribution of deviation 0.02."""
    nn.init.trunc_normal_(conv.weight, std=0.02)
    return conv


def mixer(num_features: int, kernels: tuple[int, int], activation: nn.Module) -> nn.Sequential:
    """Return a convolution to twice the channels, an activation and a convolution back."""
    first, last = kernels
    widen = nn.Conv2d(num_features, 2 * num_features, first, padding=first // 2)
    return nn.Sequential(
        widen, activation, init_narrow(nn.Conv2d(2 * num_features, num_features, last, padding=last // 2))
    )


class PartialConv(nn.Module):
    """A large kernel over the first channels; the others go by."""

    def __init__(self, num_features: int, kernel_size: int, with_idt: bool) -> None:
        super().__init__()
        self.with_idt = with_idt
        self.conv = init_narrow(nn.Conv2d(num_features, num_features, kernel_size, padding=kernel_size // 2))

    def forward(self, features: Tensor) -> Tensor:
        count = self.conv.in_channels
        part, rest = features.split([count, features.shape[1] - count], dim=1)
        convolved = self.conv(part)
        return torch.cat([convolved + part if self.with_idt else convolved, rest], 1)


class ElementAttention(nn.Module):
    """Scales each value by a sigmoid of a 3x3 convolution."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.f = nn.Sequential(init_narrow(nn.Conv2d(num_features, num_features, 3, padding=1)), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        return features * self.f(features)


class PLKBlock(nn.Module):
    """Channel mixer, partial large kernel, attention, 1x1 convolution, added to the input."""

    def __init__(
        self, num_features: int, ccm_type: str, kernel_size: int, partial: int, use_ea: bool, with_idt: bool
    ) -> None:
        super().__init__()
        # spelt so in all files
        self.channe_mixer = mixer(num_features, MIXERS[ccm_type], nn.GELU())
        self.lk = PartialConv(partial, kernel_size, with_idt)
        self.attn = ElementAttention(num_features) if use_ea else nn.Identity()
        self.refine = init_narrow(nn.Conv2d(num_features, num_features, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.refine(self.attn(self.lk(self.channe_mixer(features)))) + features


class ExactGroupNorm(nn.GroupNorm):
    """Group normalisation with statistics over the whole image in float32 at least."""

    def forward(self, features: Tensor) -> Tensor:
        exact = torch.promote_types(features.dtype, torch.float32)
        weight, bias = self.weight.to(exact), self.bias.to(exact)
        # of channels last torch takes the variance in one pass on a CPU, which loses digits
        contiguous = features.to(exact).contiguous()
        result = F.group_norm(contiguous, self.num_groups, weight, bias, self.eps).to(features.dtype)
        if features.is_contiguous() or features.shape[0] > 1 or features.device.type != "cpu":
            return result
        # back to channels last by a transposition, five times as fast as a change of layout
        return result[0].flatten(1).t().contiguous().t().unflatten(1, result.shape[2:])[None]


class RealPLKBlock(nn.Module):
    """The block with Mish, and with its input normalised by pixels or its result by groups."""

    def __init__(
        self, num_features: int, kernel_size: int, partial: int, use_ea: bool, norm_groups: int, layer_norm: bool
    ) -> None:
        super().__init__()
        self.layer_norm = ChannelNorm(num_features) if layer_norm else nn.Identity()
        self.channel_mixer = mixer(num_features, MIXERS["DCCM"], nn.Mish())
        self.lk = PartialConv(partial, kernel_size, with_idt=False)
        self.attn = ElementAttention(num_features) if use_ea else nn.Identity()
        self.refine = init_narrow(nn.Conv2d(num_features, num_features, 1))
        self.norm = nn.Identity() if layer_norm else ExactGroupNorm(norm_groups, num_features)

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.lk(self.channel_mixer(self.layer_norm(features)))
        return self.norm(self.refine(self.attn(mixed))) + features


class DySample(nn.Module):
    """Upsampling from places that are learnt: offsets to the middle of each output pixel.

    Liu, Lu, Fu, Cao: "Learning to upsample by learning to sample" (ICCV 2023, arXiv:2308.15085).

    Args:
        channels: of the input, a multiple of the groups.
        outputs: channels of the result.
        scale: upscaling factor; at 1 the moved input is the result.
    """

    init_pos: Tensor

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        super().__init__()
        self.scale, self.groups = scale, outputs if scale % 2 else GROUPS
        if scale > 1:
            self.end_conv = nn.Conv2d(channels, outputs, 1)
        offsets = 2 * self.groups * scale**2
        self.offset = init_narrow(nn.Conv2d(channels, offsets, 1))
        self.scope = nn.Conv2d(channels, offsets, 1, bias=False)
        nn.init.zeros_(self.scope.weight)
        middles = (torch.arange(scale) - (scale - 1) / 2) / scale
        # (groups, scale * scale): by column, then by row
        across = middles.repeat(self.groups, scale)
        down = middles.repeat_interleave(scale).repeat(self.groups, 1)
        self.register_buffer("init_pos", torch.stack([across, down]).view(1, -1, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, outputs, scale * H, scale * W)."""
        count, _, height, width = features.shape
        # places in half precision are none
        exact = torch.promote_types(features.dtype, torch.float32)
        offsets = self.offset(features).to(exact) * self.scope(features).to(exact).sigmoid() * 0.5 + self.init_pos
        offsets = F.pixel_shuffle(offsets, self.scale).view(count, 2, self.groups, *self._size(height, width))
        across, down = (self._middles(length, offsets) for length in (width, height))
        places = torch.stack(
            [
                2 * (across + offsets[:, 0]) / width - 1,
                2 * (down.unsqueeze(1) + offsets[:, 1]) / height - 1,
            ],
            dim=-1,
        )
        moved = F.grid_sample(
            features.to(exact).reshape(count * self.groups, -1, height, width),
            places.flatten(0, 1),
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        ).view(count, -1, *self._size(height, width))
        moved = moved.to(features.dtype)
        return self.end_conv(moved) if self.scale > 1 else moved

    def _size(self, height: int, width: int) -> tuple[int, int]:
        return height * self.scale, width * self.scale

    def _middles(self, length: int, like: Tensor) -> Tensor:
        """Return the middle of the input pixel that each output pixel lies in."""
        middles = torch.arange(length, dtype=like.dtype, device=like.device) + 0.5
        return middles.repeat_interleave(self.scale)


class _PartialLargeKernels(SRNetwork):
    """Shared by both: `feats`, a convolution, blocks and a convolution; the image is added."""

    feats: nn.Sequential
    to_img: nn.Module

    def _partial(self, num_features: int, num_blocks: int, kernel_size: int, split_ratio: float) -> int:
        """Return how many channels have the large kernel; raises ConfigError at wrong arguments."""
        owner = type(self).__name__
        require_positive(owner, num_features=num_features, num_blocks=num_blocks)
        require_positive(owner, kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            fault = f"kernel_size={kernel_size} is not possible; it is odd"
            raise ConfigError(f"{owner}: {fault}", key="kernel_size")
        partial = int(num_features * split_ratio)
        if not 0 < partial <= num_features:
            fault = f"split_ratio={split_ratio!r} is not possible; times num_features it is 1 to num_features"
            raise ConfigError(f"{owner}: {fault}", key="split_ratio")
        return partial

    def _ends(self, num_features: int) -> tuple[nn.Conv2d, nn.Conv2d]:
        """Return the first and the last convolution."""
        first = nn.Conv2d(self.in_channels, num_features, 3, padding=1)
        last = nn.Conv2d(num_features, self.in_channels * self.scale**2, 3, padding=1)
        return init_narrow(first), init_narrow(last)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        return self.to_img(self.feats(lq) + lq.repeat_interleave(self.scale**2, dim=1))


@NETWORKS.register
class PLKSR(_PartialLargeKernels):
    """A convolution, blocks with large kernels on a quarter of the channels, a sub-pixel step.

    The defaults are the paper's PLKSR, 7.39 million parameters at x4; PLKSR-tiny has 2.37 million.
    Most convolutions begin at a deviation of 0.02, as the authors'. A block sees 11 pixels further.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: blocks.
        ccm_type: the channel mixer's kernels, 'CCM' (3 and 1), 'ICCM' (1 and 3) or 'DCCM' (3 and
            3).
        kernel_size: the large kernel, odd.
        split_ratio: the part of the channels that has it.
        use_ea: element-wise attention.
        with_idt: add its input to what the large kernel gives.
    """

    repeated_block = PLKBlock
    hidden_arguments: ClassVar[dict[str, tuple[Any, ...]]] = {"with_idt": (False, True)}
    variants: ClassVar = {
        "PLKSR": {},
        "PLKSR-tiny": {"num_blocks": 12, "kernel_size": 13, "use_ea": False},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_blocks: int = 28,
        ccm_type: str = "DCCM",
        kernel_size: int = 17,
        split_ratio: float = 0.25,
        use_ea: bool = True,
        with_idt: bool = False,
    ) -> None:
        super().__init__(scale, colour)
        require_choice("PLKSR", "ccm_type", ccm_type, MIXERS)
        partial = self._partial(num_features, num_blocks, kernel_size, split_ratio)
        block = (num_features, ccm_type, kernel_size, partial, use_ea, with_idt)
        first, last = self._ends(num_features)
        self.feats = nn.Sequential(first, *[PLKBlock(*block) for _ in range(num_blocks)], last)
        self.to_img = nn.PixelShuffle(scale)
        steps: list[Step] = [*MIXERS[ccm_type], kernel_size, 3 if use_ea else 1]
        self.receptive_field = receptive_field([3, *steps * num_blocks, 3, ("shuffle", scale)])


@NETWORKS.register
class RealPLKSR(_PartialLargeKernels):
    """PLKSR with Mish and normalised blocks, as neosr trains it for real photographs.

    After Lee, Yun, Ro: "Partial large kernel CNNs for efficient super-resolution" (2024,
    arXiv:2404.11848); neosr's variant has no paper.

    7.39 million parameters at x4. Group normalisation looks at the whole image: tiles are not
    restored exactly as the whole. With `layer_norm` instead, and without `dysample`, a block sees
    11 pixels further; how far `dysample` sees depends on the image.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: blocks.
        kernel_size: the large kernel, odd.
        split_ratio: the part of the channels that has it.
        use_ea: element-wise attention.
        norm_groups: groups of the group normalisation, which divide the channels.
        dropout: probability of leaving out a channel before the last convolution, in training.
        dysample: sample the image from learnt places in place of the sub-pixel step.
        layer_norm: normalise the input of each block over the channels, in place of group
            normalisation.
    """

    repeated_block = RealPLKBlock
    variants: ClassVar = {
        "RealPLKSR": {},
        "RealPLKSR-DySample": {"layer_norm": True, "dysample": True},
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 64,
        num_blocks: int = 28,
        kernel_size: int = 17,
        split_ratio: float = 0.25,
        use_ea: bool = True,
        norm_groups: int = 4,
        dropout: float = 0.0,
        dysample: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(scale, colour)
        partial = self._partial(num_features, num_blocks, kernel_size, split_ratio)
        require_positive("RealPLKSR", norm_groups=norm_groups)
        if not layer_norm and num_features % norm_groups:
            fault = f"norm_groups={norm_groups} is not possible; {num_features} features are no multiple of it"
            raise ConfigError(f"RealPLKSR: {fault}", key="norm_groups")
        if not 0 <= dropout < 1:
            raise ConfigError(f"RealPLKSR: dropout={dropout!r} is not possible; it is from 0 to 1", key="dropout")
        block = (num_features, kernel_size, partial, use_ea, norm_groups, layer_norm)
        first, last = self._ends(num_features)
        blocks = [RealPLKBlock(*block) for _ in range(num_blocks)]
        self.feats = nn.Sequential(first, *blocks, nn.Dropout2d(dropout), last)
        channels = self.in_channels * scale**2
        self.to_img = DySample(channels, self.in_channels, scale) if dysample else nn.PixelShuffle(scale)
        if layer_norm and not dysample:
            steps: list[Step] = [3, 3, kernel_size, 3 if use_ea else 1]
            self.receptive_field = receptive_field([3, *steps * num_blocks, 3, ("shuffle", scale)])
