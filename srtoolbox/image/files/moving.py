"""The frames of animated WebP and AVIF files, which FFmpeg does not decode in full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from srtoolbox.image.files.file_types import AVIF, START_BYTES, kind_of
from srtoolbox.image.files.opening import MAX_PIXELS, faults_name, open_by_pillow, open_picture, too_large

_DURATION = 100  # ms, where a file tells none, as browsers take it


class MovingFrame(NamedTuple):
    """One frame of an animation."""

    image: np.ndarray
    """(H, W, 3) uint8, RGB; transparency is dropped."""
    duration: int
    """Milliseconds."""


def is_moving_image(path: str | os.PathLike) -> bool:
    """True for an animated WebP or AVIF file, by its first bytes."""
    try:
        with open(path, "rb") as file:  # of any size: videos are asked, too
            start = file.read(START_BYTES)
    except OSError:
        return False  # whoever opens it says why
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X":
        return bool(int.from_bytes(start[20:21]) & 2)  # the flag 'animation'
    return kind_of(start) == AVIF and b"avis" in start[8:]


def moving_frames(path: str | os.PathLike) -> Iterator[MovingFrame]:
    """Decode the frames of an animation in order, one at a time.

    Raises:
        ImageError: damaged, or too large; the message names the file.
    """
    with open_picture(path) as file, faults_name(os.fspath(path)), open_by_pillow(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise too_large(image.height, image.width)
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            yield MovingFrame(np.array(image.convert("RGB")), int(image.info.get("duration", 0)) or _DURATION)
