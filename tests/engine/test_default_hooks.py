"""Hooks that a config does not name: added, fitted to the run, taken out by None."""

from __future__ import annotations

from pathlib import Path

import pytest

from srtoolbox.check import check
from srtoolbox.check.components import complete_hooks
from srtoolbox.config import Config
from srtoolbox.engine.hooks.checkpoint import CheckpointHook
from srtoolbox.errors import ConfigError
from srtoolbox.registry import HOOKS
from tests.engine.runs import build, differing, final_state, listing, load, records, run

NO_HOOKS = "hooks=dict(_delete_=True)"
DEFAULT = {
    "scheduler": "SchedulerHook",
    "checkpoint": "CheckpointHook",
    "evaluate": "EvaluateHook",
    "logger": "LoggerHook",
}


@HOOKS.register
class SaverOfATest(CheckpointHook):
    """A checkpoint hook of somebody's."""


def kinds(hooks: object) -> dict[str, str]:
    """Return the class of each hook of a config with these."""
    return {name: cfg["type"] for name, cfg in complete_hooks({"hooks": hooks}).items()}


def test_a_config_without_hooks_has_the_default_ones() -> None:
    assert {name: cfg["type"] for name, cfg in complete_hooks({}).items()} == kinds({}) == DEFAULT


def test_none_takes_a_hook_out() -> None:
    assert kinds({name: None for name in DEFAULT}) == kinds(None) == {}
    assert kinds({"logger": None}) == {name: kind for name, kind in DEFAULT.items() if name != "logger"}


@pytest.mark.parametrize("kind", ["CheckpointHook", "SaverOfATest"])
@pytest.mark.parametrize("name", ["checkpoint", "saver"])
def test_a_hook_of_the_class_or_a_subclass_under_any_name_replaces_the_default(name: str, kind: str) -> None:
    found = kinds({name: {"type": kind}})
    assert found.pop(name) == kind and "checkpoint" not in found
    assert found == {key: value for key, value in DEFAULT.items() if key != "checkpoint"}


def test_arguments_without_a_type_are_those_of_the_default_hook(tiny_config: Path) -> None:
    assert complete_hooks({"hooks": {"own": {"type": "EMAHook"}, "checkpoint": {"interval": 20}}}) == {
        **{name: {"type": kind} for name, kind in DEFAULT.items()},
        "checkpoint": {"type": "CheckpointHook", "interval": 20},
        "own": {"type": "EMAHook"},
    }
    for change in ("hooks.checkpoint.interval=20", "hooks=dict(checkpoint=dict(interval=20))"):
        config = Config.fromfile(str(tiny_config), [NO_HOOKS, change])
        check(config)
        assert config["hooks"]["checkpoint"] == {"interval": 20}
    with pytest.raises(ConfigError, match=r"hooks\.checkpoint: CheckpointHook takes no 'intervall'\. Did you mean"):
        check(Config.fromfile(str(tiny_config), [NO_HOOKS, "hooks.checkpoint.intervall=20"]))


def test_arguments_without_a_type_need_one_beside_another_hook_of_the_class(tiny_config: Path) -> None:
    changes = [NO_HOOKS, "hooks.saver=dict(type='SaverOfATest')", "hooks.checkpoint.interval=20"]
    with pytest.raises(ConfigError, match=r"hooks\.checkpoint: .*`type` is missing\. Known: "):
        check(Config.fromfile(str(tiny_config), changes))


def test_a_run_takes_the_arguments_of_a_default_hook(tiny_config: Path, tmp_path: Path) -> None:
    run(
        tiny_config, tmp_path / "run", NO_HOOKS, "hooks.checkpoint.interval=3", "hooks.logger.interval=1", "max_iters=6"
    )
    assert listing(tmp_path / "run", "iter_*.pth") == ["iter_000003.pth", "iter_000006.pth"]


def test_another_hook_under_the_name_takes_the_place() -> None:
    assert kinds({"logger": {"type": "EMAHook"}}) == {**DEFAULT, "logger": "EMAHook"}


def test_a_run_without_hooks_saves_evaluates_and_logs_at_intervals_that_fit(tiny_config: Path, tmp_path: Path) -> None:
    free = "data.val.interval=None"
    runner = run(tiny_config, tmp_path / "run", NO_HOOKS, free, "max_iters=40")
    assert listing(tmp_path / "run", "iter_*.pth") == [f"iter_{number:06d}.pth" for number in (32, 36, 40)]
    lines = records(tmp_path / "run")
    assert [line["iter"] for line in lines if line["kind"] == "train"] == list(range(2, 41, 2))
    assert [line["iter"] for line in lines if line["kind"] == "eval"] == list(range(4, 41, 4))
    assert runner.optims["generator"].scheduler.last_epoch == 40
    hooks = build(tiny_config, tmp_path / "long", NO_HOOKS, free, "max_iters=1_000_000").hooks
    assert [hooks[name].interval for name in ("checkpoint", "evaluate", "logger")] == [5000, 5000, 100]


def test_a_run_whose_checkpoints_know_no_added_hook_resumes_exactly(tiny_config: Path, tmp_path: Path) -> None:
    none = ("hooks.logger=None", "hooks.evaluate=None", "hooks.ema=None")
    run(tiny_config, tmp_path / "whole", *none)
    run(tiny_config, tmp_path / "run", *none, "max_iters=10")
    assert "logger" not in load(tmp_path / "run", "iter_000010")["hooks"]
    resumed = run(tiny_config, tmp_path / "run", "hooks=dict(_delete_=True,own=dict(type='SaverOfATest'))", resume=True)
    assert list(resumed.hooks) == ["scheduler", "own", "evaluate", "logger"]
    found = {key: value for key, value in final_state(tmp_path / "run").items() if not key.startswith("/hooks")}
    whole = {key: value for key, value in final_state(tmp_path / "whole").items() if not key.startswith("/hooks")}
    assert differing(whole, found) == [] and records(tmp_path / "run")


@pytest.mark.parametrize("where", ["file", "command line", "command line, not named"])
def test_a_run_that_would_save_nothing_is_told_before(
    where: str, tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = tmp_path / "child.py"
    change = {
        "file": "dict(checkpoint=None)",
        "command line": "{}",
        "command line, not named": "dict(_delete_=True)",
    }[where]
    child.write_text(f"_base_ = {str(tiny_config)!r}\nhooks = {change}\n")
    config = Config.fromfile(str(child), [] if where == "file" else ["hooks.checkpoint=None"])
    assert config["hooks"]["checkpoint"] is None
    again = Config.fromfile(str(config_file(tmp_path, config)))
    assert again["hooks"]["checkpoint"] is None
    check(config)
    assert "nothing of this run will be saved" in caplog.text
    run(child, tmp_path / "run", *([] if where == "file" else ["hooks.checkpoint=None"]), "max_iters=2")
    assert not (tmp_path / "run/checkpoints").exists()


def config_file(folder: Path, config: Config) -> Path:
    """Write a config as a run keeps it."""
    path = folder / "kept.py"
    path.write_text(config.dump())
    return path


def test_a_config_that_saves_is_not_warned_of(tiny_config: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(Config.fromfile(str(tiny_config), [NO_HOOKS]))
    assert "saved" not in caplog.text


def test_a_misspelt_default_hook_is_still_none_to_remove(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"no 'chekpoint' to remove\. Did you mean 'checkpoint'"):
        Config.fromfile(str(tiny_config), ["hooks.chekpoint=None"])
