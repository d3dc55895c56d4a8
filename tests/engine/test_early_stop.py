"""`EarlyStopHook`: the run ends where its score stops rising, saved and resumable."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.hooks.early_stop import EarlyStopHook
from srtoolbox.engine.job.job import train
from srtoolbox.errors import ConfigError
from tests.engine.ranks import run_ranks
from tests.engine.runs import differing, final_state, listing, load, records, run

STILL = (  # nothing learns: the first evaluation stays the best
    "optim.generator.optimizer.lr=0.0",
    "hooks.ema=None",
    "data.val.interval=2",
    "hooks.checkpoint.interval=100",
)
STOP = "hooks.stop=dict(type='EarlyStopHook', score='photos/psnr', patience=3)"


def evaluated(work_dir: Path) -> list[int]:
    return [line["iter"] for line in records(work_dir) if line["kind"] == "eval"]


def test_a_run_ends_when_nothing_gets_better_saved_and_scored(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "srtoolbox")
    result = train(tiny_config, work_dir=tmp_path / "run", overrides=(*STILL, STOP))
    assert result.iteration == 8
    assert evaluated(tmp_path / "run") == [2, 4, 6, 8]
    assert [path.name for path in (result.best, result.last)] == ["best_photos_psnr.pth", "iter_000008.pth"]
    assert listing(tmp_path / "run") == ["iter_000008.json", "iter_000008.pth"]
    best = load(tmp_path / "run", "best_photos_psnr")
    assert best["iter"] == 2
    score = best["scores"]["photos/psnr"]
    line = f"iteration 8 of 20: no better photos/psnr in 3 evaluations, the best is {score:.4f} at iteration 2"
    log = (tmp_path / "run/train.log").read_text()
    assert line in log and "Train longer (a hook has ended it early: more patience)" in log
    assert records(tmp_path / "run")[-1]["iter"] == 8 and records(tmp_path / "run")[-1]["kind"] == "train"

    before = (tmp_path / "run/scores.jsonl").read_bytes()
    again = train(tiny_config, work_dir=tmp_path / "run", resume=True, overrides=(*STILL, STOP))
    assert again.iteration == 8 and (tmp_path / "run/scores.jsonl").read_bytes() == before
    longer = (*STILL, STOP.replace("3", "5"))
    assert train(tiny_config, work_dir=tmp_path / "run", resume=True, overrides=longer).iteration == 12


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 6, 7])
def test_a_run_stopped_and_resumed_ends_as_one_that_was_not(at: int, tiny_config: Path, tmp_path: Path) -> None:
    changes = (*STILL, STOP, "hooks.checkpoint.interval=2")
    run(tiny_config, tmp_path / "whole", *changes)
    run(tiny_config, tmp_path / "two", *changes, f"hooks.kill=dict(type='KillHook', at={at})")
    assert not (tmp_path / "two/checkpoints/iter_000008.pth").exists()
    run(tiny_config, tmp_path / "two", *changes, resume=True)
    assert differing(final_state(tmp_path / "whole", 8), final_state(tmp_path / "two", 8)) == []
    assert records(tmp_path / "whole") == records(tmp_path / "two")


def test_a_crash_between_the_save_and_the_last_evaluation_is_made_up_for(tiny_config: Path, tmp_path: Path) -> None:
    changes = (*STILL, STOP, "hooks.checkpoint.interval=2")
    run(tiny_config, tmp_path / "whole", *changes)
    before = "hooks={'crash': dict(type='CrashHook', at=8), " + STOP.replace("hooks.stop=", "'stop': ") + "}"
    run(tiny_config, tmp_path / "two", *STILL, "hooks.checkpoint.interval=2", before)
    assert load(tmp_path / "two", "iter_000008")["hooks"]["stop"]["waited"] == 2
    run(tiny_config, tmp_path / "two", *changes, resume=True)
    assert differing(final_state(tmp_path / "whole", 8), final_state(tmp_path / "two", 8)) == []


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_two_processes_end_together(tiny_config: Path, tmp_path: Path) -> None:
    options = ["--work-dir", str(tmp_path / "two"), "data.train.batch_size=2", *STILL, STOP]
    run_ranks(tmp_path, "train", str(tiny_config), *options)
    assert evaluated(tmp_path / "two") == [2, 4, 6, 8]
    assert load(tmp_path / "two", "iter_000008")["hooks"]["stop"]["waited"] == 3


class Scores:
    """What evaluations of a run give, without a run."""

    def __init__(self, *values: float, higher: bool = True, iters: tuple[int, ...] = ()) -> None:
        self.values, self.higher, self.iters = values, higher, iters or tuple(range(len(values)))

    def iter_of_end(self, **arguments: Any) -> int | None:
        class Fake:
            max_iters, iter, last_step_skipped = 100, 0, False
            higher_is_better = staticmethod(lambda metric: self.higher)

        hook, fake = EarlyStopHook("a/m", **arguments), Fake()
        for fake.iter, value in zip(self.iters, self.values, strict=True):
            hook.after_eval(fake, type("E", (), {"scores": {"a/m": value}})())  # type: ignore[arg-type]
            if fake.max_iters < 100:
                return fake.iter
        return None


NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "arguments", "end"),
    [
        (Scores(30, 31, 31, 31), {"patience": 2}, 3),
        (Scores(30, 31, 31, 31.01, 31, 31.01), {"patience": 2}, 5),
        (Scores(30, 31, 31.05, 31.05, 31.09), {"patience": 2, "min_delta": 0.1}, 3),
        (Scores(5, 4, 4, 3, 3, 3, higher=False), {"patience": 2}, 5),
        (Scores(30, 29, 28, 29), {"patience": 3}, 3),  # never as good as at the start
        (Scores(30, 29, 28, 31, 30), {"patience": 2, "after": 2}, None),
        (Scores(NAN, NAN, 30, 31), {"patience": 2}, None),
        (Scores(NAN, NAN, NAN), {"patience": 2}, 2),
        (Scores(30, 30, iters=(100 - 1, 100)), {"patience": 1}, None),  # it ends there anyway
        (Scores(30, 30, 29, 29, 28, iters=(5, 5, 10, 10, 15)), {"patience": 2}, 15),  # by two hooks, or after a stop
    ],
)
def test_what_counts_as_better(scores: Scores, arguments: dict, end: int | None) -> None:
    assert scores.iter_of_end(**arguments) == end


def test_a_score_that_is_never_taken_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    hook = EarlyStopHook("absent/psnr")
    for _ in range(3):
        hook.after_eval(None, type("E", (), {"scores": {"a/m": 1.0}})())  # type: ignore[arg-type]
    assert [line for line in caplog.messages if "absent/psnr" in line] == [
        "no early stop by absent/psnr: that set is not there"
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("score='photos/psnrr'", "score='photos/psnrr' is no score of data.val; there are photos/psnr, photos/mae"),
        ("patience=2", "EarlyStopHook needs 'score', which is missing$"),
        ("score='photos/psnr', patience=0", "patience is at least 1 evaluation, got 0"),
        ("score='photos/psnr', min_delta=-1.0", r"min_delta is 0 or more, got -1\.0"),
    ],
)
def test_faults_are_told_before_the_run(change: str, fault: str, tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=fault):
        check(Config.fromfile(tiny_config, [f"hooks.stop=dict(type='EarlyStopHook', {change})"]))
