"""The commands: `srtoolbox COMMAND ...`, `python -m srtoolbox COMMAND ...` and `python tools/COMMAND.py ...` are one.

A command's module is imported only when it runs, so that `srtoolbox --help` answers without PyTorch.
"""

from __future__ import annotations

import glob
import importlib
import io
import os
import sys
from collections.abc import Sequence

from srtoolbox import __version__, system
from srtoolbox.errors import SrtoolboxError
from srtoolbox.registry import did_you_mean

COMMANDS = {
    "train": "srtoolbox.cli.train",
    "replay": "srtoolbox.cli.replay",
    "test": "srtoolbox.cli.test",
    "upscale": "srtoolbox.cli.upscale",
    "upscale_video": "srtoolbox.cli.upscale_video",
    "interp": "srtoolbox.cli.interp",
    "convert_checkpoint": "srtoolbox.cli.convert_checkpoint",
    "export": "srtoolbox.cli.export",
    "convert_lmdb": "srtoolbox.cli.convert_lmdb",
    "unpack_stl10": "srtoolbox.cli.unpack_stl10",
    "check_data": "srtoolbox.cli.check_data",
    "check_config": "srtoolbox.cli.check_config",
    "print_config": "srtoolbox.cli.print_config",
    "model_info": "srtoolbox.cli.model_info",
    "plot_log": "srtoolbox.cli.plot_log",
    "visualize": "srtoolbox.cli.visualize",
    "quickstart": "srtoolbox.cli.quickstart",
}
SUMMARIES = {
    "train": "train a network from a config",
    "replay": "look into the fault that ended a training",
    "test": "score checkpoints, or bicubic, on test sets",
    "upscale": "upscale pictures with a trained network",
    "upscale_video": "upscale a video, its audio, times and colours kept",
    "interp": "blend networks: files, sheets and curves over alpha",
    "convert_checkpoint": "convert weights from and to other projects' files",
    "export": "write a network as ONNX or torch.export",
    "convert_lmdb": "convert folders of pictures to LMDB, pairs verified",
    "unpack_stl10": "unpack STL-10's binary files to folders",
    "check_data": "find damaged pictures, wrong pairs, duplicates and leaks",
    "check_config": "report all faults of configs before anything runs",
    "print_config": "print a config with its bases and overrides resolved",
    "model_info": "count a network's parameters and FLOPs, measure its time and memory",
    "plot_log": "draw the training curves of one or more runs",
    "visualize": "draw trainings, feature maps, filters, scans, comparisons and scores",
    "quickstart": "train, test and upscale on built-in photographs",
}
EXIT_FAULT, EXIT_INTERRUPT, EXIT_PIPE = 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument, with hyphens or underscores; returns the exit code.

    A `SrtoolboxError` is printed as `error: ...` without a traceback and gives 2; Ctrl-C gives 130.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if argv[0] == "--version":
        print(f"srtoolbox {__version__}")
        return 0
    typed, *rest = argv
    name = typed.replace("-", "_")
    if name not in COMMANDS:
        print(f"error: no command {typed!r}.{did_you_mean(name, COMMANDS, else_list=True)}", file=sys.stderr)
        return EXIT_FAULT
    if name != "upscale":  # which keeps what a pattern says of folders
        rest = expand_patterns(rest)
    return _run(name, rest)


def expand_patterns(argv: Sequence[str]) -> list[str]:
    """Return arguments, on Windows, whose shells leave patterns (`*.pth`), with the files that these describe."""
    result = []
    for text in argv:
        is_pattern = system.IS_WINDOWS and glob.has_magic(text) and not text.startswith("-") and "=" not in text
        found = sorted(glob.glob(text, recursive=True)) if is_pattern and not os.path.exists(text) else []
        result += found or [text]
    return result


def _run(name: str, argv: list[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may have signs that it cannot print
    try:
        if "multiprocessing.spawn" in sys.modules:  # as in a worker process that starts; else --help stays fast
            from srtoolbox.data.loading.workers import refuse_second_import

            refuse_second_import()
        code = importlib.import_module(COMMANDS[name]).main(argv)
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
        # whoever read our output has gone; without this Python complains once more when it flushes at exit
        _drop_stdout()
        return EXIT_PIPE


def _flush(code: int) -> None:
    """All that was printed is out, or an error: a full disk behind `> FILE`."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_stdout()
        if not code:  # else a fault was told already
            raise SrtoolboxError(f"standard output cannot be written ({error.strerror or error})") from error


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def help_text() -> str:
    """The list of commands, one line each."""
    width = max(map(len, SUMMARIES))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in SUMMARIES.items()]
    return "\n".join(
        [
            "usage: srtoolbox COMMAND ...",
            "",
            "commands:",
            *lines,
            "",
            "srtoolbox COMMAND --help shows the options of one, with an example; srtoolbox --version the version.",
            "Hyphens do as well as underscores: srtoolbox convert-lmdb.",
        ]
    )
