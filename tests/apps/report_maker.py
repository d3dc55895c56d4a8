"""A report made through the command, of photographs with awkward names and two networks trained for a second."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import skimage.data

from srtoolbox.cli import main
from srtoolbox.image import write_image
from tests.conftest import TINY

NAMES = [
    "plain",
    "<script>window.broken = 1<",
    "<img src=x onerror=window.broken=1>",
    "a#b?c%41 d&amp;'\"",
    "ünï‮cødé 漢字",
    "CON",
    "con",
    "long " + "name_" * 45,
]
"""Of image files, without `.png`."""


def make_images(folder: Path) -> Path:
    """A folder with a 60 x 72 piece of a photograph under each name."""
    photo = np.ascontiguousarray(skimage.data.astronaut())
    for number, name in enumerate(NAMES):
        write_image(folder / "plain.png", photo[40 * number :, 50 * number :][:60, :72])
        if name != "plain":
            (folder / "plain.png").rename(folder / f"{name}.png")
    write_image(folder / "plain.png", photo[:60, 180:252])
    return folder


def train(folder: Path, images: Path) -> tuple[Path, list[Path]]:
    """(config, two checkpoints) of a run of a second."""
    config = folder / "tiny.py"
    config.write_text(TINY.format(folder=str(images)))
    assert main(["train", str(config), "--work-dir", str(folder / "run")]) == 0
    files = [folder / "run/checkpoints" / name for name in ("iter_000005.pth", "iter_000020.pth")]
    shutil.copy(files[0], folder / "first.pth")
    return config, [folder / "first.pth", files[1]]
