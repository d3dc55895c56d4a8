"""Networks as files for other programs: ONNX and torch.export, for any batch, height and width.

An exported file takes a batch of RGB images, float32 (N, 3, H, W) in [0, 1], and gives them
upscaled, unclipped, as `restore` does: of a luma network the colour conversion and the bicubic
chroma are in the file. It needs no srtoolbox. Every file is loaded again, run on a photograph and
compared with the network before it gets its name.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from skimage.data import chelsea
from torch import Tensor, nn

from srtoolbox import __version__
from srtoolbox.apps.networks import NetworkSource, load
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, rgb_to_ycbcr, to_tensor, ycbcr_to_rgb
from srtoolbox.inference.restore import evaluation, restore
from srtoolbox.interfaces import facts_of
from srtoolbox.io import files
from srtoolbox.resize import imresize, upsampling_kernel

if TYPE_CHECKING:  # an extra, which may be missing
    from onnx import ModelProto
    from onnxruntime import SessionOptions

METADATA = "srtoolbox.json"
"""The entry of a torch.export file that tells about it; in ONNX these are the model's metadata."""
LIMITS = {"fp32": 80.0, "fp16": 40.0}
"""PSNR in dB that an exported file must reach against the network it was made of."""
_COMPARED = ((1, 67, 93), (1, 96, 64), (3, 33, 40))  # the same of the images to compare on, if they are so large
_SMALLEST = 33
_TRACED = (2, 24, 32)  # batch, height, width while tracing; divisible by every network's size_multiple
_Run = Callable[[np.ndarray], np.ndarray]


class ExportedFile(NamedTuple):
    """A file that has been written."""

    path: str
    kind: str
    """The network's, as 'ESPCN x3, fp32'."""
    parity: Parity
    """Of its result with the network's."""


def export_files(
    network: NetworkSource,
    *,
    onnx: str | os.PathLike[str] | None = None,
    torch_export: str | os.PathLike[str] | None = None,
    half: bool = False,
    bare: bool = False,
    image: str | os.PathLike[str] | None = None,
) -> Iterator[ExportedFile]:
    """Yield each file once it is written.

    Args:
        network: a network or a checkpoint.
        onnx, torch_export: the files to write.
        half, bare: see `export_onnx`.
        image: the file of an image to compare on; None is a photograph of scikit-image.

    Raises:
        SrtoolboxError: a checkpoint or image that cannot be read, or as `export_onnx`.
    """
    module = load(network, "cpu")[0]
    pixels = chelsea() if image is None else read_image(image)
    kind = f"{type(module).__name__} x{facts_of(module).scale}, {'fp16' if half else 'fp32'}"
    for path, export in ((onnx, export_onnx), (torch_export, export_torch)):
        if path is not None:
            yield ExportedFile(os.fspath(path), kind, export(module, path, half=half, bare=bare, image=pixels))


class Parity(NamedTuple):
    """The difference of an exported file's result from the network's, over all values."""

    psnr: float
    """In dB, for a peak of 1; inf where there is no difference."""
    largest: float
    """The largest difference."""


def export_onnx(
    network: nn.Module, path: str | os.PathLike, *, half: bool = False, bare: bool = False, image: np.ndarray
) -> Parity:
    """Write a network as ONNX: input `input`, output `output`, all axes but the channels free.

    Args:
        network: a generator; it is not changed.
        path: the file, written whole or not at all.
        half: compute in float16; input and output stay float32.
        bare: the network alone, as it is: a luma network then takes and gives one channel.
        image: the photograph (H, W, 3) uint8 or uint16 to compare on.

    Raises:
        SrtoolboxError: a package is missing, the network cannot be exported, or the file's result
            is another.
    """
    _package("onnxscript", "onnx")
    onnx, runtime = _package("onnx", "onnx"), _package("onnxruntime", "onnx")
    form = ExportForm(network, half=half, bare=bare)
    pieces = _pieces(form, image)
    with _one_error(network, "ONNX"), _quiet():
        program = torch.onnx.export(
            traced(form),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["input"],
            output_names=["output"],
        )
        assert program is not None, "it is None where a file is given"
        model = program.model_proto
        _name_axes(model, form.scale)
        for key, value in form.facts().items():
            model.metadata_props.add(key=key, value=value)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        session = runtime.InferenceSession(data, _options(runtime), providers=["CPUExecutionProvider"])
        parity = _compared(form, lambda batch: session.run(None, {"input": batch})[0], pieces)
    _check(parity, half, path)
    files.write_bytes(path, data)
    return parity


def export_torch(
    network: nn.Module, path: str | os.PathLike, *, half: bool = False, bare: bool = False, image: np.ndarray
) -> Parity:
    """Write a network as a torch.export program; arguments as `export_onnx`.

    Raises:
        SrtoolboxError: the network cannot be exported, or the file's result is another.
    """
    form = ExportForm(network, half=half, bare=bare)
    pieces = _pieces(form, image)
    with _one_error(network, "torch.export"), _quiet():
        buffer = io.BytesIO()
        torch.export.save(traced(form), buffer, extra_files={METADATA: json.dumps(form.facts())})
        loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
        parity = _compared(form, lambda batch: loaded(torch.from_numpy(batch)).numpy(), pieces)
    _check(parity, half, path)
    files.write_bytes(path, buffer.getbuffer())
    return parity


# ---- the module that is exported


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


# ---- checks


def _compared(form: ExportForm, run: _Run, pieces: Sequence[Tensor]) -> Parity:
    """Compare a file with its network in float32, in other sizes than traced."""
    worst, squared, count = 0.0, 0.0, 0
    for batch in pieces:
        expected = _reference(form, batch).numpy()
        result = np.asarray(run(batch.numpy()))
        if result.shape != expected.shape or result.dtype != np.float32:
            raise SrtoolboxError(f"gives {result.dtype} {result.shape} for {expected.shape}")
        difference = np.abs(result.astype(np.float64) - expected)
        worst = max(worst, float(difference.max()) if np.isfinite(result).all() else math.inf)
        squared, count = squared + float(np.square(difference).sum()), count + difference.size
    return Parity(math.inf if squared == 0 else 10 * math.log10(count / squared), worst)


def _pieces(form: ExportForm, image: np.ndarray) -> list[Tensor]:
    """Return batches around the middle of a photograph, (N, C, H, W), mirrored where N > 1."""
    whole = to_tensor(image if image.shape[2] == 3 else np.repeat(image, 3, 2))
    if min(whole.shape[-2:]) < _SMALLEST:
        raise SrtoolboxError(
            f"the image to compare on is {image.shape[1]}x{image.shape[0]}; it needs {_SMALLEST} px each way"
        )
    whole = whole if form.channels == 3 else rgb_to_ycbcr(whole)[:, :1]
    pieces = []
    for batch, *sides in _COMPARED:
        sides = [min(side, length) for side, length in zip(sides, whole.shape[-2:], strict=True)]
        top, left = ((length - side) // 2 for side, length in zip(sides, whole.shape[-2:], strict=True))
        piece = whole[..., top : top + sides[0], left : left + sides[1]]
        pieces.append(torch.cat([piece, piece.flip(3), piece.flip(2)][:batch]).contiguous())
    return pieces


def _reference(form: ExportForm, batch: Tensor) -> Tensor:
    (network,) = form.original
    with evaluation(network), torch.inference_mode():
        device = next(network.parameters(), torch.empty(0)).device
        return (network(batch.to(device)) if form.channels == 1 else restore(network, batch.to(device)).rgb).cpu()


def _check(parity: Parity, half: bool, path: str | os.PathLike) -> None:
    limit = LIMITS["fp16" if half else "fp32"]
    if not parity.psnr >= limit:
        advice = "; its values may be too large for float16: export in float32" if half else ""
        raise SrtoolboxError(
            f"{os.fspath(path)}: not written: its result differs from the network's "
            f"(PSNR {parity.psnr:.1f} dB, {limit:g} is asked; largest difference {parity.largest:.2g}){advice}"
        )


@contextlib.contextmanager
def _one_error(network: nn.Module, format_name: str) -> Iterator[None]:
    name = type(network).__name__
    try:
        yield
    except SrtoolboxError as error:
        raise SrtoolboxError(f"{name}: cannot be exported to {format_name}: {error}") from error
    except Exception as error:  # the exporter raises whatever a network's code and its own passes raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SrtoolboxError(
            f"{name}: cannot be exported to {format_name}: its forward must not depend on the values or the size of "
            f"its input, and use operators of torch alone ({type(error).__name__}: {reason[:300]})"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' progress and their advice about their own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _package(name: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SrtoolboxError(f"this needs the package {name}: pip install 'srtoolbox[{extra}]' ({error})") from error


def _options(runtime: ModuleType) -> SessionOptions:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return options


def _name_axes(model: ModelProto, scale: int) -> None:
    """Readable names for the free axes of input and output."""
    for value, height, width in (
        (model.graph.input[0], "height", "width"),
        (model.graph.output[0], f"{scale}*height", f"{scale}*width"),
    ):
        axes = value.type.tensor_type.shape.dim
        for axis, name in ((0, "batch"), (2, height), (3, width)):
            axes[axis].dim_param = name
