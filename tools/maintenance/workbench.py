"""Runs the toolbox's commands of one tree as processes in a folder of their own, and masks what changes by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any

LIMIT = 240.0
"""Seconds after which a command counts as hanging."""
# of a launcher around us, or of a user's shell, that would reach the commands
_FOREIGN = ("SRTOOLBOX_", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_", "SLURM_", "TORCHELASTIC_")
_MASKS: tuple[tuple[str, str], ...] = (
    (r"^\d\d:\d\d:\d\d ", ""),
    (r"\b\d+:\d\d:\d\d\b", "<time>"),
    (r"\bdata \d+ %", "data <share>"),
    (r"\b\d+(\.\d+)?( ?)(ms/iter|ms|s|min|KB|MB|GB|KiB|MiB|GiB|it/s|fps|frames/s|images/s|pictures/s)\b", r"<n>\2\3"),
    (r"(│[^│]*)│[^│]*│$", r"\1│ <n> │"),  # the last column of a table: seconds per image
)
_LAUNCHER_LINE = re.compile(r"^\*+$|^[WIE]\d{4} \d\d:\d\d")


class Workbench:
    """A folder in which the commands of a tree run, and the sentences that they print.

    Args:
        tree: a checkout of the project; its `srtoolbox` is the one that runs.
        folder: an empty folder; commands run in it and name files relative to it.

    Raises:
        SystemExit: Python would import another srtoolbox than the tree's.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        self.tree, self.folder = tree.resolve(), folder.resolve()
        self.texts: dict[str, list[str]] = {}
        self._environment = _environment(self.tree, self.folder)
        program = "import srtoolbox; print(srtoolbox.__file__)"
        found = self._start([sys.executable, "-c", program]).communicate(timeout=LIMIT)[0].strip()
        if not found or not Path(found).resolve().is_relative_to(self.tree):
            raise SystemExit(f"{self.tree}: its srtoolbox is not the one Python imports: {found or 'there is none'}")

    def run(self, title: str, command: str, *arguments: object, launcher: tuple[str, ...] = ()) -> int:
        """Run a command of the toolbox to its end; returns its exit code and keeps what it printed under `title`.

        Args:
            title: of the sentences in the record; a title that comes again is continued.
            command: of `srtoolbox COMMAND`.
            arguments: of the command.
            launcher: a module and its arguments that start the command, such as torch.distributed.run's.
        """
        prefix = ["-m", *launcher] if launcher else []
        words = [sys.executable, *prefix, "-m", "srtoolbox", command, *map(str, arguments)]
        process = self._start(words)
        outputs = process.communicate(timeout=LIMIT)
        lines = [line for output in outputs for line in output.splitlines() if not _LAUNCHER_LINE.search(line)]
        kept = [self._masked(line) for line in lines]
        self.texts[title] = [*self.texts.get(title, []), *kept, f"exit code {process.returncode}"]
        return process.returncode

    def run_until(self, is_reached: Callable[[], bool], end: str, command: str, *arguments: object) -> int:
        """Start a command and 'terminate' or 'kill' it once `is_reached`; returns its exit code, keeps no sentence."""
        process = self._start([sys.executable, "-m", "srtoolbox", command, *map(str, arguments)])
        latest = monotonic() + LIMIT
        while not is_reached() and process.poll() is None and monotonic() < latest:
            sleep(0.005)
        getattr(process, end)()
        process.communicate(timeout=LIMIT)
        return process.returncode

    def write(self, name: str, text: str) -> str:
        """Write a text file into the folder; returns its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        pipes: Mapping[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(
            words, cwd=self.folder, env=self._environment, text=True, encoding="utf-8", errors="replace", **pipes
        )

    def _masked(self, line: str) -> str:
        for path, name in ((self.folder, "<folder>"), (self.tree, "<tree>")):
            line = line.replace(str(path), name)
        return masked(line)


def masked(line: str) -> str:
    """Return a printed line without its times, speeds and amounts of memory."""
    for pattern, replacement in _MASKS:
        line = re.sub(pattern, replacement, line.rstrip())
    return line


def _environment(tree: Path, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    own = {"SRTOOLBOX_CACHE": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(tree)}
    system = {"USE_LIBUV": "0"} if os.name == "nt" else {}  # PyTorch for Windows is built without it
    return {**kept, **threads, **own, **system, "PYTHONHASHSEED": "0", "COLUMNS": "120", "PYTHONUTF8": "1"}
