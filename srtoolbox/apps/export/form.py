"""The module that is exported of a network, and its program, for any batch, height and width."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox import __version__
from srtoolbox.image import rgb_to_ycbcr, ycbcr_to_rgb
from srtoolbox.interfaces import facts_of
from srtoolbox.resize import imresize, upsampling_kernel

_TRACED = (2, 24, 32)  # batch, height, width while tracing; divisible by every network's size_multiple


class ExportForm(nn.Module):
    """The module that is exported of a network, in which nothing depends on the traced size.

    It maps float32 (N, C, H, W) to (N, C, scale * H, scale * W).

    Args:
        network, half, bare: as in `export_onnx`.
    """

    def __init__(self, network: nn.Module, *, half: bool, bare: bool) -> None:
        super().__init__()
        self.original = [network]  # in a list: no part of this module
        self.network = (
            copy.deepcopy(network).cpu().to(torch.float16 if half else torch.float32).eval().requires_grad_(False)
        )
        facts = facts_of(network)
        self.half_precision, self.plain = half, bare or facts.colour == "rgb"
        self.scale, self.multiple = facts.scale, facts.size_multiple
        self.channels = facts.in_channels if bare else 3
        self.smallest = 1 if self.multiple == 1 else self.multiple + 1  # what mirroring needs

    def facts(self) -> dict[str, str]:
        """Return the metadata of the file."""
        network = self.original[0]
        colour = facts_of(network).colour
        facts = {
            "producer": f"srtoolbox {__version__}",
            "network": type(network).__name__,
            "scale": self.scale,
            "channels": self.channels,
            "colour": colour if self.plain else "rgb",
            "network_colour": colour,
            "range": "0 ... 1",
            "smallest_side": self.smallest,
            "precision": "fp16" if self.half_precision else "fp32",
        }
        return {key: str(value) for key, value in facts.items()}

    def forward(self, image: Tensor) -> Tensor:
        if self.plain:
            return self._run(image)
        ycbcr = rgb_to_ycbcr(image)
        height, width = image.shape[-2:]
        chroma = imresize(ycbcr[:, 1:], size=(height * self.scale, width * self.scale))
        return ycbcr_to_rgb(torch.cat([self._run(ycbcr[:, :1]), chroma], 1))

    def _run(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        if self.multiple > 1:
            lq = _filled(_filled(lq, 2, self.multiple), 3, self.multiple)
        sr = self.network(lq.to(torch.float16) if self.half_precision else lq).to(torch.float32)
        if self.multiple > 1:
            for dim, length in ((2, height * self.scale), (3, width * self.scale)):
                sr = sr.index_select(dim, torch.arange(length))
        return sr


def _filled(lq: Tensor, dim: int, multiple: int) -> Tensor:
    """Mirror the end of an axis to fill a multiple, as `inference.restore` pads.

    By indices, which an exporter takes for any size; of a padding that may be nothing it wants to
    know whether it is.
    """
    length = lq.shape[dim]
    index = torch.arange((length + multiple - 1) // multiple * multiple)
    return lq.index_select(dim, torch.where(index < length, index, (2 * length - 2 - index).clamp(0)))


def traced(form: ExportForm) -> torch.export.ExportedProgram:
    """Return the program of a form, with bicubic steps as convolutions, which all know."""
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    height, width = (torch.export.Dim(name, min=form.smallest, max=1 << 16) for name in ("height", "width"))
    example = torch.rand(_TRACED[0], form.channels, *_TRACED[1:], generator=torch.Generator().manual_seed(0))
    program = torch.export.export(form, (example,), dynamic_shapes=({0: batch, 2: height, 3: width},), strict=False)
    return program.run_decompositions({torch.ops.srtoolbox.imresize.default: _as_convolution})


def _as_convolution(x: Tensor, height: int, width: int, new_height: int, new_width: int, *how: object) -> Tensor:
    """Enlarge bicubically by a whole factor: each phase is one 5 x 5 convolution, in float32."""
    factor, channels = int(new_height // height), x.shape[1]
    # number by number: a tensor made while tracing would have to be a constant of the program
    kernel = torch.cat([x.new_full((1,), value, dtype=torch.float32) for value in upsampling_kernel(factor)])
    kernel = kernel.view(factor, 1, 5, 1) * kernel.view(1, factor, 1, 5)
    weight = kernel.reshape(-1, 1, 5, 5).repeat(channels, 1, 1, 1)
    padded = F.pad(x.to(torch.float32), (2, 2, 2, 2), mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, weight, groups=channels), factor).to(x.dtype)
