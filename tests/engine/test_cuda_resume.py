"""On a GPU: deterministic runs resume bit for bit, in fp32 and under fp16. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.engine.runs import differing, final_state, records, run
from tests.faults.stress_configs import ITERATIONS, VARIANTS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ON_GPU = ("runtime.device=cuda", "runtime.deterministic=True", "data.train.workers=0")


@pytest.mark.parametrize("amp", [None, "fp16", "bf16"])
@pytest.mark.parametrize("variant", ["plain", "gan"])
def test_a_resume_is_exact(variant: str, amp: str | None, photo_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(VARIANTS[variant].format(folder=str(photo_folder)))
    settings = (*ON_GPU, f"runtime.amp={amp}")
    run(config, tmp_path / "whole", *settings)
    for stop in (5, 13):
        run(config, tmp_path / f"from_{stop}", *settings, f"hooks.kill={{'type': 'KillHook', 'at': {stop}}}")
        run(config, tmp_path / f"from_{stop}", *settings, resume=True)
        whole, found = (final_state(tmp_path / name, ITERATIONS) for name in ("whole", f"from_{stop}"))
        assert differing(whole, found) == []
        assert records(tmp_path / "whole") == records(tmp_path / f"from_{stop}")


# what networks and losses here are made of, and whether PyTorch has a deterministic backward pass for it on CUDA
OPERATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "convolution": lambda x: F.conv2d(x, torch.ones(3, 3, 3, 3, device=x.device)),
    "pixel shuffle": lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "reflection padding": lambda x: F.pad(x, (2, 2, 2, 2), mode="reflect"),
    "replication padding": lambda x: F.pad(x, (2, 2, 2, 2), mode="replicate"),
    "adaptive pooling": lambda x: F.adaptive_avg_pool2d(x, 3),
    "max pooling": lambda x: F.max_pool2d(x, 2),
    "linear layer": lambda x: F.linear(x, torch.ones(5, x.shape[-1], device=x.device)),
}


def test_operations_that_refuse_are_told(capsys: pytest.CaptureFixture) -> None:
    refusing = []
    torch.use_deterministic_algorithms(True)
    try:
        for name, operation in OPERATIONS.items():
            x = torch.rand(2, 3, 12, 12, device="cuda", requires_grad=True)
            try:
                operation(x).sum().backward()
            except RuntimeError as error:
                assert "determin" in str(error).lower()
                refusing.append(name)
    finally:
        torch.use_deterministic_algorithms(False)
    with capsys.disabled():
        print(
            f"without a deterministic backward pass on {torch.cuda.get_device_name()}: {', '.join(refusing) or 'none'}"
        )
    assert not {"convolution", "pixel shuffle"} & set(refusing)
