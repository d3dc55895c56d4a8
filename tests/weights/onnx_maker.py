"""Small ONNX files as other projects export them: made node by node, so that nothing is traced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def enlarge(name: str, result: str, scale: int) -> list[onnx.NodeProto]:
    """Nodes that enlarge (N, C, H, W) float bilinearly."""
    return [helper.make_node("Resize", [name, "", f"x{scale}"], [result], mode="linear")]


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    shape: Sequence[Any] = (None, 3, None, None),
    kind: str = "float32",
    arrays: dict[str, np.ndarray] | None = None,
    domains: Sequence[str] = ("",),
    outputs: Sequence[str] = ("output",),
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a graph from `input` to `output`; returns the path. `x2`, `x3` and `x4` are scales for `Resize`."""
    values: dict[str, np.ndarray] = {f"x{n}": np.array([1, 1, n, n], np.float32) for n in (2, 3, 4)} | (arrays or {})
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("input", KINDS[kind], list(shape))],
        [helper.make_tensor_value_info(name, KINDS[kind], [None] * 4) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in values.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(name, 1 if name else 17) for name in domains])
    model.ir_version = 8
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def external(path: Path, location: str, offset: int = 0, length: int = 16) -> None:
    """Write a network of x2 whose scales for `Resize` lie in another file."""
    model = onnx.load(write(path, enlarge("input", "output", 2)))
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
