"""Pipelines of degradations on a CUDA device: the CPU's images, to rounding. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from srtoolbox.config import Config
from srtoolbox.engine.loop import train
from tests.engine.runs import build, differing, final_state, run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CONFIGS = Path(__file__).parents[2] / "configs"
FAITHFUL: list[dict[str, Any]] = [
    {"type": "Blur"},
    {"type": "Resize"},
    {"type": "RandomApply", "p": 0.8, "transforms": [{"type": "Blur"}]},
    {"type": "Shuffle", "transforms": [{"type": "Resize", "to": "lq"}, {"type": "SincFilter", "p": 0.8}]},
]


def published() -> Any:
    return Config.fromfile(CONFIGS / "_base_/degradations/real_esrgan.py").to_dict()["steps"]


def pipeline(steps: Any) -> str:
    options = {"scale": 3, "gt_size": 24, "share": "batch", "sharpen": {"type": "USMSharpening"}, "steps": steps}
    return f"model.preprocess={ {'type': 'DegradationPipeline', **options}!r}"


@pytest.mark.parametrize("kept", [True, False])
def test_the_device_makes_the_images_of_the_cpu(kept: bool, tiny_config: Path, tmp_path: Path) -> None:
    changes = (
        pipeline(FAITHFUL),
        "data.train.dataset.gt_size=36",
        "data.train.pool=60",
        f"data.train.on_device={kept}",
    )
    found = []
    for device in ("cpu", "cuda"):
        runner = build(tiny_config, tmp_path / device, *changes, f"runtime.device={device}")
        batches = [runner.next_batch() for _ in range(8)]
        found.append([{key: batch[key].cpu() for key in ("lq", "gt", "gt_usm", "draw")} for batch in batches])
        runner.close()
    for one, other in zip(*found, strict=True):
        assert torch.equal(one["draw"], other["draw"]) and torch.equal(one["gt"], other["gt"])
        assert (one["gt_usm"] - other["gt_usm"]).abs().max() < 0.01
        assert (one["lq"] - other["lq"]).abs().max() <= 1.01 / 255


def test_a_run_with_graphs_resumes(tiny_config: Path, tmp_path: Path) -> None:
    """All of Real-ESRGAN's, noise and JPEG too: bit for bit where PyTorch is told to be deterministic."""
    settings = ("runtime.device=cuda", "runtime.deterministic=True", "runtime.graph=True")
    changes = (pipeline(published()), "data.train.dataset.gt_size=36", "data.train.pool=60", *settings)
    train(build(tiny_config, tmp_path / "whole", *changes))
    run(tiny_config, tmp_path / "parts", *changes, "hooks.kill={'type': 'KillHook', 'at': 9}")
    run(tiny_config, tmp_path / "parts", *changes, resume=True)
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
