"""On a GPU: a save is a copy in pinned memory, equal to what was on the device. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srtoolbox.weights.state_copy import StateCopy
from tests.engine.runs import build, listing, load, run
from tests.weights.test_state_copy import state_of, step

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_a_copy_is_pinned_and_what_was_there() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).cuda()
    optimizer, copies = torch.optim.Adam(network.parameters(), lr=0.1, fused=True), StateCopy()
    for _ in range(3):
        step(network, optimizer)
        before = {name: value.cpu() for name, value in network.state_dict().items()}
        taken = copies.take(state_of(network, optimizer))["networks"]["generator"]
        step(network, optimizer)
        assert taken["0.weight"].is_pinned()
        assert all(torch.equal(taken[name], value) for name, value in before.items())


def test_what_a_run_saves_is_on_the_cpu(tiny_config: Path, tmp_path: Path) -> None:
    runner = run(tiny_config, tmp_path / "run", "runtime.device=cuda")
    assert listing(tmp_path / "run", "*_000020.pth") == ["iter_000020.pth"]
    saved = torch.load(tmp_path / "run/checkpoints/iter_000020.pth", weights_only=True)["networks"]["generator"]
    assert all(value.device.type == "cpu" for value in saved.values())
    assert all(
        torch.equal(saved[name], value.cpu()) for name, value in runner.networks["generator"].state_dict().items()
    )
    assert (
        build(tiny_config, tmp_path / "run", "runtime.device=cuda", resume=True).iter
        == load(tmp_path / "run", "iter_000020")["iter"]
    )
