"""Two real processes (gloo) on half batches equal one on the whole batch; evaluation counts every image once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from srtoolbox import dist
from srtoolbox.cli import main
from srtoolbox.weights.checkpoint import latest_checkpoint
from tests.engine.ranks import run_ranks
from tests.engine.runs import differing, final_state, records, run

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / "checkpoints/iter_000020.pth", weights_only=True)["networks"]["generator"]


@pytest.mark.timeout(280)
@pytest.mark.parametrize("extra", [(), ("accumulate=2",)], ids=["plain", "accumulate"])
def test_two_processes_equal_one(extra: tuple[str, ...], tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "one", *extra)
    options = ["--work-dir", str(tmp_path / "two"), "data.train.batch_size=2", *extra]
    run_ranks(tmp_path, "train", str(tiny_config), *options)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-6, atol=1e-6)
    lines = {
        name: [json.loads(line) for line in (tmp_path / name / "scores.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    }
    assert [(line["kind"], line["iter"]) for line in lines["one"]] == [
        (line["kind"], line["iter"]) for line in lines["two"]
    ]


@pytest.mark.timeout(280)
def test_evaluation_counts_every_image_once(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run")
    checkpoint = str(tmp_path / "run/checkpoints/iter_000020.pth")
    run_ranks(tmp_path, "test", str(tiny_config), checkpoint, "--json", str(tmp_path / "two.json"))
    assert main(["test", str(tiny_config), checkpoint, "--json", str(tmp_path / "one.json")]) == 0
    results = [json.loads((tmp_path / f"{name}.json").read_text())["iter_000020"]["photos"] for name in ("one", "two")]
    for result in results:
        result.pop("seconds")
        for scores in result["images"].values():
            scores.pop("seconds")
    assert len(results[0]["images"]) == 6
    assert results[0] == results[1]


# its BatchNorm statistics differ from rank to rank until they are saved
BATCH_NORM = "model.generator={'type': 'SRResNet', 'scale': 3, 'num_features': 4, 'num_blocks': 1, '_delete_': True}"


@pytest.mark.timeout(280)
def test_two_resumed_processes_equal_two_unbroken_ones(tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["train", str(tiny_config), BATCH_NORM, "data.train.batch_size=2", "--work-dir"]
    run_ranks(tmp_path, *arguments, str(tmp_path / "whole"))
    run_ranks(tmp_path, *arguments, str(tmp_path / "parts"), "max_iters=7")
    run_ranks(tmp_path, *arguments, str(tmp_path / "parts"), "--resume")
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []
    # the shorter run evaluated and logged at its end, 7, too; the resumed one wrote those lines anew
    whole, parts = (
        {(line["kind"], line["iter"]): line for line in records(tmp_path / name)} for name in ("whole", "parts")
    )
    assert parts == whole


@pytest.mark.timeout(280)
def test_a_signal_to_torchrun_saves(tiny_config: Path, tmp_path: Path) -> None:
    never = ("max_iters=1000000", "hooks.checkpoint.interval=1000000", "data.val.interval=1000000")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "srtoolbox"]
    command = [*launcher, "train", str(tiny_config), "--work-dir", str(tmp_path / "run"), *never]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENV, start_new_session=True)
    deadline = time.monotonic() + 120
    log = tmp_path / "run/scores.jsonl"
    while not (log.exists() and log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    newest = latest_checkpoint(tmp_path / "run/checkpoints")
    assert newest is not None, errors[-3000:]
    assert len(torch.load(newest, weights_only=True)["rng"]) == 2
    assert "--resume continues" in errors


@pytest.mark.parametrize("dtype", [torch.bool, torch.int16, torch.uint16, torch.complex64, torch.bfloat16])
def test_buffers_of_any_dtype_are_given_to_all_ranks(dtype: torch.dtype, group_of_one: None) -> None:
    network = torch.nn.Module()
    values = torch.tensor([[1, 0, 1], [0, 0, 1]]).to(dtype)
    for name, value in {"plain": values, "turned": values.T, "scalar": values[0, 0], "empty": values[:0]}.items():
        network.register_buffer(name, value.clone(memory_format=torch.preserve_format))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dist.broadcast_buffers(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
