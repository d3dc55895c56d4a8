"""Grids of images with titles: contact sheets, and the frames of animations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.plots import text
from srtoolbox.plots.text import CAPTION, INK, PAPER, SOFT, TITLE, font, line_height
from srtoolbox.resize import imresize

GAP = 10  # px between cells
MAX_SIDE = 16_000
"""A sheet is at most so many px high and wide: viewers and browsers open no larger ones."""


class Cell(NamedTuple):
    """An image of a grid, HWC uint8 or uint16, gray or RGB, and the lines of text below it."""

    image: np.ndarray
    text: str = ""


def grid(rows: Sequence[Sequence[Cell]], *, title: str = "", heads: Sequence[str] = (), cell: int = 200) -> np.ndarray:
    """Lay out images in rows and columns.

    Args:
        rows: the cells; a row may be shorter than others.
        title: a line above all.
        heads: titles of the columns.
        cell: about the width of a column in px: where the widest image is smaller, a multiple of
            its width. All images become that wide, small ones in blocks, large ones shrunk.

    Returns:
        HWC uint8 RGB.

    Raises:
        SrtoolboxError: no cells, or so many that no viewer would open the sheet.
    """
    if not any(rows):
        raise SrtoolboxError("a sheet needs at least one image")
    columns = max(map(len, rows))
    widest = max(part.image.shape[1] for row in rows for part in row)
    cell = max(1, round(cell / widest)) * widest if widest <= cell else cell
    images = [[fit_width(part.image, cell) for part in row] for row in rows]
    captions = [[text.wrap(part.text, font(CAPTION), cell) for part in row] for row in rows]
    tops = [text.wrap(head, font(CAPTION, bold=True), cell) for head in heads]
    width = columns * (cell + GAP) + GAP
    above = text.wrap(title, font(TITLE, bold=True), width - 2 * GAP) if title else []
    head = len(above) * line_height(TITLE) + (GAP // 2 if above else 0)
    second = max(map(len, tops), default=0) * line_height(CAPTION)
    tallest = [max(image.shape[0] for image in row) for row in images]
    below = [max(map(len, row)) * line_height(CAPTION) + GAP for row in captions]
    size = (width, 2 * GAP + head + second + sum(tallest) + sum(below))
    if max(size) > MAX_SIDE:
        hint = "choose fewer images or a smaller --width"
        raise SrtoolboxError(f"a sheet of {size[0]} x {size[1]} px: {hint}")
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    text.write_lines(draw, above, (GAP, GAP), font(TITLE, bold=True), INK)
    y = GAP + head
    places = range(GAP, width, cell + GAP)
    for x, lines in zip(places, tops, strict=False):
        text.write_lines(draw, lines, (x, y), font(CAPTION, bold=True), INK)
    y += second
    for row, words, tall, low in zip(images, captions, tallest, below, strict=True):
        for x, image, lines in zip(places, row, words, strict=False):
            sheet.paste(Image.fromarray(image), (x, y))
            text.write_lines(draw, lines, (x, y + tall + 2), font(CAPTION), SOFT)
        y += tall + low
    return np.array(sheet)


def fit_width(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image, HWC uint8 or uint16, gray or RGB, as RGB uint8 `width` px wide.

    It is shrunk, or its pixels become blocks.
    """
    rgb = expand_gray(to_uint8(image))
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    if rgb.shape[1] > width:
        return imresize(rgb, size=(height, width))
    rows = np.arange(height) * rgb.shape[0] // height
    columns = np.arange(width) * rgb.shape[1] // width
    return rgb[rows[:, None], columns]


def same_size(sheets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Add paper below sheets: in narrow columns a longer number may have taken one more line."""
    height = max(sheet.shape[0] for sheet in sheets)
    borders = [((0, height - sheet.shape[0]), (0, 0), (0, 0)) for sheet in sheets]
    pairs = zip(sheets, borders, strict=True)
    return [np.pad(sheet, border, constant_values=PAPER[0]) for sheet, border in pairs]


def blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """Return an HWC image with each pixel as a block of factor x factor."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def square_rows(cells: Sequence[Cell], *, aspect: float = 1.6) -> list[list[Cell]]:
    """Return cells of one size in rows, for a sheet about `aspect` times as wide as high."""
    columns = min(len(cells), max(1, round(math.sqrt(aspect * len(cells)))))
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]
