"""The limits of each format, and images converted to fit it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from srtoolbox.errors import ImageError
from srtoolbox.image.files.file_types import (
    DEEP_SUFFIXES,
    MAX_SIDES,
    TIFF_SUFFIXES,
    WRITE_SUFFIXES,
    listed,
)
from srtoolbox.image.tensors import expand_gray, to_uint8


class Form(NamedTuple):
    """The shape of an image's pixels."""

    height: int
    width: int
    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha."""
    bits: int
    """8 or 16."""

    @property
    def colours(self) -> int:
        """Channels without alpha."""
        return self.channels - self.has_alpha

    @property
    def has_alpha(self) -> bool:
        """True if the last channel is alpha."""
        return self.channels in (2, 4)

    @property
    def dtype(self) -> np.dtype:
        """The type of the pixels."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)


def fitted(form: Form, suffix: str) -> tuple[Form, list[str]]:
    """The form an image takes in the format of a suffix, and a line for each thing that gets lost.

    Raises:
        ImageError: no format has this suffix, or a side is longer than the format can tell.
    """
    suffix = suffix.lower()
    if suffix not in WRITE_SUFFIXES:
        raise ImageError(f"no format for suffix {suffix!r}; use one of {listed()}")
    if max(form.height, form.width) > MAX_SIDES.get(suffix, 2**31 - 1):
        size = f"{form.width} x {form.height}"
        raise ImageError(f"{suffix} holds at most {MAX_SIDES[suffix]} pixels a side, this image has {size}; use .png")
    lost, channels, bits = [], form.channels, form.bits
    if bits == 16 and suffix not in DEEP_SUFFIXES:
        bits = 8
        lost.append(f"16 bits became 8, which is what {suffix} holds (.png and .tif hold 16)")
    if form.has_alpha and suffix not in (*DEEP_SUFFIXES, ".webp"):
        channels = form.colours
        lost.append(f"transparency became white, {suffix} holds none (.png, .webp and .tif do)")
    # Three equal channels: WebP has no gray, and hardly a program reads a TIFF of gray with alpha
    # in 16 bits.
    if suffix == ".webp" and form.colours == 1:
        channels = 4 if form.has_alpha else 3
    elif suffix in TIFF_SUFFIXES and (form.channels, form.bits) == (2, 16):
        channels = 4
    return Form(form.height, form.width, channels, bits), lost


def converted(band: np.ndarray, form: Form) -> np.ndarray:
    """Convert rows (h, W, C): alpha laid over white, 16 bits rounded to 8, gray as RGB."""
    has_alpha = band.shape[2] in (2, 4)
    colours, alpha = (band[..., :-1], band[..., -1:]) if has_alpha else (band, None)
    if alpha is not None and not form.has_alpha:
        colours, alpha = _over_white(colours, alpha), None
    if form.colours == 3:
        colours = expand_gray(colours)
    band = colours if alpha is None else np.concatenate([colours, alpha], axis=2)
    return np.ascontiguousarray(to_uint8(band) if form.bits == 8 else band)


def _over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    peak = np.iinfo(colours.dtype).max
    share = alpha.astype(np.float32) / peak
    return np.rint(colours * share + peak * (1 - share)).astype(colours.dtype)


def blocks(bands: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The rows of all bands again, `rows` at a time (the last block has what is left)."""
    pending: list[np.ndarray] = []
    count = 0
    for band in bands:
        while len(band):
            part, band = band[: rows - count], band[rows - count :]
            pending.append(part)
            count += len(part)
            if count == rows:
                yield pending[0] if len(pending) == 1 else np.concatenate(pending)
                pending, count = [], 0
    if pending:
        yield pending[0] if len(pending) == 1 else np.concatenate(pending)
