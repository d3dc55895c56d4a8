"""Common parts of networks with attention: windows, relative positions, shifts, padding, layers.

Features are (N, H, W, C) here, as linear layers and LayerNorm take them; `as_image` makes of them
what a convolution takes, channels last in memory, and `as_features` the contrary. A window is its
(height, width), and (N, H, W, C) has windows = H / height * W / width of them for each image.

Nothing is kept between calls: the mask of shifted windows is made once a forward, on the device, by
a few operators, and so holds in graphs, exports and copies, on any device, for any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError

Window = tuple[int, int]
HEAD_MULTIPLE = 8  # of channels, for the fused kernels of GPUs in half precision
# added to logits between pixels that are neighbours by the shift alone; the official value
OTHER_REGION = -100.0


def pad_to_multiple(image: Tensor, multiple: int | Window, repeats_edge: bool = False) -> Tensor:
    """Mirror the bottom and right of (N, C, H, W), as often as it takes, up to multiples.

    The last row and column are the mirrors, or with `repeats_edge` come twice.
    """
    height, width = (multiple, multiple) if isinstance(multiple, int) else multiple
    return _mirrored(_mirrored(image, 2, height, int(repeats_edge)), 3, width, int(repeats_edge))


def _mirrored(image: Tensor, dim: int, multiple: int, repeats: int) -> Tensor:
    if torch.compiler.is_exporting():
        return _mirrored_for_export(image, dim, multiple, repeats)
    while missing := -image.shape[dim] % multiple:
        length = image.shape[dim]
        # what one mirror gives; a lone row is its own
        step = min(missing, max(length - 1 + repeats, 1))
        mirror = image.narrow(dim, max(length - step - 1 + repeats, 0), step).flip(dim)
        image = torch.cat([image, mirror], dim)
    return image


def _mirrored_for_export(image: Tensor, dim: int, multiple: int, repeats: int) -> Tensor:
    # by indices: of a padding that may be nothing, an exporter wants to know whether it is. Images
    # have at least `padded_multiple` + 1 rows and columns there, so that one mirror does
    length = image.shape[dim]
    index = torch.arange((length + multiple - 1) // multiple * multiple, device=image.device)
    return image.index_select(dim, torch.minimum(index, 2 * length - 2 + repeats - index).clamp(min=0))


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """Return the first rows and columns of (N, C, H, W)."""
    if not torch.compiler.is_exporting():
        return image[..., :height, :width]
    for dim, length in ((2, height), (3, width)):  # an exporter would ask whether there are so many
        image = image.index_select(dim, torch.arange(length, device=image.device))
    return image


def as_image(features: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, C, H, W), without a copy."""
    image = features.permute(0, 3, 1, 2)
    # fp16's steps compare strides
    return image.contiguous() if torch.compiler.is_exporting() else image


def as_features(image: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C); a copy only where channels are not last in memory."""
    return image.permute(0, 2, 3, 1).contiguous()


# ---- windows and back


def to_windows(features: Tensor, window: Window) -> Tensor:
    """Cut (N, H, W, C) into windows: (N * windows, height * width, C)."""
    return to_heads(features, window, 1)[0, :, 0]


def to_heads(features: Tensor, window: Window, num_heads: int, parts: int = 1) -> Tensor:
    """Cut (N, H, W, parts * heads * F) to windows: (parts, N * windows, heads, height * width, F).

    The parts are query, key and value, say, of one linear layer; all is one copy.
    """
    count, height, width, channels = features.shape
    high, wide = window
    cells = features.view(
        count, height // high, high, width // wide, wide, parts, num_heads, channels // parts // num_heads
    )
    return cells.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 3)


def from_heads(windows: Tensor, size: Sequence[int], window: Window) -> Tensor:
    """Put (N * windows, heads, height * width, F) together again: (N, *size, heads * F)."""
    (height, width), (high, wide) = size, window
    heads, channels = windows.shape[1], windows.shape[3]
    cells = windows.view(-1, height // high, width // wide, heads, high, wide, channels)
    # flat before its shape: an exporter cannot tell that H is a multiple of H / high
    flat = cells.permute(0, 1, 4, 2, 5, 3, 6).contiguous().view(-1)
    return flat.view(-1, height, width, heads * channels)


# ---- what a pixel attends to


def relative_positions(window: Window, finer: int = 1) -> Tensor:
    """Return the row of a table for each pair of a window's places: (queries, height * width).

    The table has (2 * height - 1) * (2 * width - 1) rows, one for each distance of two places. Each
    place has `finer` x `finer` pixels that query; by default it is a pixel.
    """
    height, width = window
    # numpy's, for on the meta device torch's operators take seconds
    rows, columns = np.arange(height), np.arange(width)
    down = (rows.repeat(finer)[:, None] - rows + height - 1)[:, None, :, None]
    right = (columns.repeat(finer)[:, None] - columns + width - 1)[None, :, None, :]
    index = down * (2 * width - 1) + right
    return torch.tensor(index.reshape(-1, height * width), dtype=torch.int32)


def position_bias(table: Tensor, index: Tensor) -> Tensor:
    """Return what positions add to logits, (heads, L, M), by a table (rows, heads) and rows."""
    return F.embedding(index, table).permute(2, 0, 1).contiguous()


def regions(size: Sequence[int], window: Window, shift: Window, device: torch.device) -> Tensor:
    """Return a number for each pixel of each window of a shifted image: (windows, height * width).

    The image was rolled up and left by `shift`. Pixels of a window with other numbers are from
    opposite sides of the image.
    """
    rows, columns = (_regions_along(*axis, device) for axis in zip(size, window, shift, strict=True))
    return to_windows((rows[:, None] * 3 + columns)[None, :, :, None], window)[..., 0]


def _regions_along(length: int, window: int, shift: int, device: torch.device) -> Tensor:
    place = torch.arange(length, device=device)
    wrapped = (place >= length - shift).to(torch.int32)
    return wrapped + (place >= length - window) if shift else wrapped


def region_mask(query: Tensor, key: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to logits by regions (windows, L) and (windows, M): (windows, L, M)."""
    return (query[:, :, None] != key[:, None, :]).to(dtype) * OTHER_REGION


def shift_mask(features: Tensor, window: Window, shift: Window) -> Tensor:
    """Return the mask of (N, H, W, C) in windows shifted by `shift`: (windows, L, L)."""
    inside = regions(features.shape[1:3], window, shift, features.device)
    return region_mask(inside, inside, features.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend in windows: softmax(query @ key / sqrt(F) + bias + mask) @ value.

    Args:
        query, key, value: (N * windows, heads, L or M, F).
        bias: (heads, L, M), or one for each window, or for all of them (..., heads, L, M).
        mask: (windows, L, M), that of `shift_mask`.
    """
    bias = bias[None] if bias.dim() == 3 else bias
    if mask is not None:
        bias = bias + mask[:, None]
    if query.device.type == "cpu" and torch.is_grad_enabled() and bias.requires_grad:
        # there PyTorch's function takes its slow form, which scales both sides
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        cells = logits.view(-1, *bias.shape) + bias
        return cells.view(logits.shape).softmax(-1) @ value
    if bias.shape[0] not in (1, query.shape[0]):
        bias = bias.repeat(query.shape[0] // bias.shape[0], 1, 1, 1)
    return fused_attention(query, key, value, bias, HEAD_MULTIPLE if query.device.type == "cuda" else 1)


def fused_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, multiple: int) -> Tensor:
    """Attend by PyTorch's function, with heads filled up to a multiple of channels by zeros.

    The paper's heads have 10 or 30 channels: a GPU's fused kernels take none of those, and the
    form that takes them computes half precision in float32.
    """
    channels = query.shape[-1]
    missing = -channels % multiple
    if missing:
        query, key, value = (F.pad(part, (0, missing)) for part in (query, key, value))
    result = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=channels**-0.5)
    return result[..., :channels] if missing else result


# ---- layers


class WindowAttention(nn.Module):
    """Multi-head attention in windows, with a bias by relative position (Swin Transformer).

    state_dict, Swin's: `relative_position_bias_table`, `qkv`, `proj`; not its constant
    `relative_position_index`.

    Args:
        num_features: channels, a multiple of `num_heads`.
        num_heads: heads.
        window: (height, width).
        shift: rows and columns that the windows are moved down and to the right.
        qkv_bias: query, key and value have biases.
    """

    relative_position_index: Tensor

    def __init__(
        self, num_features: int, num_heads: int, window: Window, shift: Window = (0, 0), qkv_bias: bool = True
    ) -> None:
        super().__init__()
        self.num_heads, self.window, self.shift = num_heads, window, shift
        rows = (2 * window[0] - 1) * (2 * window[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions(window), persistent=False)
        self.qkv = nn.Linear(num_features, 3 * num_features, bias=qkv_bias)
        self.proj = nn.Linear(num_features, num_features)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, H, W, C) -> the same; sides are multiples of the window. `mask`: see `shift_mask`."""
        size, (down, right) = features.shape[1:3], self.shift
        is_shifted = down > 0 or right > 0
        if is_shifted:
            features = features.roll((-down, -right), (1, 2))
        query, key, value = to_heads(self.qkv(features), self.window, self.num_heads, 3).unbind()
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        attended = attend(query, key, value, bias, mask if is_shifted else None)
        result = self.proj(from_heads(attended, size, self.window))
        return result.roll((down, right), (1, 2)) if is_shifted else result


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution of (N, H, W, C)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, H, W, inputs) -> (N, H, W, outputs)."""
        return F.linear(features, self.weight.flatten(1), self.bias)


class MLP(nn.Module):
    """Two linear layers with GELU between, for each pixel alone: `fc1`, `fc2`."""

    def __init__(self, num_features: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(num_features, hidden)
        self.fc2 = nn.Linear(hidden, num_features)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.fc2(F.gelu(self.fc1(features)))


class StochasticDepth(nn.Module):
    """Leaves a residual out, image by image, with probability `rate`, while training.

    The others are scaled so that the mean stays. The rate is a tensor: blocks that differ in it
    alone are one block for the compiler.
    """

    kept: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ConfigError(f"drop_path_rate={rate!r} is not possible; it is in [0, 1)", key="drop_path_rate")
        self.is_random = rate > 0
        self.register_buffer("kept", torch.tensor(1 - rate, dtype=torch.float32), persistent=False)

    def forward(self, residual: Tensor) -> Tensor:
        """(N, ...) -> the same."""
        if not (self.training and self.is_random):
            return residual
        chance = torch.rand([len(residual)] + [1] * (residual.dim() - 1), device=residual.device)
        return residual * (chance < self.kept) / self.kept


def drop_path_rates(highest: float, depths: Sequence[int]) -> list[list[float]]:
    """Return rates of stochastic depth of groups of blocks, rising evenly from 0 to `highest`."""
    steps = max(sum(depths) - 1, 1)
    starts = [sum(depths[:number]) for number in range(len(depths))]
    return [
        [highest * (start + block) / steps for block in range(depth)]
        for start, depth in zip(starts, depths, strict=True)
    ]


def init_transformer(module: nn.Module) -> None:
    """Initialise a linear layer or LayerNorm as Swin does; for `nn.Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def require_heads(owner: str, num_features: int, num_heads: Sequence[int], depths: Sequence[int]) -> None:
    """Raise a ConfigError unless each group of `depths` has heads that divide the channels."""
    for key, values in (("depths", depths), ("num_heads", num_heads)):
        whole = all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
        if not (values and whole):
            raise ConfigError(f"{owner}: {key}={values!r} is not possible; it is a list of whole numbers", key=key)
    if len(num_heads) != len(depths):
        fault = f"num_heads={num_heads!r} is not possible; it is one number for each of depths={depths!r}"
        raise ConfigError(f"{owner}: {fault}", key="num_heads")
    for heads in num_heads:
        if num_features % heads:
            fault = f"num_features={num_features} is not possible; it is a multiple of num_heads={heads}"
            raise ConfigError(f"{owner}: {fault}", key="num_features")
