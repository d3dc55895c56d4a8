"""The module that is exported of a network: what a file takes and gives, and says about itself."""

from __future__ import annotations

import copy
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox import __version__
from srtoolbox.compat.pytorch import no_special_sizes
from srtoolbox.errors import OptionError
from srtoolbox.image import rgb_to_ycbcr, ycbcr_to_rgb
from srtoolbox.inference.tiling.receptive_field import receptive_field_of
from srtoolbox.interfaces import facts_of, fuse_branches
from srtoolbox.resize import imresize, upsampling_kernel

METADATA = "srtoolbox.json"
"""The entry of a torch.export file that tells about it; in ONNX these are the model's metadata."""
NUMBERS = {"fp32": torch.float32, "fp16": torch.float16, "uint8": torch.uint8}
"""The numbers that a file may take and give."""
LAYOUTS = ("nchw", "nhwc")
# batch, height, width while tracing; divisible by every network's size_multiple
_TRACED = (2, 24, 32)
Sizes = tuple[dict[int, Any]] | None  # for each axis that is free, its range; None: none is


class FormOptions(TypedDict, total=False):
    """The arguments of `ExportForm` beside its network."""

    half: bool
    bare: bool
    static: tuple[int, int] | None
    io: str
    layout: str


class ExportForm(nn.Module):
    """The module that is exported of a network, in which nothing depends on the traced size.

    It maps (N, C, H, W) to (N, C, scale * H, scale * W): float in [0, 1], or uint8.

    Args:
        network: a generator; it is not changed.
        half: compute in float16.
        bare: the network alone, as it is: a luma network then takes and gives one channel.
        static: the only (height, width) that it takes, of one image at a time; None: any.
        io: the numbers that it takes and gives, one of NUMBERS. uint8 is rounded and clipped.
        layout: 'nchw', or 'nhwc' for (N, H, W, C) in and out.

    Raises:
        OptionError: an argument that is not possible.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        half: bool = False,
        bare: bool = False,
        static: tuple[int, int] | None = None,
        io: str = "fp32",
        layout: str = "nchw",
    ) -> None:
        super().__init__()
        self.original = [network]  # in a list: no part of this module
        self.compute = torch.float16 if half else torch.float32
        own = copy.deepcopy(network)
        fuse_branches(own)
        self.network = own.cpu().to(self.compute).eval().requires_grad_(False)
        facts = facts_of(network)
        self.plain, self.bare = bare or facts.colour == "rgb", bare
        self.scale, self.multiple = facts.scale, facts.size_multiple
        self.channels = facts.in_channels if bare else 3
        cell = max(self.multiple, getattr(network, "padded_multiple", 1))
        self.smallest = 1 if cell == 1 else cell + 1  # what mirroring needs
        self.static, self.io, self.layout = static, io, layout
        if io not in NUMBERS:
            raise OptionError(f"io is one of {', '.join(NUMBERS)}, got {io!r}")
        if layout not in LAYOUTS:
            raise OptionError(f"layout is one of {', '.join(LAYOUTS)}, got {layout!r}")
        if static is not None and min(static) < self.smallest:
            raise OptionError(f"static: this network takes sides of at least {self.smallest}, got {static}")

    def facts(self) -> dict[str, str]:
        """Return the metadata of the file."""
        network = self.original[0]
        colour, field = facts_of(network).colour, receptive_field_of(network)
        facts = {
            "producer": f"srtoolbox {__version__}",
            "version": __version__,
            "network": type(network).__name__,
            "scale": self.scale,
            "channels": self.channels,
            "colour": colour if self.plain else "rgb",
            "network_colour": colour,
            "range": "0 ... 255" if self.io == "uint8" else "0 ... 1",
            "smallest_side": self.smallest,
            "size_multiple": self.multiple,
            "receptive_field": "unknown" if field is None else field,
            "precision": "fp16" if self.compute == torch.float16 else "fp32",
            "io": self.io,
            "layout": self.layout,
        }
        return {key: str(value) for key, value in facts.items()}

    def forward(self, image: Tensor) -> Tensor:
        if self.layout == "nhwc":
            image = image.permute(0, 3, 1, 2)
        if self.io == "uint8":
            image = image.to(torch.float32) / 255
        sr = self._run(image) if self.plain else self._run_luma(image.to(torch.float32))
        if self.io == "uint8":
            sr = (sr.to(torch.float32) * 255).round().clamp(0, 255)
        sr = sr.to(NUMBERS[self.io])
        return sr.permute(0, 2, 3, 1) if self.layout == "nhwc" else sr

    def _run_luma(self, image: Tensor) -> Tensor:
        ycbcr = rgb_to_ycbcr(image)
        height, width = image.shape[-2:]
        chroma = imresize(ycbcr[:, 1:], size=(height * self.scale, width * self.scale))
        return ycbcr_to_rgb(torch.cat([self._run(ycbcr[:, :1]).to(torch.float32), chroma], 1))

    def _run(self, lq: Tensor) -> Tensor:
        height, width = lq.shape[-2:]
        fits = self.static is not None and not any(side % self.multiple for side in self.static)
        if self.multiple > 1 and not fits:
            lq = _filled(_filled(lq, 2, self.multiple), 3, self.multiple)
        sr = self.network(lq.to(self.compute))
        if self.multiple > 1 and not fits:
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
    sizes = _TRACED if form.static is None else (1, *form.static)
    shape = (sizes[0], form.channels, *sizes[1:])
    shape = (shape[0], *shape[2:], shape[1]) if form.layout == "nhwc" else shape
    example = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    example = (example * (255 if form.io == "uint8" else 1)).to(NUMBERS[form.io])
    free = None
    if form.static is None:
        batch = torch.export.Dim("batch", min=1, max=1 << 16)
        height, width = (torch.export.Dim(name, min=form.smallest, max=1 << 16) for name in ("height", "width"))
        free = (dict(zip(axes_of(form.layout), (batch, height, width), strict=True)),)
    try:
        return _program(form, example, free)
    except Exception:  # a size inside was compared with 1, say; what else it is, is raised again
        with no_special_sizes():
            return _program(form, example, free)


def _program(form: ExportForm, example: Tensor, free: Sizes) -> torch.export.ExportedProgram:
    program = torch.export.export(form, (example,), dynamic_shapes=free, strict=False)
    return program.run_decompositions({torch.ops.srtoolbox.imresize.default: _as_convolution})


def axes_of(layout: str) -> tuple[int, int, int]:
    """Return the places of batch, height and width."""
    return (0, 1, 2) if layout == "nhwc" else (0, 2, 3)


def _as_convolution(x: Tensor, height: int, width: int, new_height: int, new_width: int, *how: object) -> Tensor:
    """Enlarge bicubically by a whole factor: each phase is one 5 x 5 convolution, in float32."""
    factor, channels = int(new_height // height), x.shape[1]
    # number by number: a tensor made while tracing would have to be a constant of the program
    kernel = torch.cat([x.new_full((1,), value, dtype=torch.float32) for value in upsampling_kernel(factor)])
    kernel = kernel.view(factor, 1, 5, 1) * kernel.view(1, factor, 1, 5)
    weight = kernel.reshape(-1, 1, 5, 5).repeat(channels, 1, 1, 1)
    padded = F.pad(x.to(torch.float32), (2, 2, 2, 2), mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, weight, groups=channels), factor).to(x.dtype)
