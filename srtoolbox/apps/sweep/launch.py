"""The runs of a sweep, and the commands that train them."""

from __future__ import annotations

import enum
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srtoolbox.config import Config
from srtoolbox.engine.job.run_config import CONFIG
from srtoolbox.errors import OptionError
from srtoolbox.plugins import load_config
from srtoolbox.system import IS_WINDOWS
from srtoolbox.weights.of_config import with_network_of_file


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        name: by its values; the name of its folder.
        work_dir: its folder.
        overrides: all that changes the config for it.
        config: the config that it trains.
    """

    name: str
    work_dir: Path
    overrides: tuple[str, ...]
    config: Config

    @property
    def max_iters(self) -> int:
        """The iterations that it is to have."""
        return int(self.config["max_iters"])


class Todo(enum.Enum):
    """The next thing to do with a run."""

    BEGIN = "to begin"
    GO_ON = "to go on"
    BEGIN_ANEW = "to begin anew"
    LEAVE = "left alone"


@dataclass(frozen=True)
class Launch:
    """A way to start trainings.

    Args:
        source: the config, as typed.
        launcher: what starts `-m srtoolbox train`, as 'torchrun --nproc-per-node 2'; None: this Python.
        device: where they run; None is the config's.
        plugins: Python files with components.
    """

    source: str
    launcher: str | None = None
    device: str | None = None
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.launcher is not None and not self.launcher.strip():
            raise OptionError("launcher is what starts `-m srtoolbox train`, such as 'torchrun --nproc-per-node 2'")

    def command(self, run: PlannedRun, what: Todo) -> list[str]:
        """Return the command of one training."""
        begin = [sys.executable] if self.launcher is None else _words(self.launcher)
        command = [*begin, "-m", "srtoolbox", "train", self.source, *run.overrides, "--work-dir", str(run.work_dir)]
        command.append("--overwrite" if what is Todo.BEGIN_ANEW else "--resume")
        command += ["--device", self.device] if self.device else []
        return [*command, *(word for plugin in self.plugins for word in ("--plugin", plugin))]

    def plan(self, overrides: Sequence[str], work_dir: Path) -> PlannedRun:
        """Return a run with its config as that command reads it. Raises ConfigError."""
        config = load_config(self.source, overrides, {"runtime.device": self.device}, plugins=self.plugins)
        config = with_network_of_file(config, earlier=work_dir / CONFIG)
        return PlannedRun(work_dir.name, work_dir, tuple(overrides), config)


def _words(command: str) -> list[str]:
    """Return the words of a command; on Windows a backslash is a separator of folders."""
    if IS_WINDOWS:
        return [word.strip('"') for word in shlex.split(command, posix=False)]
    return shlex.split(command)
