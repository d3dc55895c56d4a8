"""One picture, LR to SR. Evaluation and every tool go through here; padding and chroma are nobody else's business."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.dist import unwrap
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import rgb_to_ycbcr, to_image, to_tensor, ycbcr_to_rgb
from srtoolbox.interfaces import facts_of
from srtoolbox.resize import imresize


class Restored(NamedTuple):
    """What `restore` returns; neither tensor is clipped or rounded."""

    rgb: Tensor
    """(N, C, H, W) float, with as many channels as the input had: 3, or 1 for gray."""
    output: Tensor
    """The network's own output: (N, 1, H, W) luma of a Y network, else (N, 3, H, W)."""


def restore(network: nn.Module, lq: Tensor) -> Restored:
    """Upscale a batch of any size with a network of either colour.

    A Y network gets the BT.601 luma; the chroma is upscaled by bicubic interpolation. A gray batch is three equal
    channels to the network, and the result is averaged back to one. Gradients and modes are the caller's: see
    `evaluation`.

    Args:
        network: one of NETWORKS, bare or wrapped for DDP.
        lq: (N, C, h, w) float in [0, 1], C = 3 (RGB) or 1 (gray), on the network's device.

    Raises:
        SrtoolboxError: another number of channels.
    """
    gray = lq.shape[1] == 1
    if lq.dim() != 4 or lq.shape[1] not in (1, 3):
        raise SrtoolboxError(f"restore takes (N, 3, H, W) or (N, 1, H, W), got {tuple(lq.shape)}")
    rgb = lq.expand(-1, 3, -1, -1) if gray else lq
    if unwrap(network).colour == "y":
        ycbcr = rgb_to_ycbcr(rgb)
        output = _run(network, ycbcr[:, :1])
        chroma = imresize(ycbcr[:, 1:], size=output.shape[-2:])
        restored = ycbcr_to_rgb(torch.cat([output.to(chroma.dtype), chroma], 1))
    else:
        restored = output = _run(network, rgb)
    return Restored(restored.mean(1, keepdim=True) if gray else restored, output)


def upscale_whole(network: nn.Module, image: np.ndarray, *, device: torch.device | str | None = None) -> np.ndarray:
    """Upscale one picture by one run of the network on all of it: for small ones, and for who watches the network.

    `upscaler.upscale`, which the package offers, takes pictures of any size.

    Args:
        network: one of NETWORKS; its training flags are as before afterwards.
        image: HWC uint8 or uint16, RGB or gray (C = 1).
        device: where to run; the network is moved there. None: where the network is.

    Returns:
        HWC of `scale` times the size, same dtype and number of channels.
    """
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16):
        raise SrtoolboxError(f"upscale takes an HWC uint8 or uint16 picture, got {image.dtype} {image.shape}")
    if device is not None:
        network.to(device)
    placed = next(network.parameters(), torch.empty(0, device=device))
    with evaluation(network), torch.inference_mode():
        restored = restore(network, to_tensor(image, placed.device)).rgb
    return to_image(restored, bits=8 * image.dtype.itemsize)


@contextlib.contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards every module is as it was (a frozen BatchNorm stays frozen).

    float32 is float32 inside: cuDNN would round the inputs of convolutions to 10 bits (TF32), which scores show.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with _plain_float32():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _plain_float32() -> Iterator[None]:
    """No TF32 in cuDNN.

    torch keeps this twice, for each kind of layer and as one flag over all, and refuses to read the flag while the two
    disagree, as `torch.backends.cudnn.flags()` does. So both are set, wherever somebody has not set them apart before.
    """
    cudnn = torch.backends.cudnn
    kinds = (cudnn.conv, cudnn.rnn)
    before = [kind.fp32_precision for kind in kinds]
    try:
        allowed = cudnn.allow_tf32
    except RuntimeError:
        allowed = None
    if allowed is not None:
        cudnn.allow_tf32 = False  # first: it resets the others
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        if allowed is not None:
            cudnn.allow_tf32 = allowed
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


def _run(network: nn.Module, lq: Tensor) -> Tensor:
    """The network on any size: padded below and at the right to its `size_multiple`, the result cut to fit."""
    facts = facts_of(network)
    height, width = lq.shape[-2:]
    bottom, right = -height % facts.size_multiple, -width % facts.size_multiple
    if bottom or right:
        mode = "reflect" if bottom < height and right < width else "replicate"
        lq = F.pad(lq, (0, right, 0, bottom), mode=mode)
    return network(_fast_layout(lq))[..., : height * facts.scale, : width * facts.scale]


def _fast_layout(lq: Tensor) -> Tensor:
    """Channels last on the CPU, where it nearly halves the time of most networks; elsewhere the layout is left alone.

    With one channel both layouts are the same memory, and torch goes by the strides: so those are set by hand.
    """
    if lq.device.type != "cpu":
        return lq
    if lq.shape[1] > 1:
        return lq.contiguous(memory_format=torch.channels_last)
    height, width = lq.shape[-2:]
    return lq.contiguous().as_strided(lq.shape, (height * width, 1, width, 1))
