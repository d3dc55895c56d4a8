"""Networks written as ONNX and torch.export.

An exported file takes a batch of RGB images, float32 (N, 3, H, W) in [0, 1] unless its options say
otherwise, and gives them upscaled, unclipped, as `restore` does: of a luma network the colour
conversion and the bicubic chroma are in the file. It needs no srtoolbox. Every file is loaded
again, run on a photograph and compared with the network before it gets its name.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from skimage.data import chelsea
from torch import nn

from srtoolbox.apps.export.form import METADATA, ExportForm, FormOptions, axes_of, traced
from srtoolbox.apps.export.parity import Parity, check, compared, pieces
from srtoolbox.apps.networks import NetworkSource, load
from srtoolbox.errors import OptionError, SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.interfaces import Opaque, facts_of
from srtoolbox.io import files
from srtoolbox.text import first_line
from srtoolbox.weights.onnx_file import package

if TYPE_CHECKING:  # onnx is an extra, which may be missing
    from onnx import ModelProto
    from onnxruntime import SessionOptions
    from typing_extensions import Unpack

LEAST_OPSET = 18
"""Of the exporter; below it a file is rewritten, see `_set_opset`."""
_NEW = {18: ("num_outputs", "noop_with_empty_axes", "keep_aspect_ratio_policy", "antialias"), 14: ("allowzero",)}
"""Attributes by the opset that brought them, which say what was always so."""


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
    image: str | os.PathLike[str] | None = None,
    opset: int | None = None,
    **options: Unpack[FormOptions],
) -> Iterator[ExportedFile]:
    """Yield each file once it is written.

    Args:
        network: a network or a checkpoint.
        onnx, torch_export: the files to write.
        image: the file of an image to compare on; None is a photograph of scikit-image.
        opset: see `export_onnx`.
        options: arguments of `ExportForm`, such as `half=True`.

    Raises:
        SrtoolboxError: a checkpoint or image that cannot be read, or as `export_onnx`.
    """
    if opset is not None and onnx is None:
        raise OptionError("opset is for ONNX: name a file of it, too")
    module = load(network, "cpu")[0]
    if isinstance(module, Opaque):
        raise SrtoolboxError("an ONNX file is exported already; name the checkpoint that it was made of")
    pixels = chelsea() if image is None else read_image(image)
    if onnx is not None:
        parity = export_onnx(module, onnx, image=pixels, opset=opset, **options)
        yield ExportedFile(os.fspath(onnx), _kind(module, options), parity)
    if torch_export is not None:
        parity = export_torch(module, torch_export, image=pixels, **options)
        yield ExportedFile(os.fspath(torch_export), _kind(module, options), parity)


def _kind(network: nn.Module, options: FormOptions) -> str:
    words = [f"{type(network).__name__} x{facts_of(network).scale}", "fp16" if options.get("half") else "fp32"]
    io, layout = options.get("io", "fp32"), options.get("layout", "nchw")
    words += [f"{io} {layout} in and out"] if (io, layout) != ("fp32", "nchw") else []
    static = options.get("static")
    words += [f"{static[0]}x{static[1]} only"] if static else []
    return ", ".join(words)


def export_onnx(
    network: nn.Module,
    path: str | os.PathLike,
    *,
    image: np.ndarray,
    opset: int | None = None,
    **options: Unpack[FormOptions],
) -> Parity:
    """Write a network as ONNX: input `input`, output `output`, all axes but the channels free.

    Args:
        network: a generator; it is not changed.
        path: the file, written whole or not at all.
        image: the photograph (H, W, 3) uint8 or uint16 to compare on.
        opset: the version of ONNX's operators, for engines that do not know the newest; None is the
            exporter's.
        options: arguments of `ExportForm`; a form of one size has no free axis.

    Raises:
        SrtoolboxError: a package is missing, the network cannot be exported, or the file's result
            is another.
    """
    package("onnxscript")
    onnx, runtime = package("onnx"), package("onnxruntime")
    form = ExportForm(network, **options)
    batches = pieces(form, image)
    with _one_error(network, "ONNX"), _quiet():
        program = torch.onnx.export(
            traced(form),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["input"],
            output_names=["output"],
            opset_version=None if opset is None else max(opset, LEAST_OPSET),
        )
        assert program is not None, "it is None where a file is given"
        model = program.model_proto
        if form.static is None:
            _name_axes(model, form)
        for key, value in form.facts().items():
            model.metadata_props.add(key=key, value=value)
    with _one_error(network, "ONNX" if opset is None else f"ONNX of opset {opset}"), _quiet():
        if opset is not None:
            _set_opset(model, opset)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        session = runtime.InferenceSession(data, _options(runtime), providers=["CPUExecutionProvider"])
        parity = compared(form, lambda batch: session.run(None, {"input": batch})[0], batches)
    check(parity, form, path)
    files.write_bytes(path, data)
    return parity


def export_torch(
    network: nn.Module, path: str | os.PathLike, *, image: np.ndarray, **options: Unpack[FormOptions]
) -> Parity:
    """Write a network as a torch.export program; arguments as `export_onnx`.

    Raises:
        SrtoolboxError: the network cannot be exported, or the file's result is another.
    """
    form = ExportForm(network, **options)
    batches = pieces(form, image)
    with _one_error(network, "torch.export"), _quiet():
        buffer = io.BytesIO()
        torch.export.save(traced(form), buffer, extra_files={METADATA: json.dumps(form.facts())})
        loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
        parity = compared(form, lambda batch: loaded(torch.from_numpy(batch)).numpy(), batches)
    check(parity, form, path)
    files.write_bytes(path, buffer.getbuffer())
    return parity


def _set_opset(model: ModelProto, opset: int) -> None:
    """Make the model one of an opset.

    From 18 on the exporter does it. Below, what 18 has added is taken back: attributes that say
    what was always so, and axes as an input.

    Raises:
        SrtoolboxError: the exporter has left it at another one, or an operator is not of this one.
    """
    onnx = package("onnx")
    (own,) = (entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if own.version != max(opset, LEAST_OPSET):
        raise SrtoolboxError(f"the exporter makes none of it, only one of opset {own.version}; name that, or none")
    if opset >= LEAST_OPSET:
        return
    newer = {name for version, names in _NEW.items() if opset < version for name in names}
    constants = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        kept = [each for each in node.attribute if each.name not in newer]
        del node.attribute[:]
        node.attribute.extend(kept)
        # the axes of a sum are an input since 13
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) == 2:
            axes = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
            node.attribute.append(onnx.helper.make_attribute("axes", axes))
            del node.input[1]
    own.version = opset
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise SrtoolboxError(f"its operators are not all of that version ({first_line(error)}); try 17") from error


# ---- the exporters' ways


@contextlib.contextmanager
def _one_error(network: nn.Module, format_name: str) -> Iterator[None]:
    name = type(network).__name__
    try:
        yield
    except SrtoolboxError as error:
        raise SrtoolboxError(f"{name}: cannot be exported to {format_name}: {error}") from error
    except Exception as error:  # whatever a network's code and the exporter's passes raise
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


def _options(runtime: ModuleType) -> SessionOptions:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return options


def _name_axes(model: ModelProto, form: ExportForm) -> None:
    """Readable names for the free axes of input and output."""
    for value, height, width in (
        (model.graph.input[0], "height", "width"),
        (model.graph.output[0], f"{form.scale}*height", f"{form.scale}*width"),
    ):
        axes = value.type.tensor_type.shape.dim
        for axis, name in zip(axes_of(form.layout), ("batch", height, width), strict=True):
            axes[axis].dim_param = name
