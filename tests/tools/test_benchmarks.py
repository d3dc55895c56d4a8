"""The benchmarks run: saves, degradations, ways to upscale on small networks, and what is for a GPU on the CPU."""

from __future__ import annotations

import json
import logging
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.models.networks import spandrel
from srtoolbox.registry import NETWORKS
from tests.data.batch.transcriptions import real_esrgan as published

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


def test_a_network_is_measured_beside_its_second_one(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "networks.json"
    monkeypatch.setattr(spandrel, "is_installed", lambda: False)  # its import takes long
    monkeypatch.setattr(sys, "argv", ["networks.py", "--only", "E-RFDN", "ESPCN", "--quick", "--json", str(out)])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(BENCHMARKS / "networks.py"), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    found = {row["network"]: row for row in json.loads(out.read_text())["networks"]}
    assert found["E-RFDN"]["against"] == "transcription" and found["E-RFDN"]["difference"] < 1e-4
    for work in ("forward", "step"):
        assert {"ms", "MB", "ratio", "quartiles", "fastest", "memory"} <= found["E-RFDN"][work].keys()
        assert found["E-RFDN"][work]["memory"] <= 1.05
        assert found["ESPCN"]["against"] == "spandrel is not installed"
        assert "ratio" not in found["ESPCN"][work] and found["ESPCN"][work]["ms"] > 0
    assert "| E-RFDN | transcription |" in capsys.readouterr().out


@pytest.mark.slow
def test_spandrel_opens_the_weights_of_a_network_that_it_is_measured_beside() -> None:
    if not spandrel.is_installed():
        pytest.skip("spandrel is not installed")
    networks = runpy.run_path(str(BENCHMARKS / "networks.py"))
    for config in (
        {"type": "RCAN", "scale": 2, "num_features": 16, "num_groups": 1, "num_blocks": 1},
        {"type": "RRDBNet", "scale": 4, "num_features": 8, "num_blocks": 1},
        {"type": "SwinIR", "scale": 2, "num_features": 12, "depths": [1], "num_heads": [2]},
    ):
        ours, theirs, against = networks["pair"](config)
        lq = torch.rand(1, 3, 16, 16)
        assert against == "spandrel" and all(each.requires_grad for each in theirs.parameters())
        with torch.no_grad():
            torch.testing.assert_close(ours.eval()(lq), theirs.eval()(lq), rtol=0, atol=1e-4)


def test_ratios_of_networks_are_ours_to_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = runpy.run_path(str(BENCHMARKS / "networks.py"))
    ours, theirs = torch.zeros(1), torch.ones(2)
    times = {1: iter([2.0, 3.0, 2.0, 9.0, 2.0]), 2: iter([4.0] * 5)}
    replaced = networks["compare"].__globals__
    monkeypatch.setitem(replaced, "milliseconds", lambda work, count, device: next(times[work().numel()]))
    monkeypatch.setitem(replaced, "megabytes", lambda work, setting: 3.0 * work().numel())
    setting = networks["Setting"](torch.device("cpu"), torch.contiguous_format, 8, 8, 1, 5, 60.0)
    row = networks["compare"]({"ours": lambda: ours, "theirs": lambda: theirs}, setting)
    assert (row["ratio"], row["fastest"], row["memory"]) == (0.5, 0.5, 0.5)
    assert row["rounds"] == 5 and row["quartiles"][0] == 0.5 < row["quartiles"][1]
    told = networks["line"]({"network": "X", "against": "spandrel", "difference": 0.1, "forward": row, "step": row})
    assert told.startswith("| X | spandrel, which differs by 1.0e-01 | 2.0 | 3.0 | 0.500 (0.500 - ")
    assert networks["line"]({"network": "X", "missing": "RuntimeError: out"}) == "| X | RuntimeError: out |"


def test_a_network_on_a_gpu_is_timed_between_two_events(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, done = runpy.run_path(str(BENCHMARKS / "networks.py")), []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            done.append("record")

        def synchronize(self) -> None:
            done.append("wait")

        def elapsed_time(self, other: Event) -> float:
            return 12.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    work = lambda: done.append("work")  # noqa: E731
    assert networks["milliseconds"](work, 3, torch.device("cuda")) == 4.0
    assert done == ["record", "work", "work", "work", "record", "wait"]
    for name, value in {"synchronize": None, "memory_allocated": 5e6, "max_memory_allocated": 7e6}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: done.append("reset"))
    setting = networks["Setting"](torch.device("cuda"), torch.contiguous_format, 8, 8, 1, 5, 60.0)
    assert networks["megabytes"](work, setting) == 2.0
    assert done[-2:] == ["reset", "work"]


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


@pytest.fixture
def degradations(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "degradations.py"))


@pytest.mark.slow
def test_degradations_are_measured_step_by_step_and_against_a_training_step(
    degradations: dict[str, Any], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["degradations.py", "--quick", "--json", str(tmp_path / "out.json")])
    threads = torch.get_num_threads()
    try:
        degradations["main"]()
    finally:
        torch.set_num_threads(threads)
    rows = {(row["side"], row["step"]): row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    for side in ("ours", "ours, share='batch'", "usual"):
        steps = {step: row["ms"] for (of, step), row in rows.items() if of == side}
        assert steps.keys() >= {"all", "draw", "sharpen", "blur", "resize", "noise", "jpeg", "rest"}
        assert abs(sum(steps.values()) - 2 * steps["all"]) < 1e-6 * steps["all"]
    assert rows["ours", "all"]["ratio"] > 0 and "ratio" not in rows["usual", "all"]
    assert "| usual | jpeg |" in capsys.readouterr().out
    setting = degradations["Setting"](torch.device("cpu"), 2, 96, 64, 4, 1, 1)
    assert degradations["training_step"](setting)(0)["all"] > 0


def test_the_usual_degradations_are_the_published_ones(degradations: dict[str, Any], photo: np.ndarray) -> None:
    usual = sys.modules["usual_degradations"]
    image = torch.from_numpy(photo[:90, :100].transpose(2, 0, 1).copy()).float() / 255
    sharp = usual.sharpened(image.permute(1, 2, 0).numpy())
    assert np.abs(sharp - published.sharpen(image.double()).permute(1, 2, 0).numpy()).max() < 1e-3
    kernel = published.mixed_kernel("aniso", 21, 2.0, 1.0, 0.3, 1.0)
    blurred = usual.blurred(image.repeat(2, 1, 1, 1), torch.from_numpy(kernel).float().repeat(2, 1, 1))
    assert (blurred[1] - published.blur(image.double(), kernel)).abs().max() < 1e-5
    assert np.abs(usual.sinc(1.3, 11) - published.sinc_kernel(1.3, 11)).max() < 1e-9
    qualities = torch.tensor([30.0, 80.0])
    for quality, result in zip(qualities, usual.jpeg(image.repeat(2, 1, 1, 1), qualities), strict=True):
        assert (result - published.jpeg(image.double(), float(quality))).abs().quantile(0.99) < 1e-4
