"""Images with alpha and metadata through an `Upscaler`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from srtoolbox.image import Picture
from srtoolbox.image.pixels import AlphaBounds, fill_hidden
from srtoolbox.image.saving import form_of
from srtoolbox.image.streaming import Form
from srtoolbox.inference.keep_colour import ColourWatch
from srtoolbox.inference.upscaler import Upscaler


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


def picture_bands(
    upscaler: Upscaler, picture: Picture, *, alpha: Upscaler | None = None, watch: ColourWatch | None = None
) -> tuple[Form, Iterator[np.ndarray]]:
    """Upscale as `upscale_picture` does, in bands, so that the result need not fit into memory.

    `watch` measures how far the colours shift.

    Returns:
        The result's form, alpha included, and bands of rows (h, W, C), top to bottom; when the
        network runs is told by `Upscaler.bands`.
    """
    form = form_of_result(upscaler, picture)
    return form, _rows(upscaler, alpha or upscaler, picture, form, watch)


def form_of_result(upscaler: Upscaler, picture: Picture) -> Form:
    """Return the form, alpha included, that an image will have when it is upscaled."""
    form = form_of(picture)
    return Form(*upscaler.size(form.height, form.width), form.channels, form.bits)


def _rows(
    upscaler: Upscaler, alpha: Upscaler, picture: Picture, form: Form, watch: ColourWatch | None
) -> Iterator[np.ndarray]:
    """Return the bands."""
    visible = picture.pixels
    if picture.alpha is not None:
        visible = fill_hidden(visible, picture.alpha, upscaler.wraps)
    colours = upscaler.bands(visible)
    if watch is not None:
        colours = watch.watched(colours, upscaler.cells(visible))
    return colours if picture.alpha is None else _beside(colours, _alpha_rows(alpha, picture.alpha, form))


def _alpha_rows(upscaler: Upscaler, alpha: np.ndarray, form: Form) -> Iterator[np.ndarray]:
    if alpha.min() == alpha.max():  # opaque, mostly
        # takes no memory
        return iter([np.broadcast_to(alpha[:1, :1], (form.height, form.width, 1))])
    return _clipped(
        upscaler.bands(alpha, keep_colour=False), AlphaBounds(alpha, (form.height, form.width), upscaler.wraps)
    )


def _clipped(bands: Iterator[np.ndarray], bounds: AlphaBounds) -> Iterator[np.ndarray]:
    top = 0
    for band in bands:
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
