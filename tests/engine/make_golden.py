"""Writes the checkpoint that each release leaves in `golden/`: `python -m tests.engine.make_golden`.

Iteration 7 of a tiny GAN run under fp16 with everything a checkpoint can hold; later versions must resume it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import skimage.data

from srtoolbox import __version__
from srtoolbox.image import write_image
from srtoolbox.weights.checkpoint import FORMAT
from tests.engine.runs import run
from tests.faults.stress_configs import VARIANTS

SETTINGS = ("runtime.amp=fp16", "accumulate=2", "data.train.workers=0", "max_iters=7", "data.val.interval=3")


def write_photos(folder: Path) -> None:
    """The images of that run."""
    for number in range(3):
        write_image(folder / f"{number}.png", skimage.data.chelsea()[40 * number : 40 * number + 60, :72])


def main() -> None:
    target = Path(__file__).parent / "golden" / f"{__version__}_format_{FORMAT}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_photos(Path("photos"))
        Path("gan.py").write_text(VARIANTS["gan"].format(folder="photos"))
        run(Path("gan.py"), Path("run"), *SETTINGS)
        target.mkdir(parents=True, exist_ok=True)
        for suffix in (".pth", ".json"):
            shutil.copy(f"run/checkpoints/iter_000007{suffix}", target)


if __name__ == "__main__":
    main()
