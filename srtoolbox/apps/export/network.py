"""Networks as files for other programs: ONNX and torch.export, for any batch, height and width.

An exported file takes a batch of RGB images, float32 (N, 3, H, W) in [0, 1], and gives them
upscaled, unclipped, as `restore` does: of a luma network the colour conversion and the bicubic
chroma are in the file. It needs no srtoolbox. Every file is loaded again, run on a photograph and
compared with the network before it gets its name.
"""

from __future__ import annotations

import contextlib
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
from skimage.data import chelsea
from torch import Tensor, nn

from srtoolbox.apps.export.form import ExportForm, traced
from srtoolbox.apps.networks import NetworkSource, load
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image, rgb_to_ycbcr, to_tensor
from srtoolbox.inference.restore import evaluation, restore
from srtoolbox.interfaces import facts_of
from srtoolbox.io import files

if TYPE_CHECKING:  # an extra, which may be missing
    from onnx import ModelProto
    from onnxruntime import SessionOptions

METADATA = "srtoolbox.json"
"""The entry of a torch.export file that tells about it; in ONNX these are the model's metadata."""
LIMITS = {"fp32": 80.0, "fp16": 40.0}
"""PSNR in dB that an exported file must reach against the network it was made of."""
_COMPARED = ((1, 67, 93), (1, 96, 64), (3, 33, 40))  # the same of the images to compare on, if they are so large
_SMALLEST = 33
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
