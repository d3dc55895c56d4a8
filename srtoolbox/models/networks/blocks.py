"""Common parts of networks: convolutions, initialisations, exact receptive fields, crop sizes.

Beside the facts that every network carries (`interfaces.NetworkFacts`), some have:

`hidden_arguments`, on the class: arguments that leave no trace in the state_dict, each with the
    values in use. Weights of other projects are tried with all of them (weights/trial.py).
`extract(lq)` and `reconstruct(features, lq)`, see `interfaces.Splittable`: a body at the LR size
    under a tail of several upsampling steps.
`refine(upscaled)`, see `interfaces.Refinable`: what follows a bicubic interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import SRNetwork, require_positive
from srtoolbox.resize import imresize

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Of red, green and blue over DIV2K's training images, in [0, 1]."""
MIN_VARIANCE = 1e-12  # of a constant channel: the gradient of a square root at 0 is infinite
Step = int | tuple[str, int] | tuple[str, int, int]
Padding = Literal["zeros", "reflect", "replicate", "circular"]


class PreUpsampled(SRNetwork):
    """Base of networks that interpolate first: a subclass has `refine` and its `refine_field`."""

    def forward(self, lq: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W), or to `size`, (height, width)."""
        height, width = size or (lq.shape[-2] * self.scale, lq.shape[-1] * self.scale)
        is_resized = lq.shape[-2:] != (height, width)
        return self.refine(imresize(lq, size=(height, width)) if is_resized else lq)

    def refine(self, upscaled: Tensor) -> Tensor:
        """Return the output for an interpolated image, of its size; sees `refine_field` pixels."""
        raise NotImplementedError


class Centred(SRNetwork):
    """Base of networks that work on `img_range * (image - mean)`: `centre` first, `uncentre` last.

    The mean is no tensor of the state_dict.

    Args:
        scale, colour: as in `SRNetwork`.
        img_range: factor of the values, 255 where the published training works on 0 ... 255.
        rgb_mean: of red, green and blue in [0, 1]; luma has none taken off.
    """

    mean: Tensor

    def __init__(self, scale: int, colour: str, img_range: float, rgb_mean: Sequence[float]) -> None:
        super().__init__(scale, colour)
        owner = type(self).__name__
        if not img_range > 0:
            raise ConfigError(f"{owner}: img_range={img_range!r} is not possible; it is above 0", key="img_range")
        if len(rgb_mean) != 3:
            fault = f"rgb_mean={rgb_mean!r} is not possible; it is three numbers: red, green, blue"
            raise ConfigError(f"{owner}: {fault}", key="rgb_mean")
        self.img_range = float(img_range)
        mean = torch.tensor(rgb_mean if colour == "rgb" else [0.0], dtype=torch.float32)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)

    def centre(self, image: Tensor) -> Tensor:
        """Return the numbers that the layers work on, of an image in [0, 1]."""
        return (image - self.mean) * self.img_range

    def uncentre(self, result: Tensor) -> Tensor:
        """Return the image of what the layers give."""
        return result / self.img_range + self.mean


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel, with a weight and a bias of each.

    Args:
        num_features: channels.
        eps: least variance.
    """

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """(N, F, H, W) -> (N, F, H, W); statistics in float32 at least."""
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        # with channels last, the one kernel is the fastest
        if exact.is_contiguous(memory_format=torch.channels_last):
            pixels = F.layer_norm(exact.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
            return pixels.permute(0, 3, 1, 2).to(features.dtype)
        centred = exact - exact.mean(1, keepdim=True)
        factor = torch.rsqrt(centred.square().mean(1, keepdim=True) + self.eps)
        weight, bias = self.weight.view(-1, 1, 1), self.bias.view(-1, 1, 1)
        return torch.addcmul(bias, centred * factor, weight).to(features.dtype)


def sub_pixel_steps(scale: int, num_features: int) -> list[nn.Module]:
    """Return convolutions with sub-pixel shuffles: one by 3, or each by 2, as EDSR has them.

    In an `nn.Sequential` the convolutions are `0`, `2` ..., their names in most public weights.

    Raises:
        ConfigError: a scale that is neither 3 nor a power of 2.
    """
    factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    if math.prod(factors) != scale:
        raise ConfigError(f"scale={scale} is not possible; it is 3 or a power of 2", key="scale")
    steps: list[nn.Module] = []
    for factor in factors:
        steps += [nn.Conv2d(num_features, num_features * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return steps


def sub_pixel_field(scale: int) -> list[Step]:
    """Return the steps of `sub_pixel_steps` for `receptive_field`."""
    shuffles = [step.upscale_factor for step in sub_pixel_steps(scale, 1) if isinstance(step, nn.PixelShuffle)]
    return [step for factor in shuffles for step in (3, ("shuffle", factor))]


class ContrastAttention(nn.Module):
    """IMDN's: scales channels by a function of all channels' mean plus deviation over the image.

    Args:
        num_features: channels of the features.
        reduction: so many times fewer are inside.
    """

    def __init__(self, num_features: int, reduction: int) -> None:
        super().__init__()
        hidden = num_features // reduction
        self.conv_du = nn.Sequential(
            nn.Conv2d(num_features, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, num_features, 1), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        # statistics over a whole image overflow half precision
        exact = features.to(torch.promote_types(features.dtype, torch.float32))
        variance, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        contrast = variance.clamp_min(MIN_VARIANCE).sqrt() + mean
        return features * self.conv_du(contrast.to(features.dtype))


class SpatialAttention(nn.Module):
    """ESA: scales features by a map, made of a few channels at about a sixth of the size.

    Liu, Zhang, Wang, Tang, Wu: "Residual feature aggregation network for image super-resolution"
    (CVPR 2020). A side of fewer than 15 pixels, of which nothing would be left, is continued by its
    last pixel. Where the coarse pixels lie depends on the size of the whole image.

    Args:
        num_features: channels of the features.
        hidden: channels of the map.
        is_deep: three convolutions of the coarse map with ReLUs between them, as in RFDN; else one.
    """

    SMALLEST = 15

    def __init__(self, num_features: int, hidden: int, is_deep: bool) -> None:
        super().__init__()
        self._refinement = ("conv_max", "conv3", "conv3_") if is_deep else ("conv3",)
        self.conv1 = nn.Conv2d(num_features, hidden, 1)
        self.conv_f = nn.Conv2d(hidden, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=2)
        for name in self._refinement:
            self.add_module(name, nn.Conv2d(hidden, hidden, 3, padding=1))
        self.conv4 = nn.Conv2d(hidden, num_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        reduced = self.conv1(features)
        enough = _continued(_continued(reduced, 2, self.SMALLEST), 3, self.SMALLEST)
        coarse = F.max_pool2d(self.conv2(enough), 7, stride=3)
        for number, name in enumerate(self._refinement):
            coarse = self.get_submodule(name)(F.relu(coarse, inplace=True) if number else coarse)
        fine = F.interpolate(coarse, features.shape[2:], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(self.conv4(fine + self.conv_f(reduced)))


def _continued(image: Tensor, dim: int, least: int) -> Tensor:
    """Repeat the last row or column up to a least number of them."""
    length = image.shape[dim]
    if not torch.compiler.is_exporting() and length >= least:
        return image
    index = torch.arange(torch.sym_max(length, least), device=image.device)
    return image.index_select(dim, index.clamp(max=length - 1))


def gt_sizes(context: Mapping[str, Any]) -> dict[str, int]:
    """Return the side of the GT that a training gives to the networks, by its place in the config.

    It is the `gt_size` of what makes LQ from larger GT, else of every training dataset.
    """
    model = context.get("model")
    preprocess = model.get("preprocess") if isinstance(model, Mapping) else None
    if isinstance(preprocess, Mapping) and isinstance(preprocess.get("gt_size"), int):
        return {"model.preprocess.gt_size": preprocess["gt_size"]}
    node: Any = context
    for key in ("data", "train", "dataset"):
        node = node.get(key) if isinstance(node, Mapping) else None
    sizes: dict[str, int] = {}
    pending = [("data.train.dataset", node)]
    while pending:
        path, node = pending.pop(0)
        if not isinstance(node, Mapping):
            continue
        pipeline = node.get("pipeline")
        if isinstance(pipeline, Mapping) and isinstance(pipeline.get("gt_size"), int):
            sizes[f"{path}.pipeline.gt_size"] = pipeline["gt_size"]
        elif isinstance(node.get("gt_size"), int):
            sizes[f"{path}.gt_size"] = node["gt_size"]
        inner = node.get("datasets")
        entries = inner.items() if isinstance(inner, Mapping) else enumerate(inner or ())
        pending += [(f"{path}.datasets.{name}", item) for name, item in entries]
    return sizes


def shown_size(image: Tensor) -> str:
    """Return the size of images for a message: '24 x 32'."""
    return " x ".join(map(str, image.shape[-2:]))


def zero_bias(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Set the bias of a convolution, if it has one, to zero."""
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_scaled(module: nn.Module) -> None:
    """Initialise a module that is a convolution as BasicSR does: He normal times 0.1, zero bias."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        module.weight.data.mul_(0.1)
        zero_bias(module)


def add_convs(
    network: nn.Module, widths: Sequence[int], kernels: Sequence[int], padding_mode: Padding = "zeros"
) -> list[nn.Conv2d]:
    """Add "same" convolutions `conv1` ... : conv i maps widths[i - 1] to widths[i] channels.

    Raises:
        ConfigError: the numbers do not fit together, or a kernel is even.
    """
    owner = type(network).__name__
    if len(kernels) != len(widths) - 1:
        fault = f"{len(kernels)} kernels need {len(kernels) - 1} hidden channels, got {len(widths) - 2}"
        raise ConfigError(f"{owner}: {fault}", key="channels")
    require_positive(owner, **{f"channels[{i}]": width for i, width in enumerate(widths[1:-1])})
    for kernel in kernels:
        if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
            fault = f"kernels={tuple(kernels)!r} is not possible; each is a positive odd integer"
            raise ConfigError(f"{owner}: {fault}", key="kernels")
    convs = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode=padding_mode)
        for inputs, outputs, kernel in zip(widths[:-1], widths[1:], kernels, strict=True)
    ]
    for number, conv in enumerate(convs, start=1):
        network.add_module(f"conv{number}", conv)
    return convs


def leaky(features: Tensor, slope: float = 0.2) -> Tensor:
    """LeakyReLU in place: the backward pass of the convolution before does not need its output."""
    return F.leaky_relu(features, slope, inplace=True)


def receptive_field(steps: Sequence[Step]) -> int:
    """Return the exact radius in LR pixels of a chain of "same" convolutions and changes of size.

    Args:
        steps: in forward order, a kernel size for each convolution, ("shuffle", s) for an
            upsampling by s that takes every pixel from the one below it (sub-pixel, nearest),
            ("bicubic", s) for an interpolation by s (kernel of half-width 2 LR pixels),
            ("transposed", s, kernel) for a transposed convolution padded by kernel // 2,
            ("pooled", k, kernel) for a pooling by k, a convolution and the way back by nearest
            pixels, ("pooled bilinear", k, kernel) for the same back by interpolation, and
            ("unshuffle", s), as the first step only, for a sub-pixel downsampling.
    """
    first = steps[0] if steps else 1
    cell = first[1] if isinstance(first, tuple) and first[0] == "unshuffle" else 1
    rest = steps[1:] if cell > 1 else steps
    pooled = [step[1] for step in rest if not isinstance(step, int) and step[0].startswith("pooled")]
    factors = [step[1] for step in rest if not isinstance(step, int) and not step[0].startswith("pooled")]
    scale = math.prod(factors) // cell
    radii = []
    # of one cell each sees the others from its place
    for pixel in range(cell * max(pooled, default=1)):
        low, high = _input_range(rest, pixel * scale, (pixel + 1) * scale - 1)
        radii += [pixel - low * cell, high * cell + cell - 1 - pixel]
    return max(radii)


def _input_range(steps: Sequence[Step], low: int, high: int) -> tuple[int, int]:
    """Return the first and last input pixel that the output pixels low ... high depend on."""
    for step in reversed(steps):
        if isinstance(step, int):
            low, high = low - step // 2, high + step // 2
            continue
        kind, factor, *kernels = step
        if kind == "shuffle":
            low, high = low // factor, high // factor
        elif kind == "transposed":  # input i adds to i * factor - pad ... + kernel - 1
            kernel, pad = kernels[0], kernels[0] // 2
            low, high = -((kernel - 1 - pad - low) // factor), (high + pad) // factor
        elif kind.startswith("pooled"):
            if kind == "pooled bilinear":  # pixel q is at (q + 1/2) / factor - 1/2, between two
                low, high = low - factor // 2, high + factor // 2
            low = (low // factor - kernels[0] // 2) * factor
            high = (high // factor + kernels[0] // 2 + 1) * factor - 1
        elif factor > 1:  # HR pixel q is at LR (q + 1/2) / factor - 1/2 and sees those nearer than 2
            first, last = (Fraction(2 * q + 1 - factor, 2 * factor) for q in (low, high))
            low, high = math.floor(first - 2) + 1, math.ceil(last + 2) - 1
    return low, high
