"""`runtime` does what it says: memory layout and compilation, with and without a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine.runs import build, load, run


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
