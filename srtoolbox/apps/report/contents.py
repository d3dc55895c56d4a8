"""What a page shows of one set: images in their versions, and crops of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from srtoolbox.plots.sheet import Region

INPUT, TRUTH = " input", " truth"
"""Versions of an image beside those of networks, whose names do not begin with a space."""


class ImageEntry(NamedTuple):
    """An image in its versions; `files` and `captions` by version, files relative to the page."""

    name: str
    height: int
    width: int
    files: dict[str, str]
    captions: dict[str, str]


class CropEntry(NamedTuple):
    """A part of image number `image`; `cells` holds (version, image file, error map or None, PSNR or None)."""

    image: int
    region: Region
    cells: list[tuple[str, str, str | None, float | None]]


@dataclass
class PageSet:
    """One set; `sources` maps versions to what they are called; `metric` is None where there is no truth."""

    name: str
    scale: int
    count: int
    metric: str | None
    sources: dict[str, str]
    images: list[ImageEntry]
    crops: dict[str, list[CropEntry]] = field(default_factory=dict)
