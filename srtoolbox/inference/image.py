"""Images with alpha and metadata through an `Upscaler`, whole or in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from srtoolbox.image import AlphaBounds, Form, Picture, fill_hidden, form_of
from srtoolbox.inference.upscaler import Upscaler

Transparency = Literal["network", "bicubic"]


class Bands(NamedTuple):
    """An upscaled image that is still to be made."""

    form: Form
    """Its shape, alpha included."""
    rows: Iterator[np.ndarray]
    """Bands of rows (h, W, C), top to bottom; the network runs as they are asked for."""


def upscale_picture(upscaler: Upscaler, picture: Picture, *, alpha: Upscaler | None = None) -> Picture:
    """Upscale an image with its alpha, and keep its metadata.

    Colours of fully transparent pixels count as those of the nearest visible one, so nothing hidden
    shows at edges.

    Args:
        upscaler: for the colours.
        picture: what to upscale.
        alpha: for the transparency, as a gray image; None: the same as for the colours.
    """
    form, rows = picture_bands(upscaler, picture, alpha=alpha)
    bands = list(rows)
    whole = bands[0] if len(bands) == 1 else np.concatenate(bands)
    if not form.has_alpha:
        return Picture(whole, None, picture.metadata)
    colours, transparency = whole[..., :-1], whole[..., -1:]
    return Picture(np.ascontiguousarray(colours), np.ascontiguousarray(transparency), picture.metadata)


def picture_bands(upscaler: Upscaler, picture: Picture, *, alpha: Upscaler | None = None) -> Bands:
    """Upscale as `upscale_picture` does, in bands, so that the result need not fit into memory."""
    form = form_of(picture)
    height, width = upscaler.size(form.height, form.width)
    form = Form(height, width, form.channels, form.bits)
    return Bands(form, _rows(upscaler, alpha or upscaler, picture, form))


def _rows(upscaler: Upscaler, for_alpha: Upscaler, picture: Picture, form: Form) -> Iterator[np.ndarray]:
    """Yield the bands; what is wrong with an image is raised at the first one."""
    if picture.alpha is None:
        yield from upscaler.bands(picture.pixels)
        return
    visible = fill_hidden(picture.pixels, picture.alpha, upscaler.wraps)
    yield from _beside(upscaler.bands(visible), _alpha_rows(for_alpha, picture.alpha, form))


def _alpha_rows(upscaler: Upscaler, alpha: np.ndarray, form: Form) -> Iterator[np.ndarray]:
    if alpha.min() == alpha.max():  # opaque, mostly
        yield np.broadcast_to(alpha[:1, :1], (form.height, form.width, 1))  # takes no memory
        return
    bounds, top = AlphaBounds(alpha, (form.height, form.width), upscaler.wraps), 0
    for band in upscaler.bands(alpha):
        yield bounds.clip(band, top)
        top += len(band)


def _beside(first: Iterator[np.ndarray], second: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of both next to each other; their bands may be cut at different places."""
    left = right = None
    while True:
        left = next(first, None) if left is None or not len(left) else left
        right = next(second, None) if right is None or not len(right) else right
        if left is None or right is None:
            return
        rows = min(len(left), len(right))
        yield np.concatenate([left[:rows], right[:rows]], axis=2)
        left, right = left[rows:], right[rows:]
