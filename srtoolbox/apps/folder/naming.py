"""Names of the results of `upscale`. Imported by the command's parser, so free of torch."""

from __future__ import annotations

from typing import NamedTuple

STREAM = "-"
EXTENSIONS = ("png", "jpg", "webp", "tiff", "bmp", "same")


class Naming(NamedTuple):
    """Names of results."""

    out: str | None = None
    """A folder, a file for a single result, '-' for standard output; None: beside each image."""
    suffix: str = "_sr"
    """What comes behind the name."""
    ext: str = "png"
    """One of EXTENSIONS."""
