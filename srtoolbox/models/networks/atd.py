"""ATD: attention to a dictionary of tokens, by which pixels of one kind also attend to each other.

Zhang, Li, Zhou, Zhao, Gu: "Transcending the limit of local window: advanced super-resolution
transformer with adaptive token dictionary" (CVPR 2024, arXiv:2401.08209).

state_dict, the official release's: see `window_transformer`, but of each group
`layers.N.residual_group.td` and of its blocks `layers.N.residual_group.layers.M.*`: `norm1` `wqkv`
`attn_win.{relative_position_bias_table,proj}` `attn_atd.{wq,wk,wv,scale}`
`attn_aca.{logit_scale,proj}` `norm2` `convffn.{fc1,dwconv.depthwise_conv.0,fc2}`, and of all but
the last of a group `sigma` `norm3`. The files also have the constant `relative_position_index_SA`,
which is made here; traiNNer's without a mean taken off have `no_norm`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import require_positive
from srtoolbox.models.networks.attention import (
    Window,
    as_features,
    as_image,
    attend,
    from_heads,
    init_transformer,
    pad_to_multiple,
    position_bias,
    relative_positions,
    require_heads,
    to_heads,
)
from srtoolbox.models.networks.window_transformer import ResidualGroup, WindowTransformer
from srtoolbox.registry import NETWORKS

MOST_SHARPNESS = math.log(100)  # of `logit_scale`


def exactly(features: Tensor) -> AbstractContextManager[object]:
    """Leave autocast for what half precision would spoil: sums over images, and decisions."""
    kind = features.device.type
    is_mixed = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if is_mixed else nullcontext()


def to_exact(features: Tensor) -> Tensor:
    """Return float32 of half precision."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


# ---- three kinds of attention


class WindowPart(nn.Module):
    """Multi-head attention in windows of query, key and value that are given."""

    relative_position_index: Tensor

    def __init__(self, num_features: int, num_heads: int, window: Window, shift: Window) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        rows = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions(window), persistent=False)
        self.proj = nn.Linear(num_features, num_features)

    def forward(self, qkv: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, 3 * C) and the mask of shifted windows -> (N, H, W, C)."""
        size, (down, right) = qkv.shape[1:3], self.shift
        is_shifted = down > 0 or right > 0
        shifted = qkv.roll((-down, -right), (1, 2)) if is_shifted else qkv
        query, key, value = to_heads(shifted, self.window, self.num_heads, 3).unbind()
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        attended = attend(query, key, value, bias, mask if is_shifted else None)
        result = self.proj(from_heads(attended, size, self.window))
        return result.roll((down, right), (1, 2)) if is_shifted else result


class TokenAttention(nn.Module):
    """Token dictionary cross-attention: pixels attend to tokens, by cosines in a few dimensions."""

    def __init__(self, num_features: int, num_tokens: int, reducted_dim: int, qkv_bias: bool) -> None:
        super().__init__()
        self.wq = nn.Linear(num_features, reducted_dim, bias=qkv_bias)
        self.wk = nn.Linear(num_features, reducted_dim, bias=qkv_bias)
        self.wv = nn.Linear(num_features, num_features, bias=qkv_bias)
        self.scale = nn.Parameter(torch.full((num_tokens,), 0.5))

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(N, L, C), (N, tokens, C) -> (N, L, C), and how much of each token: (N, L, tokens)."""
        with exactly(pixels):  # the largest similarity decides on a pixel's category
            own = self.wq.weight.dtype
            query = F.normalize(to_exact(self.wq(pixels.to(own))), dim=-1)
            key = F.normalize(to_exact(self.wk(tokens.to(own))), dim=-1)
            sharpness = 1 + self.scale.clamp(0, 1) * math.log(tokens.shape[1])
            similarity = (query @ (key * sharpness[:, None]).transpose(-2, -1)).softmax(-1)
        value = self.wv(tokens)
        return similarity.to(value.dtype) @ value, similarity


class CategoryAttention(nn.Module):
    """Adaptive category-based attention: pixels sorted by token attend in groups of that order."""

    def __init__(self, num_features: int, num_heads: int, category_size: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads, self.category_size = num_heads, category_size
        self.logit_scale = nn.Parameter(torch.full((1, 1), math.log(10)))
        self.proj = nn.Linear(num_features, num_features, bias=qkv_bias)

    def forward(self, qkv: Tensor, similarity: Tensor, least: int) -> Tensor:
        """(N, L, 3 * C), (N, L, tokens), L a multiple of `least` -> (N, L, C)."""
        count, length = similarity.shape[:2]
        order, place = by_category(similarity)
        size = self.category_size if least >= self.category_size else torch.sym_min(length, self.category_size)
        # the last group may not be full: what is before it follows again
        if least % self.category_size:
            position = torch.arange((length + size - 1) // size * size, device=qkv.device)
            order = order.index_select(1, torch.minimum(position, 2 * length - 1 - position))
        cells = rows(qkv, order).view(-1, size, 3, self.num_heads, qkv.shape[2] // 3 // self.num_heads)
        query, key, value = cells.permute(2, 0, 3, 1, 4).unbind()
        sharpness = self.logit_scale.clamp(max=MOST_SHARPNESS).exp().to(query.dtype)
        attended = F.scaled_dot_product_attention(query * sharpness, key, value, scale=1.0)
        return self.proj(rows(attended.transpose(1, 2).reshape(count, order.shape[1], -1), place))


def by_category(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels in order of their best token, each (N, L), and each pixel's place there."""
    length = similarity.shape[1]
    position = torch.arange(length, device=similarity.device)
    # keys that are all different: the order is the same on all devices and in exported files
    order = (similarity.argmax(-1) * length + position).sort(-1).indices
    return order, torch.empty_like(order).scatter_(1, order, position.expand_as(order))


def rows(features: Tensor, index: Tensor) -> Tensor:
    """Return (N, M, C) of (N, L, C), by (N, M) of numbers below L."""
    count, length = features.shape[:2]
    starts = torch.arange(count, device=index.device)[:, None] * length
    return features.flatten(0, 1).index_select(0, (index + starts).flatten()).view(count, index.shape[1], -1)


# ---- blocks


class ConvFFN(nn.Module):
    """Two linear layers with GELU between, and a depthwise convolution added there."""

    def __init__(self, num_features: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(num_features, hidden)
        convolution = nn.Conv2d(hidden, hidden, kernel_size, padding=kernel_size // 2, groups=hidden)
        self.dwconv = nn.Sequential(OrderedDict(depthwise_conv=nn.Sequential(convolution, nn.GELU())))
        self.fc2 = nn.Linear(hidden, num_features)

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        features = F.gelu(self.fc1(features))
        return self.fc2(features + as_features(self.dwconv(as_image(features))))


class ATDLayer(nn.Module):
    """Attention of three kinds side by side, a feed-forward network, new tokens for the next."""

    def __init__(
        self,
        num_features: int,
        num_heads: int,
        window: int,
        shift: int,
        category_size: int,
        num_tokens: int,
        reducted_dim: int,
        kernel_size: int,
        mlp_ratio: float,
        qkv_bias: bool,
        is_last: bool,
    ) -> None:
        super().__init__()
        self.is_last, self.window = is_last, window
        self.norm1 = nn.LayerNorm(num_features)
        self.norm2 = nn.LayerNorm(num_features)
        if not is_last:
            self.norm3 = nn.InstanceNorm1d(num_tokens, affine=True)
            self.sigma = nn.Parameter(torch.zeros(num_tokens, 1))
        self.wqkv = nn.Linear(num_features, 3 * num_features, bias=qkv_bias)
        self.attn_win = WindowPart(num_features, num_heads, (window, window), (shift, shift))
        self.attn_atd = TokenAttention(num_features, num_tokens, reducted_dim, qkv_bias)
        self.attn_aca = CategoryAttention(num_features, num_heads, category_size, qkv_bias)
        self.convffn = ConvFFN(num_features, int(num_features * mlp_ratio), kernel_size)

    def forward(self, features: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, C), (N, tokens, C), the mask of shifted windows -> new features and tokens."""
        normed = self.norm1(features)
        qkv = self.wqkv(normed)
        known, similarity = self.attn_atd(normed.flatten(1, 2), tokens)
        alike = self.attn_aca(qkv.flatten(1, 2), similarity, self.window**2)
        features = features + self.attn_win(qkv, mask) + (known + alike).view(features.shape)
        features = features + self.convffn(self.norm2(features))
        return features, tokens if self.is_last else self.refined(tokens, features.flatten(1, 2), similarity)

    def refined(self, tokens: Tensor, pixels: Tensor, similarity: Tensor) -> Tensor:
        """Adaptive dictionary refinement: move tokens to the mean of pixels that are like them."""
        with exactly(pixels):
            normed = self.norm3(similarity.transpose(1, 2).to(self.sigma.dtype))
            found = to_exact(normed).softmax(-1) @ to_exact(pixels)
            kept = self.sigma.sigmoid()
            return (kept * tokens + (1 - kept) * found).to(tokens.dtype)


class TokenGroup(nn.Module):
    """Blocks with a token dictionary, `td`, which each of them refines for the next."""

    def __init__(self, layers: Sequence[nn.Module], num_tokens: int, num_features: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.td = nn.Parameter(torch.randn(num_tokens, num_features))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) and the mask of shifted windows -> (N, H, W, C)."""
        tokens = self.td.repeat(features.shape[0], 1, 1)
        for layer in self.layers:
            features, tokens = layer(features, tokens, mask)
        return features


@NETWORKS.register
class ATD(WindowTransformer):
    """Blocks of attention in windows, to tokens and among pixels of one kind, at the LR size.

    The defaults are the paper's ATD: 20.26 million parameters at x4; ATD-light has 0.77 million.

    Tokens and categories are made of the whole image: there is no receptive field, and tiles are
    not restored exactly as the whole.

    Args:
        scale: 1, 2, 3, 4 or 8; 'nearest+conv' has 2, 4 and 8.
        colour: 'rgb' or 'y'.
        num_features: channels of the body, a multiple of each of `num_heads`.
        depths: blocks of each group.
        num_heads: heads of each group's attention.
        window_size: side of the windows.
        category_size: pixels of a group of one kind; leaves no trace in weights.
        num_tokens: tokens of each group's dictionary.
        reducted_dim: dimensions in which pixels are compared with tokens.
        convffn_kernel_size: side of a block's depthwise convolution, odd.
        mlp_ratio: hidden channels of a block's last layers over `num_features`.
        qkv_bias: query, key and value have biases.
        upsampler, resi_connection, img_range: as in `SwinIR`.
        norm: take DIV2K's mean off; traiNNer's networks may be trained without, at `img_range` 1.
    """

    hidden_arguments: ClassVar = {"category_size": (256, 128)}
    repeated_block = ATDLayer
    variants: ClassVar = {
        "ATD": {},
        "ATD-light": {
            "num_features": 48,
            "depths": (6,) * 4,
            "num_heads": (4,) * 4,
            "category_size": 128,
            "num_tokens": 64,
            "reducted_dim": 8,
            "convffn_kernel_size": 7,
            "mlp_ratio": 1.0,
            "upsampler": "pixelshuffledirect",
        },
    }

    def __init__(
        self,
        scale: int,
        colour: str = "rgb",
        *,
        num_features: int = 210,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        window_size: int = 16,
        category_size: int = 256,
        num_tokens: int = 128,
        reducted_dim: int = 20,
        convffn_kernel_size: int = 5,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        upsampler: str = "pixelshuffle",
        resi_connection: str = "1conv",
        img_range: float = 1.0,
        norm: bool = True,
    ) -> None:
        require_positive("ATD", num_features=num_features, window_size=window_size, category_size=category_size)
        require_positive("ATD", num_tokens=num_tokens, reducted_dim=reducted_dim)
        require_positive("ATD", convffn_kernel_size=convffn_kernel_size)
        require_positive("ATD", **{"mlp_ratio * num_features": int(num_features * mlp_ratio)})
        require_heads("ATD", num_features, num_heads, depths)
        groups = []
        for heads, depth in zip(num_heads, depths, strict=True):
            layers = [
                ATDLayer(
                    num_features,
                    heads,
                    window_size,
                    number % 2 * (window_size // 2),
                    category_size,
                    num_tokens,
                    reducted_dim,
                    convffn_kernel_size,
                    mlp_ratio,
                    qkv_bias,
                    is_last=number == depth - 1,
                )
                for number in range(depth)
            ]
            tokens = TokenGroup(layers, num_tokens, num_features)
            groups.append(ResidualGroup(tokens, num_features, resi_connection))
        super().__init__(
            scale,
            colour,
            groups,
            num_features=num_features,
            window_size=window_size,
            upsampler=upsampler,
            resi_connection=resi_connection,
            img_range=img_range if norm else 1.0,
        )
        if not norm:
            self.mean.zero_()
            self.register_buffer("no_norm", torch.zeros(1))
        self.apply(init_transformer)

    def padded(self, image: Tensor) -> Tensor:
        """Mirror the bottom and right, edges included, up to whole windows."""
        return pad_to_multiple(image, self.window_size, repeats_edge=True)
