"""What a run writes down: each iteration once, also after a crash; means of what was optimised."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from srtoolbox.engine.device import to_device
from tests.engine.runs import build, differing, events, final_state, records, run
from tests.faults.disk import in_child


def crash(at: int) -> tuple[str, str]:
    return "hooks.crash.type=CrashHook", f"hooks.crash.at={at}"


@pytest.mark.parametrize(("at", "interval"), [(10, 5), (15, 10), (5, 10)])
def test_a_crash_leaves_no_line_twice(at: int, interval: int, tiny_config: Path, tmp_path: Path) -> None:
    saves = f"hooks.checkpoint.interval={interval}"
    run(tiny_config, tmp_path / "whole", saves)
    crashed = run(tiny_config, tmp_path / "parts", saves, *crash(at))
    assert crashed.iter == at
    assert records(tmp_path / "parts")[-1]["iter"] == at
    run(tiny_config, tmp_path / "parts", saves, resume=True)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert differing(final_state(tmp_path / "whole"), final_state(tmp_path / "parts")) == []


def test_a_torn_line_is_dropped(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "whole")
    run(tiny_config, tmp_path / "parts", "max_iters=10")
    with (tmp_path / "parts/scores.jsonl").open("a") as file:
        file.write('{"kind": "train", "iter": 3, "te')
    run(tiny_config, tmp_path / "parts", resume=True)
    wanted = [line for line in records(tmp_path / "whole") if line["iter"] >= 10]
    assert [line for line in records(tmp_path / "parts") if line["iter"] >= 10] == wanted


@pytest.mark.parametrize("interval", [10, 1000], ids=["from-10", "from-0"])
def test_tensorboard_shows_each_step_once(interval: int, tiny_config: Path, tmp_path: Path) -> None:
    changes = ("hooks.logger.tensorboard=True", f"hooks.checkpoint.interval={interval}")
    run(tiny_config, tmp_path / "whole", *changes)
    run(tiny_config, tmp_path / "parts", *changes, *crash(15))
    run(tiny_config, tmp_path / "parts", *changes, resume=True)
    whole = events(tmp_path / "whole")
    assert [step for step, _ in whole["loss/pixel"]] == [3, 6, 9, 12, 15, 18, 20]
    assert [step for step, _ in whole["eval/photos/psnr"]] == [5, 10, 15, 20]
    assert events(tmp_path / "parts") == whole


@pytest.mark.parametrize("ahead", [0, 5000])
def test_tensorboard_reads_what_was_resumed_last(ahead: int, tiny_config: Path, tmp_path: Path) -> None:
    """Also where that was in the same second, with a number of a process that comes first; the clock was set back."""
    tensorboard = "hooks.logger.tensorboard=True"
    run(tiny_config, tmp_path / "whole", tensorboard)
    parts = tmp_path / "parts"
    for number, stop in enumerate((10, 15, 99)):
        run(tiny_config, parts, tensorboard, *crash(stop), resume=number > 0)
        newest = max(parts.glob("events.*"))
        made = int(newest.name.split(".")[3]) + (ahead if number == 0 else 0)
        newest.rename(parts / f"events.out.tfevents.{made}.host.{9 - number}.0")
    assert events(parts) == events(tmp_path / "whole")


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_logs_of_killed_runs_have_no_gap_and_nothing_twice(seed: int, tiny_config: Path, tmp_path: Path) -> None:
    """SIGKILL at drawn moments, also of a save: what follows is each JSON line and event of the unbroken run, once."""
    changes = ("hooks.logger.tensorboard=True", "hooks.logger.interval=1", "hooks.checkpoint.interval=3")
    changes += ("runtime.threads=1", "max_iters=60")
    assert in_child(lambda: run(tiny_config, tmp_path / "whole", *changes)) == 0
    rng, killed, log = random.Random(seed), 0, tmp_path / "parts/scores.jsonl"
    for lines in sorted(rng.sample(range(5, 55), 4)):
        child = os.fork()
        if child == 0:
            run(tiny_config, tmp_path / "parts", *changes, resume=True)
            os._exit(0)
        deadline = time.monotonic() + 60
        while (not log.exists() or log.read_bytes().count(b"\n") < lines) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        time.sleep(1.02 - time.time() % 1)  # event files are read in the order of their names, which hold whole seconds
    assert in_child(lambda: run(tiny_config, tmp_path / "parts", *changes, resume=True)) == 0
    assert killed >= 1
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert len(events(tmp_path / "whole")["loss/pixel"]) == 60
    assert events(tmp_path / "parts") == events(tmp_path / "whole")


def test_accumulated_losses_are_means_over_the_parts(tiny_config: Path, tmp_path: Path) -> None:
    changes = ("accumulate=3", "hooks.logger.interval=1", "max_iters=1")
    runner = build(tiny_config, tmp_path / "a", *changes)
    model = runner.model
    with torch.no_grad():
        losses = []
        for _ in range(3):
            batch = model.prepare(to_device(next(runner.batches), runner.device))
            losses.append(float(model.image_losses(model.restore(batch, model.generator), batch)["pixel"]))
    assert max(losses) > 1.05 * min(losses), "parts must differ to tell a mean from one of them"
    run(tiny_config, tmp_path / "b", *changes)
    logged = json.loads((tmp_path / "b/scores.jsonl").read_text().splitlines()[-1])["terms"]["pixel"]
    assert logged == pytest.approx(sum(losses) / 3, rel=1e-5)


def test_lines_hold_means_over_the_interval(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "each", "hooks.logger.interval=1")
    run(tiny_config, tmp_path / "some", "hooks.logger.interval=4")
    each = {line["iter"]: line["terms"]["pixel"] for line in records(tmp_path / "each") if line["kind"] == "train"}
    some = {line["iter"]: line["terms"]["pixel"] for line in records(tmp_path / "some") if line["kind"] == "train"}
    assert some == pytest.approx({i: sum(each[j] for j in range(i - 3, i + 1)) / 4 for i in (4, 8, 12, 16, 20)})
