"""Pictures with alpha and metadata through an `Upscaler`, whole or in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from srtoolbox.image import AlphaBounds, Form, Picture, fill_hidden, form_of
from srtoolbox.inference.tiling.wrapping import wrapped_axes
from srtoolbox.inference.upscaler import Upscaler

Transparency = Literal["network", "bicubic"]


class Bands(NamedTuple):
    """An upscaled picture that is still to be made."""

    form: Form
    """Its shape, alpha included."""
    rows: Iterator[np.ndarray]
    """Bands of rows (h, W, C), top to bottom; the network runs as they are asked for."""


def upscaled_form(upscaler: Upscaler, picture: Picture) -> Form:
    """The shape `upscale_picture` will give."""
    form = form_of(picture)
    height, width = upscaler.size(form.height, form.width)
    return Form(height, width, form.channels, form.bits)


def upscale_picture(upscaler: Upscaler, picture: Picture, *, alpha: Upscaler | None = None) -> Picture:
    """A picture with its alpha and metadata, upscaled.

    Colours of fully transparent pixels count as those of the nearest visible one, so nothing hidden shows at edges.

    Args:
        upscaler: for the colours.
        picture: what to upscale.
        alpha: for the transparency, as a gray picture; None: the same as for the colours.
    """
    form, rows = picture_bands(upscaler, picture, alpha=alpha)
    bands = list(rows)
    whole = bands[0] if len(bands) == 1 else np.concatenate(bands)
    if not form.has_alpha:
        return Picture(whole, None, picture.metadata)
    return Picture(np.ascontiguousarray(whole[..., :-1]), np.ascontiguousarray(whole[..., -1:]), picture.metadata)


def picture_bands(upscaler: Upscaler, picture: Picture, *, alpha: Upscaler | None = None) -> Bands:
    """As `upscale_picture`, in bands, so that the result need not fit into memory."""
    form = upscaled_form(upscaler, picture)
    if picture.alpha is None:
        return Bands(form, _rows(upscaler, picture.pixels))
    colours = _rows(upscaler, fill_hidden(picture.pixels, picture.alpha, wrapped_axes(upscaler.wrap)))
    return Bands(form, _beside(colours, _alpha_rows(alpha or upscaler, picture.alpha, form)))


def _rows(upscaler: Upscaler, pixels: np.ndarray) -> Iterator[np.ndarray]:
    """The bands, from the first request on: what is wrong with a picture is told then."""
    yield from upscaler.bands(pixels)


def _alpha_rows(upscaler: Upscaler, alpha: np.ndarray, form: Form) -> Iterator[np.ndarray]:
    if alpha.min() == alpha.max():  # opaque, mostly
        yield np.broadcast_to(alpha[:1, :1], (form.height, form.width, 1))  # takes no memory
        return
    bounds, top = AlphaBounds(alpha, (form.height, form.width), wrapped_axes(upscaler.wrap)), 0
    for band in upscaler.bands(alpha):
        yield bounds.clip(band, top)
        top += len(band)


def _beside(first: Iterator[np.ndarray], second: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The rows of both next to each other; their bands may be cut at different places."""
    left = right = None
    while True:
        left = next(first, None) if left is None or not len(left) else left
        right = next(second, None) if right is None or not len(right) else right
        if left is None or right is None:
            return
        rows = min(len(left), len(right))
        yield np.concatenate([left[:rows], right[:rows]], axis=2)
        left, right = left[rows:], right[rows:]
