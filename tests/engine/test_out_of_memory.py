"""When a device's memory is full: the state is saved, advice is given, and the resumed run is exact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from srtoolbox.engine.hooks import Hook, Phase
from srtoolbox.engine.loop import Runner
from srtoolbox.errors import RunError
from srtoolbox.registry import HOOKS
from tests.engine.runs import differing, final_state, listing, records, run


@HOOKS.register
class CrashMemoryHook(Hook):
    """Runs out of memory in the step that follows iteration `at`, after its forward pass, or in its evaluation."""

    phase = Phase.EVALUATE

    def __init__(self, at: int, evaluating: bool = False) -> None:
        self.at, self.evaluating = at, evaluating

    def set_up(self, runner: Runner) -> None:
        def full(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
            torch.rand(3)  # as dropout would
            if module.training and runner.iter == self.at and not self.evaluating:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return output

        runner.networks["generator"].register_forward_hook(full)

    def after_iter(self, runner: Runner) -> None:
        if runner.iter == self.at and self.evaluating:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize("evaluating", [False, True])
def test_the_state_is_saved_and_the_run_goes_on_exactly(evaluating: bool, tiny_config: Path, tmp_path: Path) -> None:
    small = {"_delete_": True, "type": "SRResNet", "scale": 3, "num_features": 4, "num_blocks": 1}  # with BatchNorm
    crash = [
        f"model.generator={small}",
        "hooks.crash.type=CrashMemoryHook",
        f"hooks.crash.evaluating={evaluating}",
        "hooks.crash.at=8",
    ]
    never = [*crash[:-1], "hooks.crash.at=-1"]
    run(tiny_config, tmp_path / "whole", *never)
    with pytest.raises(RunError, match=r"iteration 8 is saved.*batch_size=2 accumulate=2") as caught:
        run(tiny_config, tmp_path / "parts", *crash)
    assert f"iteration {8 if evaluating else 9}: cpu is out of memory" in str(caught.value)
    run(tiny_config, tmp_path / "parts", *never, resume=True)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    differ = differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts"))
    assert [key for key in differ if not key.endswith("num_batches_tracked")] == []  # a count that nothing reads


def test_nothing_to_save_before_the_first_iteration(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"out of memory in a training step\. Earlier checkpoints are intact"):
        run(tiny_config, tmp_path, "hooks.crash.type=CrashMemoryHook", "hooks.crash.at=0")
    assert listing(tmp_path) == []


def test_a_set_that_is_kept_on_the_device_is_named(tiny_config: Path, tmp_path: Path) -> None:
    more = ("hooks.crash.type=CrashMemoryHook", "hooks.crash.at=0")
    with pytest.raises(RunError, match=r"data\.train\.on_device=False: the training set takes 0\.00 GiB there"):
        run(tiny_config, tmp_path, *more, "data.train.on_device=True")


def test_a_run_that_saves_nothing_is_not_told_of_a_saved_state(tiny_config: Path, tmp_path: Path) -> None:
    crash = ["hooks.crash.type=CrashMemoryHook", "hooks.crash.at=8"]
    with pytest.raises(RunError, match=r"Nothing is saved: the config has no CheckpointHook\. Try"):
        run(tiny_config, tmp_path, "hooks.checkpoint=None", *crash)
