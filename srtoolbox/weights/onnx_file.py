"""ONNX files, read without running anything of theirs: all is checked before a session."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.text import first_line

if TYPE_CHECKING:  # an extra, which may be missing
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

SUFFIX = ".onnx"
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""Of operators that ONNX Runtime brings itself: ONNX's, and its own faster ones."""
RUNS_CODE = frozenset({"EPContext", "PythonOp", "PythonOpGrad", "TritonOp", "ExternalOp"})
"""Operators among them that run what is no graph: programs compiled elsewhere, Python."""
PROBED = (64, 128)  # pixels of a side, by whose difference the memory for a pixel is known


class OnnxFile(NamedTuple):
    """A file that has been checked."""

    path: str
    data: bytes
    """The whole model, weights of other files included."""
    metadata: Mapping[str, str]
    parameter_count: int
    model: ModelProto


def is_onnx(path: object) -> bool:
    """True if a path is one of an ONNX file, by its suffix: their beginning tells nothing."""
    return Path(str(path)).suffix.lower() == SUFFIX


def package(name: str) -> ModuleType:
    """Import a package of the extra 'onnx'.

    Raises a SrtoolboxError that says how it is installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SrtoolboxError(f"this needs the package {name}: pip install 'srtoolbox[onnx]' ({error})") from error


def read_onnx(path: str | Path) -> OnnxFile:
    """Read an ONNX file and the weights that it keeps beside itself.

    Raises:
        CheckpointError: no such file, a damaged one, operators that are not ONNX Runtime's own or
            could run code, or weights that do not lie beside the file.
        SrtoolboxError: onnx is not installed.
    """
    onnx, path = package("onnx"), Path(path)
    data, model = _parsed(path)
    if not model.graph.node:
        raise CheckpointError(f"{path}: damaged, cut short, or no ONNX file (nothing is computed in it)")
    _check_operators(model, path)
    if _has_external(model):
        for tensor in _tensors(model):
            _take_in(tensor, path, onnx)
        data = model.SerializeToString()
    kinds = onnx.TensorProto
    # others are shapes and indices
    floats = (kinds.FLOAT, kinds.FLOAT16, kinds.BFLOAT16, kinds.DOUBLE)
    count = sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type in floats)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return OnnxFile(str(path), data, metadata, count, model)


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """Return an ONNX file and those beside it in which it keeps weights.

    Errors: see `read_onnx`.
    """
    path = Path(path)
    names = {_location(tensor, path)[0] for tensor in _tensors(_parsed(path)[1]) if tensor.external_data}
    return [path, *(path.with_name(name) for name in sorted(names))]


def _parsed(path: Path) -> tuple[bytes, ModelProto]:
    """Return a file and the model in it, without the weights of other files."""
    onnx = package("onnx")
    if not path.is_file():
        raise CheckpointError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; name an ONNX file")
    data, model = path.read_bytes(), onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # of protobuf, for damaged files
        raise CheckpointError(f"{path}: damaged, cut short, or no ONNX file ({first_line(error)})") from error
    return data, model


def _check_operators(model: ModelProto, path: Path) -> None:
    """Raise a CheckpointError at an operator that is not ONNX Runtime's own, or runs code."""
    # graphs, and looked into
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        name = f"{node.domain}.{node.op_type}".lstrip(".")
        if node.op_type in RUNS_CODE:
            raise CheckpointError(f"{path}: its operator {name} runs a program, not a graph, and is refused")
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise CheckpointError(
                f"{path}: its operator {name} needs a library of its maker's, which is refused; export it with ONNX's "
                "own operators"
            )


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graph and, out of all attributes, those inside."""
    found = [model.graph, *(attribute.g for node in _bodies(model) for attribute in node.attribute)]
    while found:
        graph = found.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                found += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _bodies(model: ModelProto) -> Iterator[NodeProto]:
    for function in model.functions:
        yield from function.node


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    yield from _bodies(model)
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield all tensors of a model, wherever they are."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)


def _has_external(model: ModelProto) -> bool:
    return any(tensor.external_data for tensor in _tensors(model))


def _take_in(tensor: TensorProto, path: Path, onnx: ModuleType) -> None:
    """Read the values of a tensor that are kept in a file beside the model."""
    if not tensor.external_data:
        return
    location, entry = _location(tensor, path)
    try:
        offset, length = int(entry.get("offset", 0)), int(entry.get("length", -1))
        with open(path.with_name(location), "rb") as file:
            file.seek(offset)
            values = file.read(length)
    except (OSError, ValueError, OverflowError) as error:
        fault = f"the weights beside it, {location}, cannot be read ({error}); put that file there"
        raise CheckpointError(f"{path}: {fault}") from error
    if 0 <= length != len(values):
        raise CheckpointError(f"{path}: {location} beside it is cut short; copy or download it again")
    tensor.raw_data = values
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.DEFAULT


def _location(tensor: TensorProto, path: Path) -> tuple[str, Mapping[str, str]]:
    """Return the name of the file beside a model that a tensor is kept in, and where in it."""
    entry = {each.key: each.value for each in tensor.external_data}
    location = entry.get("location", "")
    if Path(location).name != location or location in ("", ".", "..") or "\\" in location:
        raise CheckpointError(f"{path}: keeps weights in {location!r}; they are read from a file beside it alone")
    return location, entry


def bytes_per_pixel(file: OnnxFile, shape: list[Any]) -> float:
    """Return what a graph's values take for each pixel of its input, at the most at once.

    It is counted over shapes, which onnx infers, not measured.

    Args:
        file: the model.
        shape: its input's, in which None stands for height and width.
    """
    small, large = (_peak(file.model, [side if axis is None else axis for axis in shape]) for side in PROBED)
    return max(0.0, (large - small) / (PROBED[1] ** 2 - PROBED[0] ** 2))


def _peak(model: ModelProto, shape: list[int]) -> float:
    """Return the most bytes of values that are alive at once, weights apart."""
    onnx = package("onnx")
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    del sized.graph.value_info[:]
    weights = {tensor.name for tensor in sized.graph.initializer}
    (value,) = (each for each in sized.graph.input if each.name not in weights)
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for size in shape:
        dims.add().dim_value = size
    for output in sized.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(sized, data_prop=True).graph
    sizes_of = {each.name: _bytes(each, onnx) for each in (*graph.value_info, *graph.input, *graph.output)}
    last = {name: number for number, node in enumerate(graph.node) for name in node.input}
    alive: dict[str, float] = {value.name: sizes_of.get(value.name) or 0.0 for value in graph.input}
    peak = 0.0
    for number, node in enumerate(graph.node):
        inputs = [alive[name] for name in node.input if name in alive]
        for name in node.output:  # of what shape is not known, it is taken for as large as an input
            known = sizes_of.get(name)
            alive[name] = max(inputs, default=0.0) if known is None else known
        peak = max(peak, sum(alive.values()))
        for name in {*node.input, *node.output}:
            if last.get(name, -1) <= number and not any(name == each.name for each in graph.output):
                alive.pop(name, None)
    return peak


def _bytes(value: ValueInfoProto, onnx: ModuleType) -> float | None:
    """Return the bytes of a value, None where its shape is not known."""
    kind = value.type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    if not kind.HasField("shape") or not all(dim > 0 for dim in dims):
        return None
    return float(math.prod(dims) * onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize)
