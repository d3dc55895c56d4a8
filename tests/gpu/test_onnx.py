"""On a GPU: an ONNX file runs there, and gives what it gives on the CPU. Skipped where ONNX Runtime has no provider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srtoolbox.apps.networks import make_upscaler
from srtoolbox.weights.load import load_network
from srtoolbox.weights.onnx_network import OnnxNetwork

onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
runtime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

from tests.weights.onnx_maker import enlarge, write  # noqa: E402

GPUS = {"cuda": "CUDAExecutionProvider", "directml": "DmlExecutionProvider"}


@pytest.mark.parametrize("device", GPUS)
def test_a_file_on_a_gpu(device: str, tmp_path: Path, photo: np.ndarray) -> None:
    if GPUS[device] not in runtime.get_available_providers():
        pytest.skip(f"this onnxruntime has no {GPUS[device]}")
    weight = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32) / 100
    weight[range(3), range(3), 1, 1] += 1
    nodes = [*enlarge("input", "a", 2), onnx.helper.make_node("Conv", ["a", "w"], ["output"], pads=[1, 1, 1, 1])]
    path = write(tmp_path / "m.onnx", nodes, arrays={"w": weight})
    network = load_network(path, device=device)
    assert isinstance(network, OnnxNetwork) and network.graph.session.get_providers()[0] == GPUS[device]
    image = photo[:120, :90]
    results = [make_upscaler(path, name, {"tile": 64})(image).astype(int) for name in (device, "cpu")]
    assert np.abs(results[0] - results[1]).max() <= 1
