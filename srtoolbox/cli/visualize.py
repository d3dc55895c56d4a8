"""Pictures and animations of trainings, networks and results."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from srtoolbox.errors import SrtoolboxError
from srtoolbox.registry import did_you_mean

PARTS = {
    "training": ("srtoolbox.cli.visualize_training", "patches over the iterations of a training: an animation"),
    "features": ("srtoolbox.cli.visualize_features", "feature maps of a layer: a sheet, or over a training"),
    "filters": ("srtoolbox.cli.visualize_filters", "the filters of the first convolution: a sheet"),
    "scan": ("srtoolbox.cli.visualize_scan", "a picture upscaled tile by tile over bicubic: an animation"),
    "compare": ("srtoolbox.cli.visualize_compare", "pictures by networks: a sheet"),
    "bars": ("srtoolbox.cli.visualize_bars", "test scores, networks by sets: a bar chart"),
    "curves": ("srtoolbox.cli.plot_log", "losses and scores over the iterations: plot_log by another name"),
}


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(help_text())
        return 0
    name, *rest = argv
    if name not in PARTS:
        raise SrtoolboxError(f"visualize has no {name!r}.{did_you_mean(name, PARTS, else_list=True)}")
    return importlib.import_module(PARTS[name][0]).main(rest)


def help_text() -> str:
    """The list of what can be shown."""
    width = max(map(len, PARTS))
    return "\n".join(
        [
            "usage: visualize.py WHAT ...          (srtoolbox visualize WHAT ...)",
            "",
            __doc__,
            "",
            *(f"  {name:<{width}}  {summary}" for name, (_, summary) in PARTS.items()),
            "",
            "visualize.py WHAT --help shows the options of one, with an example:",
            "  python tools/visualize.py training work_dirs/quickstart -o training.gif",
        ]
    )
