"""Between two lines of the log no iteration waits for the device: counted on the CPU, on the path of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srtoolbox.config import Config
from srtoolbox.registry import LOSSES
from tests.engine.runs import build
from tests.engine.stand_in import GPU, StandIn, waits_of
from tests.faults.stress_configs import VARIANTS

CONFIGS = Path(__file__).parents[2] / "configs"
QUIET = (
    "hooks.logger.interval=5",
    "hooks.logger.tensorboard=False",
    "hooks.checkpoint.interval=1000",
    "data.val.interval=1000",
    "data.train.workers=0",
)
SRRESNET = "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 1, '_delete_': True}"
CASES = {
    "plain": ("plain", "hooks.patches=None"),
    "batch norm, clipped, bf16": (
        "plain",
        "hooks.patches=None",
        SRRESNET,
        "optim.generator.clip=0.5",
        "runtime.amp='bf16'",
    ),
    "gan": ("gan",),
    "accumulated": ("accumulate_fp16", "runtime.amp=None"),
}


def config_of(variant: str, tmp_path: Path, photo_folder: Path) -> Path:
    path = tmp_path / "config.py"
    path.write_text(VARIANTS[variant].format(folder=str(photo_folder)))
    return path


@pytest.mark.parametrize("case", CASES)
def test_nothing_waits_between_two_lines(
    case: str, tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant, *changes = CASES[case]
    runner = build(config_of(variant, tmp_path, photo_folder), tmp_path / "run", *QUIET, *changes)
    waits = waits_of(runner, 9, monkeypatch)
    assert [*waits[:4], *waits[5:]] == [{}] * 8
    assert waits[4], "a line of the log reads the terms: the watch has not seen it"


def test_degradations_wait_for_nothing(tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of Real-ESRGAN's, planned on the host and run on the device at once."""
    steps = Config.fromfile(CONFIGS / "_base_/degradations/real_esrgan.py").to_dict()["steps"]
    options = {"scale": 3, "gt_size": 24, "share": "batch", "sharpen": {"type": "USMSharpening"}, "steps": steps}
    preprocess = f"model.preprocess={ {'type': 'DegradationPipeline', **options}!r}"
    runner = build(
        config_of("plain", tmp_path, photo_folder), tmp_path / "run", *QUIET, "hooks.patches=None", preprocess
    )
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)  # for which there has to be a GPU
    waits = waits_of(runner, 6, monkeypatch)
    assert [*waits[:4], *waits[5:]] == [{}] * 5 and waits[4]


def device_tensor(loss: Tensor) -> Tensor:
    return loss * torch.tensor(1.0, device=loss.device)


PLANTED: dict[str, Callable[[Tensor], Any]] = {
    ".item()": lambda loss: loss * loss.detach().item(),
    "bool()": lambda loss: loss if loss else -loss,
    "float()": lambda loss: loss * float(loss.detach()),
    ".tolist()": lambda loss: loss * loss.detach().tolist(),
    ".cpu()": lambda loss: loss * loss.detach().cpu(),
    ".numpy()": lambda loss: loss * loss.detach().numpy().item(),
    ".to()": lambda loss: loss + 0 * loss.detach().to("meta", copy=False).numel(),
    "torch.tensor()": device_tensor,
}


@pytest.mark.parametrize("call", PLANTED)
def test_one_call_that_waits_is_seen(
    call: str,
    tmp_path: Path,
    photo_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    register: Callable,
) -> None:
    class Waiting(nn.Module):
        """A loss as a plugin may have it."""

        def __init__(self) -> None:
            super().__init__()

        def forward(self, pred: Tensor, target: Tensor) -> Any:
            return PLANTED[call]((pred - target).abs().mean())

    register(LOSSES, Waiting)
    changes = (*QUIET, "hooks.patches=None", "model.losses={'pixel': {'type': 'Waiting', '_delete_': True}}")
    runner = build(config_of("plain", tmp_path, photo_folder), tmp_path / "run", *changes)
    waits = waits_of(runner, 2, monkeypatch)
    assert [list(wait) for wait in waits] == [[(f"{number}: {call}", Path(__file__).name)] for number in (1, 2)]


def test_the_stand_in_tells_host_and_device_apart() -> None:
    weight = torch.ones(2)
    with StandIn() as watch:
        host = torch.zeros(2)
        assert (host.device.type, weight.device, weight.is_cuda, host.is_cpu) == ("cpu", GPU, True, True)
        assert float(host[0]) == 0
        moved = host.to(GPU, non_blocking=True)
        assert moved.device == GPU and (moved + weight).device == GPU
        assert not watch.calls
        float(moved[0])
        host.to(GPU)
    assert [name for name, _ in watch.calls] == ["float()", ".to()"]
