"""`StopWorseHook`: a run is given up where its score is worse than asked, saved and resumable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.hooks.early_stop import StopWorseHook
from srtoolbox.engine.job.job import train
from srtoolbox.errors import ConfigError

FAST = ("hooks.ema=None", "data.val.interval=2", "hooks.checkpoint.interval=100")
RULE = "hooks.stop=dict(type='StopWorseHook', score='photos/psnr', than=90.0, after=3)"


def test_a_run_is_given_up_saved_and_told(tiny_config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = train(tiny_config, work_dir=folder, overrides=(*FAST, RULE))
    assert (result.iteration, result.ending, result.last.name) == (4, "given up", "iter_000004.pth")
    assert json.loads((folder / "run.json").read_text())["ending"] == "given up"
    log = (folder / "train.log").read_text()
    assert "given up at iteration 4 of 20: photos/psnr is" in log and "worse than 90" in log
    assert "learned too little" not in log
    again = train(tiny_config, work_dir=folder, resume=True, overrides=(*FAST, RULE))
    assert (again.iteration, again.ending) == (4, "given up")
    relaxed = train(tiny_config, work_dir=folder, resume=True, overrides=(*FAST, RULE.replace("90.0", "1.0")))
    assert relaxed.iteration == 20 and relaxed.ending != "given up"


class Fake:
    """What the hook asks of a run."""

    def __init__(self, higher: bool) -> None:
        self.max_iters, self.iter, self.last_step_skipped = 100, 0, False
        self.higher_is_better = lambda metric: higher


@pytest.mark.parametrize(
    ("value", "iteration", "higher", "ends"),
    [
        (24.9, 10, True, True),
        (25.0, 10, True, False),
        (24.9, 9, True, False),  # too early
        (24.9, 100, True, False),  # it ends there anyway
        (25.1, 10, False, True),
        (24.9, 10, False, False),
        (float("nan"), 10, True, True),
        (float("nan"), 10, False, True),
    ],
)
def test_what_counts_as_worse(value: float, iteration: int, higher: bool, ends: bool) -> None:
    hook, fake = StopWorseHook("a/m", than=25, after=10), Fake(higher)
    fake.iter = iteration
    hook.after_eval(fake, type("E", (), {"scores": {"a/m": value}})())  # type: ignore[arg-type]
    assert hook.has_given_up is ends and fake.max_iters == (iteration if ends else 100)


def test_faults_are_told_before_the_run(tiny_config: Path) -> None:
    for change, fault in (
        ("score='photos/psnrr', than=1", "score='photos/psnrr' is no score of data.val"),
        ("score='photos/psnr'", "needs 'than', which is missing"),
        ("score='photos/psnr', than='x'", "than"),
    ):
        with pytest.raises(ConfigError, match=fault):
            check(Config.fromfile(tiny_config, [f"hooks.stop=dict(type='StopWorseHook', {change})"]))
