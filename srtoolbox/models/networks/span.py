"""SPAN: attention without parameters, by a symmetric activation of what a block computes.

Wan, Yu, Li, Chen, Zou, Liu, Yin, Zuo: "Swift parameter-free attention network for efficient
super-resolution" (CVPRW 2024, arXiv:2311.12770), winner of NTIRE 2024's challenge on efficient SR.

state_dict, the authors': `conv_1`, `block_N.{c1_r,c2_r,c3_r}` (N from 1) and `conv_2`, each with
the branches `sk` and `conv.{0,1,2}`, and `eval_conv`, what they come to; `conv_cat`, `upsampler.0`;
each `.weight` and `.bias`. Fused: `eval_conv` alone. `no_norm`, neosr's, where no mean is taken
off.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.blocks import DIV2K_MEAN, Centred, receptive_field
from srtoolbox.registry import NETWORKS

GAIN = 2  # of the branch's inner channels
EVAL = ("eval_conv.weight", "eval_conv.bias")


class BranchedConv(nn.Module):
    """A 3x3 convolution, trained as the sum of a 1x1 one and a row of 1x1, 3x3 and 1x1.

    Nothing between is other than linear: in eval mode it computes one convolution with `fused`
    weights, from the branches as they are then. `fuse_branches` leaves that one alone.
    """

    def __init__(self, inputs: int, outputs: int, fused: bool) -> None:
        super().__init__()
        if fused:
            self.eval_conv = nn.Conv2d(inputs, outputs, 3, padding=1)
            return
        self.sk = nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, GAIN * inputs, 1),
            # of an image that is padded before the row
            nn.Conv2d(GAIN * inputs, GAIN * outputs, 3),
            nn.Conv2d(GAIN * outputs, outputs, 1),
        )
        # other programs have the sum in their files, and want it there
        self.register_state_dict_post_hook(_add_fused)
        self.register_load_state_dict_pre_hook(_leave_fused_out)

    def fused(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the one convolution that the branches come to."""
        device = self.sk.weight.device.type
        with torch.autocast("cpu" if device == "meta" else device, enabled=False):
            (before, shift), (middle, offset), (after, last) = map(_exact, self.conv)
            skip, skipped = _exact(self.sk)
            rows = after.flatten(1) @ middle.flatten(1)  # (outputs, GAIN * inputs * 9)
            kernels = rows.view(len(rows), -1, 9).transpose(1, 2) @ before.flatten(1)
            weight = F.pad(skip, (1, 1, 1, 1)) + kernels.transpose(1, 2).reshape(len(rows), -1, 3, 3)
            bias = after.flatten(1) @ (middle.sum((2, 3)) @ shift + offset) + last + skipped
        return weight.to(self.sk.weight.dtype).contiguous(), bias.to(self.sk.weight.dtype)

    def fuse_branches(self) -> None:
        """Become the one convolution."""
        if not hasattr(self, "sk"):
            return
        weight, bias = self.fused()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, device="meta")
        conv.weight = nn.Parameter(weight.detach(), requires_grad=self.sk.weight.requires_grad)
        conv.bias = nn.Parameter(bias.detach(), requires_grad=self.sk.weight.requires_grad)
        del self.sk, self.conv
        self.eval_conv = conv.train(self.training)

    def forward(self, features: Tensor) -> Tensor:
        if hasattr(self, "eval_conv"):
            return self.eval_conv(features)
        if self.training:
            return self.conv(F.pad(features, (1, 1, 1, 1))) + self.sk(features)
        return F.conv2d(features, *self.fused(), padding=1)


def _exact(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution, in float32 at least."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    dtype = torch.promote_types(conv.weight.dtype, torch.float32)
    return conv.weight.to(dtype), conv.bias.to(dtype)


def _add_fused(module: nn.Module, state: MutableMapping[str, Any], prefix: str, metadata: Mapping[str, Any]) -> None:
    """Add the sum of the branches to a state_dict."""
    if isinstance(module, BranchedConv) and hasattr(module, "sk"):
        with torch.no_grad():
            state.update({prefix + key: value for key, value in zip(EVAL, module.fused(), strict=True)})


def _leave_fused_out(module: nn.Module, state: MutableMapping[str, Any], prefix: str, *rest: object) -> None:
    """Take the sum of the branches out of a state_dict that is loaded."""
    if not hasattr(module, "eval_conv"):
        for key in EVAL:
            state.pop(prefix + key, None)


class AttentionBlock(nn.Module):
    """SPAB: three convolutions; their result plus the input, scaled by its own sigmoid less 1/2."""

    def __init__(self, num_features: int, fused: bool) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (BranchedConv(num_features, num_features, fused) for _ in range(3))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, F, H, W) -> the result, and what the first convolution gives, activated."""
        first = F.silu(self.c1_r(features))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + features) * (torch.sigmoid(last) - 0.5), first


@NETWORKS.register
class SPAN(Centred):
    """A convolution, attention blocks, a fusion of four stages' features, one sub-pixel step.

    The defaults are the paper's SPAN, 498 thousand parameters at x4 where fused; SPAN-S, NTIRE's
    and most of the community's, has 426 thousand.

    Args:
        scale: upscaling factor.
        colour: 'rgb' or 'y'.
        num_features: channels.
        num_blocks: attention blocks.
        norm: take the mean off the image and scale it. The result stays in [0, 1] either way.
        img_range: factor of the image less its mean.
        rgb_mean: mean of red, green and blue in [0, 1].
        fused: one convolution in place of each sum of branches, for inference.
    """

    repeated_block = AttentionBlock
    hidden_arguments: ClassVar[dict[str, tuple[Any, ...]]] = {
        "img_range": (255.0, 1.0),
        "rgb_mean": (DIV2K_MEAN, (0.5, 0.5, 0.5)),
    }
    variants: ClassVar = {"SPAN": {}, "SPAN-S": {"num_features": 48}}

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 52,
        num_blocks: int = 6,
        norm: bool = True,
        img_range: float = 255.0,
        rgb_mean: Sequence[float] = DIV2K_MEAN,
        fused: bool = False,
    ) -> None:
        super().__init__(scale, colour, img_range, rgb_mean)
        require_positive("SPAN", num_features=num_features, num_blocks=num_blocks)
        self.norm, self.num_blocks = norm, num_blocks
        if not norm:
            self.register_buffer("no_norm", torch.zeros(1))
        self.conv_1 = BranchedConv(self.in_channels, num_features, fused)
        for number in range(1, num_blocks + 1):
            self.add_module(f"block_{number}", AttentionBlock(num_features, fused))
        self.conv_cat = nn.Conv2d(4 * num_features, num_features, 1)
        self.conv_2 = BranchedConv(num_features, num_features, fused)
        last = nn.Conv2d(num_features, self.in_channels * scale**2, 3, padding=1)
        self.upsampler = nn.Sequential(last, nn.PixelShuffle(scale))
        self.receptive_field = receptive_field([3] * (3 * num_blocks + 3) + [("shuffle", scale)])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        shallow = self.conv_1(self.centre(lq) if self.norm else lq)
        early, inner = self.get_submodule("block_1")(shallow)
        features = early
        for number in range(2, self.num_blocks + 1):
            features, inner = self.get_submodule(f"block_{number}")(features)
        stages = [shallow, self.conv_2(features), early, inner]
        return self.upsampler(self.conv_cat(torch.cat(stages, 1)))
