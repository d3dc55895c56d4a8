"""tools/benchmarks/upscale.py: the ways to upscale an image that it times, on a small network."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox.registry import NETWORKS

SCRIPT = Path(__file__).parents[2] / "tools/benchmarks/upscale.py"


def test_each_case_upscales_and_the_exact_ones_agree():
    pytest.importorskip("resource")
    benchmark = runpy.run_path(str(SCRIPT))
    torch.manual_seed(0)
    network = NETWORKS.build({"type": "MSRResNet", "scale": 2, "num_features": 8, "num_blocks": 1}).eval()
    image = np.random.default_rng(0).integers(0, 256, (140, 40, 3), np.uint8)
    with torch.inference_mode():
        results = {name: case(network, image) for name, case in benchmark["CASES"].items()}
        results["in pieces"] = benchmark["pieces"](network, image, piece=256)
    plain = results["plain: whole, contiguous, fp32"]
    for name, result in results.items():
        if name == "tile='auto', 8 bit":
            assert result.shape == (280, 80, 3)
            continue
        assert result.shape == plain.shape, name
        if "bf16" not in name and "padded" not in name:
            assert torch.allclose(result, plain, atol=1e-5), name
