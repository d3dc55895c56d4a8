"""Images and animations of trainings, networks and results."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from srtoolbox.cli import PART, commands, plot_log, summary_lines
from srtoolbox.errors import SrtoolboxError
from srtoolbox.text import did_you_mean

SUMMARY = "draw trainings, feature maps, filters, scans, comparisons and scores"


def main(argv: Sequence[str]) -> int:
    """Run the part named by the first argument; returns the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(help_text())
        return 0
    name, *rest = argv
    if name not in parts():
        raise SrtoolboxError(f"visualize has no {name!r}.{did_you_mean(name, parts(), else_list=True)}")
    return parts()[name].main(rest)


def parts() -> dict[str, ModuleType]:
    """Return the files `visualize_PART.py` by part; `curves` is plot_log by another name."""
    return {**commands(PART), "curves": plot_log}


def help_text() -> str:
    """Return the list of the parts."""
    return "\n".join(
        [
            "usage: visualize.py WHAT ...          (srtoolbox visualize WHAT ...)",
            "",
            str(__doc__),
            "",
            *summary_lines(parts()),
            "",
            "visualize.py WHAT --help shows the options of one, with an example:",
            "  python tools/visualize.py training work_dirs/quickstart -o training.gif",
        ]
    )
