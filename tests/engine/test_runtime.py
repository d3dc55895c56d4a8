"""`runtime` does what it says: memory layout and compilation, with and without a resume."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from srtoolbox.engine.device import VARIABLES, default_threads, set_up_torch
from srtoolbox.engine.job.report import describe
from srtoolbox.engine.loop import iterations
from tests.engine.runs import build, load, run

UNSCHEDULED = ("optim.generator.scheduler=None", "optim.generator.milestones=None")


@pytest.mark.parametrize("wanted", [True, False])
def test_channels_last_lays_out_weights_and_averages(wanted: bool, tiny_config: Path, tmp_path: Path) -> None:
    runner = build(tiny_config, tmp_path, f"runtime.channels_last={wanted}")
    for name in ("generator", "generator_ema"):
        weight = runner.networks[name].conv2.weight  # (4, 8, 3, 3): the layouts differ
        assert weight.is_contiguous(memory_format=torch.channels_last) == wanted
        assert weight.is_contiguous() != wanted


def test_channels_last_changes_no_result(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "plain")
    run(tiny_config, tmp_path / "last", "runtime.channels_last=True")
    plain, last = (load(tmp_path / name, "iter_000020")["networks"]["generator"] for name in ("plain", "last"))
    for key, value in plain.items():
        torch.testing.assert_close(last[key], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wanted", [True, False])
def test_compile_compiles(wanted: bool, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)  # the real one takes seconds
    runner = build(tiny_config, tmp_path, f"runtime.compile={wanted}")
    assert (runner.networks["generator"]._compiled_call_impl is not None) == wanted
    assert not any("_orig_mod" in key for key in runner.networks["generator"].state_dict())


@pytest.mark.slow
def test_a_compiled_run_equals_a_plain_one(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "plain")
    runner = run(tiny_config, tmp_path / "compiled", "runtime.compile=True")
    assert runner.networks["generator"]._compiled_call_impl is not None
    plain, compiled = (load(tmp_path / name, "iter_000020")["networks"]["generator"] for name in ("plain", "compiled"))
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-3, atol=1e-4)


def test_threads_and_determinism(tiny_config: Path, tmp_path: Path) -> None:
    try:
        build(tiny_config, tmp_path, "runtime.threads=2", "runtime.deterministic=True")
        assert torch.get_num_threads() == 2 and torch.are_deterministic_algorithms_enabled()
    finally:
        build(tiny_config, tmp_path)
    assert torch.get_num_threads() == 1 and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("deterministic", [False, True])
def test_cudnn_tries_its_kernels_unless_results_are_to_repeat(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda wanted: None)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    set_up_torch({"deterministic": deterministic})
    assert torch.backends.cudnn.benchmark is not deterministic


def test_ranks_begin_alike_and_draw_apart(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, weights = [], []
    for rank in (0, 1):
        monkeypatch.setattr("srtoolbox.dist.rank", lambda rank=rank: rank)
        runner = build(tiny_config, tmp_path, "seed=7", "hooks=dict(_delete_=True)", *UNSCHEDULED)
        weights.append(runner.networks["generator"].state_dict())
        drawn.append((torch.rand(()).item(), random.random(), np.random.rand()))
        runner.batches.close()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert all(one != other for one, other in zip(*drawn, strict=True))


def test_gradients_are_reduced_with_the_last_batch_of_an_iteration_only(
    tiny_config: Path, tmp_path: Path, group_of_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = build(tiny_config, tmp_path, "accumulate=3", "hooks=dict(_delete_=True)", *UNSCHEDULED)
    runner.model.generator = DistributedDataParallel(runner.model.generator)
    step, reduced = runner.model.train_step, []

    def watched(*arguments: object) -> dict[str, torch.Tensor]:
        reduced.append(runner.model.generator.require_backward_grad_sync)
        return step(*arguments)

    monkeypatch.setattr(runner.model, "train_step", watched)
    next(iterations(runner))
    assert reduced == [False, False, True]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch with two threads, and nobody who says how many there are to be."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


FREE = "runtime.threads=None"


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("changes", "variable", "expected"),
    [
        ((FREE,), "", 1),
        ((FREE,), "OMP_NUM_THREADS", 2),
        (("runtime.threads=2",), "", 2),
        ((FREE, "model.generator.channels=[512, 512]"), "", 2),
        ((FREE, "data.train.batch_size=100000"), "", 2),
    ],
    ids=["tiny", "environment", "config", "large-network", "large-batch"],
)
def test_a_tiny_network_takes_one_thread_where_nobody_says(
    changes: tuple[str, ...], variable: str, expected: int, tiny_config: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if variable:
        monkeypatch.setenv(variable, "2")
    caplog.set_level(logging.INFO, "srtoolbox")
    logging.getLogger("srtoolbox").propagate = True
    describe(build(tiny_config, tmp_path, *changes))
    assert torch.get_num_threads() == expected
    assert f"cpu ({expected} thread" in caplog.messages[0]
    assert ("runtime.threads=N" in caplog.messages[0]) == (expected == 1)


@pytest.mark.usefixtures("two_threads")
def test_the_session_has_its_threads_back_after_a_run(tiny_config: Path, tmp_path: Path) -> None:
    runner = build(tiny_config, tmp_path, FREE, "max_iters=2")
    assert torch.get_num_threads() == 1
    runner.train()
    assert torch.get_num_threads() == 2


def test_the_crop_size_is_found_in_sets_of_sets() -> None:
    inner = [dict(type="PairedDataset", gt_size=24), dict(type="PairedDataset", gt_size=48)]
    config = {"data": {"train": {"dataset": dict(type="ConcatDataset", datasets=inner), "batch_size": 1}}}
    network = torch.nn.Linear(1000, 1000, bias=False)  # 1e6 x 48^2 is above, 1e6 x 24^2 below
    with pytest.MonkeyPatch.context() as patch:
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        assert default_threads([network], config) is None
        inner[1]["gt_size"] = 24
        assert default_threads([network], config) == 1
