"""A network on tensors: padding, chroma and precision, for evaluation and every tool."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import rgb_to_ycbcr, to_image, to_tensor, ycbcr_to_rgb
from srtoolbox.inference.wrappers import SelfEnsemble
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.resize import imresize

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Restored(NamedTuple):
    """The result of `restore`; neither tensor is clipped or rounded."""

    rgb: Tensor
    """(N, C, H, W) float, with as many channels as the input had: 3, or 1 for gray."""
    output: Tensor
    """The network's own output: (N, 1, H, W) luma of a Y network, else (N, 3, H, W)."""


def restore(network: nn.Module, lq: Tensor) -> Restored:
    """Upscale a batch of any size with a network of either colour.

    A Y network gets the BT.601 luma; the chroma is upscaled by bicubic interpolation. A gray batch
    is three equal channels to the network, and the result is averaged back to one. Gradients and
    modes are the caller's: see `evaluation`.

    Args:
        network: one of NETWORKS, bare or wrapped for DDP.
        lq: (N, C, h, w) float in [0, 1], C = 3 (RGB) or 1 (gray), on the network's device.

    Raises:
        SrtoolboxError: another number of channels.
    """
    is_gray = lq.shape[1] == 1
    if lq.dim() != 4 or lq.shape[1] not in (1, 3):
        raise SrtoolboxError(f"restore takes (N, 3, H, W) or (N, 1, H, W), got {tuple(lq.shape)}")
    rgb = lq.expand(-1, 3, -1, -1) if is_gray else lq
    if facts_of(network).colour == "y":
        ycbcr = rgb_to_ycbcr(rgb)
        output = _run_padded(network, ycbcr[:, :1])
        chroma = imresize(ycbcr[:, 1:], size=(output.shape[-2], output.shape[-1]))
        restored = ycbcr_to_rgb(torch.cat([output.to(chroma.dtype), chroma], 1))
    else:
        restored = output = _run_padded(network, rgb)
    return Restored(restored.mean(1, keepdim=True) if is_gray else restored, output)


def _run_padded(network: nn.Module, lq: Tensor) -> Tensor:
    """Run on any size: padded below and at the right to the `size_multiple`, the result cut to fit."""
    facts = facts_of(network)
    height, width = lq.shape[-2:]
    bottom, right = -height % facts.size_multiple, -width % facts.size_multiple
    if bottom or right:
        mode = "reflect" if bottom < height and right < width else "replicate"
        lq = F.pad(lq, (0, right, 0, bottom), mode=mode)
    if lq.device.type == "cpu":  # channels last nearly halves the time of most networks there
        lq = lq.contiguous(memory_format=torch.channels_last)
        if lq.shape[1] == 1:  # both layouts are the same memory then, and torch goes by the strides
            rows, columns = lq.shape[-2:]
            lq = lq.as_strided(lq.shape, (rows * columns, 1, columns, 1))
    return network(lq)[..., : height * facts.scale, : width * facts.scale]


class AutocastRestore:
    """`restore` under autocast: weights stay float32, convolutions and products run in `dtype`.

    Half precision ends at 65504: a network whose values go beyond gives infinite or black pixels.
    Where that happens it is run again in float32, as is everything after.

    Args:
        network: one of NETWORKS.
        dtype: one of DTYPES.
        ensemble: average eight orientations, see `SelfEnsemble`.
    """

    def __init__(self, network: nn.Module, dtype: str, *, ensemble: bool = False) -> None:
        self.network = SelfEnsemble(network) if ensemble else network
        self.dtype = DTYPES[dtype]

    def __call__(self, lq: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] -> float (N, C, scale * h, scale * w).

        Raises:
            SrtoolboxError: the network's values are not finite in float32 either.
        """
        result = self._run(lq)
        if result is None and self.dtype != torch.float32:
            name = str(self.dtype).removeprefix("torch.")
            LOGGER.warning("the result in %s is not finite (its range is too small for it): going on in float32", name)
            self.dtype = torch.float32
            result = self._run(lq)
        if result is None:
            raise SrtoolboxError("the network gives values that are not finite: its weights are ruined or not for it")
        return result

    def _run(self, lq: Tensor) -> Tensor | None:
        """Return the result, or None where it is not finite."""
        with torch.autocast(lq.device.type, self.dtype, enabled=self.dtype != torch.float32):
            result = restore(self.network, lq).rgb
        return result if bool(result.sum(dtype=torch.float32).isfinite()) else None


def upscale_whole(network: nn.Module, image: np.ndarray, *, device: torch.device | str | None = None) -> np.ndarray:
    """Upscale one image by one run of the network on all of it: to watch the network, say.

    `upscaler.upscale`, which the package offers, takes images of any size.

    Args:
        network: one of NETWORKS; its training flags are as before afterwards.
        image: HWC uint8 or uint16, RGB or gray (C = 1).
        device: where to run; the network is moved there. None: where the network is.

    Returns:
        HWC of `scale` times the size, same dtype and number of channels.
    """
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16):
        raise SrtoolboxError(f"upscale takes an HWC uint8 or uint16 image, got {image.dtype} {image.shape}")
    if device is not None:
        network.to(device)
    with evaluation(network), torch.inference_mode():
        restored = restore(network, to_tensor(image, device_of(network, device))).rgb
    return to_image(restored, bits=8 * image.dtype.itemsize)


def device_of(network: nn.Module, default: torch.device | str | None = None) -> torch.device:
    """Return where a network's parameters are; `default`, or the CPU, where it has none."""
    return next(network.parameters(), torch.empty(0, device=default)).device


@contextlib.contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Keep the network in evaluation mode inside, every module as it was afterwards.

    So a frozen BatchNorm stays frozen. float32 is float32 inside: cuDNN would round the inputs of
    convolutions to 10 bits (TF32), which scores show. torch keeps this twice, for each kind of
    layer and as one flag over all, and refuses to read the flag while the two disagree, as
    `torch.backends.cudnn.flags()` does. So both are set, wherever nobody has set them apart before.
    """
    modes = [(module, module.training) for module in network.modules()]
    cudnn = torch.backends.cudnn
    kinds = [getattr(cudnn, name) for name in ("conv", "rnn")]  # torch's stubs do not know them
    before = [kind.fp32_precision for kind in kinds]
    try:
        allowed = cudnn.allow_tf32
    except RuntimeError:
        allowed = None
    network.eval()
    try:
        if allowed is not None:
            cudnn.allow_tf32 = False  # first: it resets the others
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        if allowed is not None:
            cudnn.allow_tf32 = allowed
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
        for module, training in modes:
            module.training = training
