"""The benchmarks run: saves and the ways to upscale an image on small networks, and what is for a GPU on the CPU."""

from __future__ import annotations

import json
import logging
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox.registry import NETWORKS

BENCHMARKS = Path(__file__).parents[2] / "tools/benchmarks"


def test_each_case_upscales_and_the_exact_ones_agree():
    pytest.importorskip("resource")
    benchmark = runpy.run_path(str(BENCHMARKS / "upscale.py"))
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


@pytest.mark.parametrize("network", ["ESPCN", "ESRGAN"])
def test_what_is_for_a_gpu_runs_on_the_cpu(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "gpu.json"
    options = ["--device", "cpu", "--quick", "--networks", network, "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
    level, benchmark = logging.getLogger("srtoolbox").level, torch.backends.cudnn.benchmark
    try:
        runpy.run_path(str(BENCHMARKS / "gpu.py"), run_name="__main__")
    finally:
        logging.getLogger("srtoolbox").setLevel(level)
        torch.backends.cudnn.benchmark = benchmark
    results = json.loads(out.read_text())
    rows = {row["side"]: row for row in results["training"]}
    assert len(rows) == 5
    for side in ("by hand fp32", "by hand bf16 channels_last", "toolbox, graph=False"):
        assert rows[side]["ms"] > 0 and rows[side]["ratio"] > 0 and "missing" not in rows[side], rows[side]
    for side in ("toolbox, graph", "toolbox, graph and compile"):
        assert "graph" in rows[side]["missing"]
    assert len(results["upscaling"]) == 4 and all(row["toolbox ms"] > 0 for row in results["upscaling"])
    assert f"| {network} | toolbox, graph=False |" in capsys.readouterr().out


def test_a_side_that_fails_or_comes_too_late_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = runpy.run_path(str(BENCHMARKS / "gpu.py"))

    class Stuck:
        def run(self, iters: int) -> None:
            raise RuntimeError("operation not\npermitted when stream is capturing")

    class Fast:
        def run(self, iters: int) -> None:
            pass

        def close(self) -> None:
            pass

    sides = {gpu["BASE"]: Fast, "stuck": Stuck, "not here": "needs a GPU", "late": Fast}
    monkeypatch.setitem(gpu["train"].__globals__, "sides_of", lambda name, setting: sides)
    over = iter([False, False, True])

    class Deadline:
        is_over = property(lambda self: next(over))

    setting = gpu["Setting"](torch.device("cpu"), gpu["QUICK"], True, tmp_path, Deadline())
    rows = {row["side"]: row for row in gpu["train"]("ESPCN", setting)}
    assert rows[gpu["BASE"]]["ratio"] == 1
    assert [rows[side]["missing"] for side in ("stuck", "not here", "late")] == [
        "RuntimeError: operation not permitted when stream is capturing",
        "needs a GPU",
        "the time is over",
    ]


@pytest.mark.slow
def test_a_save_is_timed_in_all_its_parts(photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    benchmark = runpy.run_path(str(BENCHMARKS / "save.py"))
    side = benchmark["Side"](benchmark["config_of"](photo_folder, 1, 1), tmp_path / "run")
    times = benchmark["measure"](side, 1)
    benchmark["report"](times)
    assert all(value > 0 for name, values in times.items() for value in values if name != "lost")
    assert len(list((tmp_path / "run/checkpoints").glob("iter_*.json"))) == 2
    assert "torch.save and fsync" in capsys.readouterr().out


def test_crops_from_the_disk_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/io").exists():
        pytest.skip("this system does not tell what a process reads")
    options = ["--images", "2", "--rounds", "1", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["crops.py", *options])
    runpy.run_path(str(BENCHMARKS / "crops.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| `raw`", "| `raw_tiled`"]


@pytest.mark.slow
def test_a_start_is_told_by_phase_and_by_import(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["start.py", "--rounds", "1"])
    runpy.run_path(str(BENCHMARKS / "start.py"), run_name="__main__")
    names = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()]
    assert {"| import torch", "| first iteration", "| torch", "| torch's compiler"} <= set(names)
    assert "| matplotlib" not in names


def test_upscaling_a_folder_is_timed_against_a_bare_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--images", "2", "--side", "8", "--rounds", "1", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["upscale_folder.py", *options])
    runpy.run_path(str(BENCHMARKS / "upscale_folder.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and "of the bare loop's speed 1.00, at best 1.00" in lines[1]
