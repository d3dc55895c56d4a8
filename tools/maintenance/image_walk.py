"""The walk of one image from file to file of the package, measured by really upscaling one.

PYTHONPATH=TREE python tools/maintenance/image_walk.py TREE     prints {door: [stays, climbs, returns]}
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple


class Walk(NamedTuple):
    """The files that one image passes.

    Functions are taken in the order in which they are first called (per thread, threads in the order of their first
    call), so neither the number of tiles nor of bands matters. A stay is a stretch of functions of one file.
    """

    stays: list[str]
    """A file for each stay, relative to the package."""
    climbs: int
    """Stays in a file that stands above the file of the stay before."""
    returns: int
    """Stays in a file in which there was an earlier stay."""


def measure_walks(tree: Path) -> dict[str, Walk]:
    """Upscale a small image by the public Python names, and by the command, each twice, the second time watched.

    The network is loaded before either walk begins: that of the command at the end of `srtoolbox.load_network`.

    Args:
        tree: a checkout, whose `srtoolbox` is the one that is imported.

    Raises:
        SystemExit: Python imports another srtoolbox, or the command fails.
    """
    import srtoolbox

    package = tree.resolve() / "srtoolbox"
    if Path(srtoolbox.__file__).resolve().parent != package:
        raise SystemExit(f"{package} is not the srtoolbox that Python imports: {srtoolbox.__file__}")
    height = heights(tree)
    with tempfile.TemporaryDirectory(prefix="walk_") as scratch:
        network_file, image = _prepared(Path(scratch))
        network = srtoolbox.load_network(network_file)
        target = str(Path(scratch) / "large.png")

        def by_names() -> None:
            srtoolbox.write_image(target, srtoolbox.upscale(network, srtoolbox.read_image(image)))

        def by_command() -> None:
            _run(["upscale", network_file, image, "-o", scratch, "--device", "cpu"])

        doors = {"Python names": (by_names, None), "the command": (by_command, srtoolbox.load_network.__code__)}
        walks = {}
        for door, (upscale, beginning) in doors.items():
            upscale()  # what is imported or cached at first use is no part of the walk
            watch = _Watch(package, beginning)
            with watch.watching():
                upscale()
            walks[door] = walk_of(watch.calls(), height)
    return walks


def heights(tree: Path) -> Callable[[str], int]:
    """Return how high a file stands: the place of its room in the order of tests/test_layering.py."""
    sys.path.insert(0, str(tree))
    from tests import test_layering

    def height(file: str) -> int:
        module = test_layering.module_of(test_layering.PACKAGE / file)
        return test_layering.RANK.get(test_layering.part_of(module), 0)

    return height


def walk_of(calls: Sequence[tuple[str, str]], height: Callable[[str], int]) -> Walk:
    """Return the walk of calls (file, function)."""
    stays: list[str] = []
    for file, _ in dict.fromkeys(calls):
        if not stays or stays[-1] != file:
            stays.append(file)
    climbs = sum(height(after) > height(before) for before, after in pairwise(stays))
    return Walk(stays, climbs, len(stays) - len(set(stays)))


class _Watch:
    """Notes the calls of functions of the package in all threads.

    Args:
        package: its folder.
        beginning: of a function at whose end the notes begin; None: at once.
    """

    def __init__(self, package: Path, beginning: CodeType | None) -> None:
        self._root, self._beginning = f"{package}{os.sep}", beginning
        self._has_begun = beginning is None
        self._calls: dict[int, list[tuple[str, str]]] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While active, calls are noted."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def calls(self) -> list[tuple[str, str]]:
        """Return what was noted, thread by thread."""
        return [call for calls in self._calls.values() for call in calls]

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "return" and code is self._beginning:
            self._has_begun = True
        if event == "call" and self._has_begun and code.co_filename.startswith(self._root):
            file = code.co_filename[len(self._root) :].replace(os.sep, "/")
            self._calls.setdefault(threading.get_ident(), []).append((file, code.co_qualname))


def _prepared(folder: Path) -> tuple[str, str]:
    """Write a checkpoint of a small MSRResNet and an image; return their paths."""
    import numpy as np
    import torch
    from skimage.data import chelsea

    import srtoolbox
    from srtoolbox.registry import NETWORKS

    generator = {"type": "MSRResNet", "scale": 4, "num_features": 8, "num_blocks": 1}
    network = NETWORKS.build(generator)
    state = {"format": 1, "iter": 0, "config": json.dumps({"model": {"generator": generator}})}
    torch.save({**state, "networks": {"generator": network.state_dict()}}, folder / "network.pth")
    srtoolbox.write_image(folder / "image.png", np.ascontiguousarray(chelsea()[90:141, 120:187]))
    return str(folder / "network.pth"), str(folder / "image.png")


def _run(command: Sequence[str]) -> None:
    from srtoolbox.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(list(command))
    if code:
        raise SystemExit(f"srtoolbox {' '.join(command)}: exit code {code}\n{printed.getvalue()}")


if __name__ == "__main__":
    print(json.dumps(measure_walks(Path(sys.argv[1]))))
