"""STL-10's binary files as folders of images.

Coates, Lee, Ng: "An analysis of single-layer networks in unsupervised feature learning" (AISTATS
2011). The files hold images of 96 x 96, one after another, each 3 planes of bytes, columns first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srtoolbox.errors import DataError, ImageError, MissingDataError
from srtoolbox.image import read_image, write_image
from srtoolbox.io.files import prepare_folder
from srtoolbox.io.threads import count_threads, map_ahead

IMAGE_BYTES = 3 * 96 * 96


class Unpacked(NamedTuple):
    """The numbers of images there are, and of those that were written."""

    images: int
    written: int


def unpack(
    binary: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Unpacked:
    """Write every image of a binary file as `000000.png` ... into a folder, made if need be.

    Images that are there already are compared, not written again, so a second call goes on.
    `workers` threads (None: one per CPU) write; `progress` gets images done and images in all.

    Raises:
        MissingDataError: no such file.
        DataError: a file of a wrong size, or other images in the folder.
    """
    images = _open(Path(binary))
    folder, width = Path(folder), max(6, len(str(len(images) - 1)))
    threads = count_threads(workers)
    prepare_folder(folder)

    def write(number: int) -> bool:
        path = folder / f"{number:0{width}}.png"
        image = np.ascontiguousarray(images[number].transpose(2, 1, 0))  # from planes of columns
        if not path.exists():
            write_image(path, image)
            return True
        with contextlib.suppress(ImageError):
            if np.array_equal(read_image(path), image):
                return False
        raise DataError(f"{path}: is another image than number {number} of {binary}. Unpack into an empty folder")

    written = 0
    with contextlib.closing(map_ahead(write, range(len(images)), threads=threads)) as writing:
        for number, outcome in writing:
            written += outcome.result()
            progress(number + 1, len(images))
    return Unpacked(len(images), written)


def _open(binary: Path) -> np.ndarray:
    """Return a map of the file, (N, 3, 96 columns, 96 rows)."""
    if not binary.is_file():
        raise MissingDataError(f"{binary}: no such file", str(binary))
    size = binary.stat().st_size
    if size == 0 or size % IMAGE_BYTES:
        raise DataError(
            f"{binary}: {size} bytes are not a whole number of 96 x 96 images of {IMAGE_BYTES} bytes. Is it "
            "train_X.bin, test_X.bin or unlabeled_X.bin of stl10_binary.tar.gz, unpacked, and whole?"
        )
    return np.memmap(binary, np.uint8, "r").reshape(-1, 3, 96, 96)
