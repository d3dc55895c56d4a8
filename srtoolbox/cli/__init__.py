"""The commands: `srtoolbox COMMAND ...`, `python -m srtoolbox ...`, `python tools/COMMAND.py`.

A command is a file of this folder that has a line `SUMMARY = "..."` and a function `main(argv)`,
which returns the exit code; its name is the file's. `visualize_PART.py` is a part of `visualize`.
At its top such a file imports nothing heavy, so that `srtoolbox --help` answers without PyTorch.
"""
# PYTHON_ARGCOMPLETE_OK: for those who have `activate-global-python-argcomplete`

from __future__ import annotations

import glob
import importlib.util
import io
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from srtoolbox import __version__, system
from srtoolbox.errors import SrtoolboxError
from srtoolbox.text import did_you_mean

EXIT_FAULT, EXIT_INTERRUPT, EXIT_PIPE = 2, 130, 141
COMPLETING = "_ARGCOMPLETE"
"""The variable by which a shell asks what could be typed; see `completers`."""
PART = "visualize_"
"""Begins the names of files that are parts of `visualize`, no commands."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; returns the exit code.

    A `SrtoolboxError` is printed as `error: ...` without a traceback and gives 2; Ctrl-C gives 130.
    """
    if COMPLETING in os.environ:
        from srtoolbox.cli.completers import complete_line

        return complete_line()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if argv[0] == "--version":
        print(f"srtoolbox {__version__}")
        return 0
    typed, *rest = argv
    name = typed.replace("-", "_")
    command = find_command(name)
    if command is None:
        hint = did_you_mean(name, commands(), else_list=True)
        print(f"error: no command {typed!r}.{hint}", file=sys.stderr)
        return EXIT_FAULT
    return _run(command, rest)


def commands(prefix: str = "") -> dict[str, ModuleType]:
    """Return commands by name; with a prefix, files that it begins, by the rest of the name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {}
    for name in names:
        is_listed = name.startswith(prefix) if prefix else not name.startswith(PART)
        module = find_command(name) if is_listed else None
        if module is not None:
            modules[name.removeprefix(prefix)] = module
    return modules


def find_command(name: str) -> ModuleType | None:
    """Return the module of a command, None where there is none of this name."""
    if not name.isidentifier() or importlib.util.find_spec(f"{__name__}.{name}") is None:
        return None
    module = importlib.import_module(f"{__name__}.{name}")
    return module if hasattr(module, "SUMMARY") else None


def expand_patterns(argv: Sequence[str]) -> list[str]:
    """Return arguments with patterns (`*.pth`) replaced by files, as Windows' shells do not."""
    result = []
    for text in argv:
        is_pattern = system.IS_WINDOWS and glob.has_magic(text) and not text.startswith("-") and "=" not in text
        files = sorted(glob.glob(text, recursive=True)) if is_pattern and not os.path.exists(text) else []
        result += files or [text]
    return result


def _run(command: ModuleType, argv: list[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # a file's name may have signs that it cannot print
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # as in a worker process that starts; else --help stays fast
        if "multiprocessing.spawn" in sys.modules:
            from srtoolbox.data.loading.workers import refuse_second_import

            refuse_second_import()
        code = command.main(argv if hasattr(command, "TAKES_PATTERNS") else expand_patterns(argv))
        _flush(code)
        return code
    except SrtoolboxError as error:
        lines = str(error).splitlines()
        print("error: " + "\n       ".join(lines), file=sys.stderr)
        return EXIT_FAULT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPT
    except BrokenPipeError:
        # the reader of the output has gone; without this Python complains once more when it flushes at exit
        _drop_stdout()
        return EXIT_PIPE


def _flush(code: int) -> None:
    """Write out all that was printed, or raise: a full disk behind `> FILE`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_stdout()
        if not code:  # else a fault is printed already
            raise SrtoolboxError(f"standard output cannot be written ({error.strerror or error})") from error


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def help_text() -> str:
    """Return the list of commands, one line each."""
    return "\n".join(
        [
            "usage: srtoolbox COMMAND ...",
            "",
            "commands:",
            *summary_lines(commands()),
            "",
            "srtoolbox COMMAND --help shows the options of one, with an example; srtoolbox --version the version.",
            "Hyphens do as well as underscores: srtoolbox convert-lmdb.",
        ]
    )


def summary_lines(modules: dict[str, ModuleType]) -> list[str]:
    """Return a line per module: its name and its summary."""
    width = max(map(len, modules))
    return [f"  {name:<{width}}  {module.SUMMARY}" for name, module in modules.items()]
