"""Grids of pictures with titles: contact sheets, and the frames of animations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.plots.text import CAPTION, INK, PAPER, SOFT, TITLE, broken, font, line_height, write_lines
from srtoolbox.resize import imresize

GAP = 10  # px between cells
MAX_SIDE = 16_000
"""A sheet is at most so many px high and wide: viewers and browsers open no larger ones."""


class Cell(NamedTuple):
    """One picture of a grid: HWC uint8 or uint16, gray or RGB, with a text below it (line ends are kept)."""

    image: np.ndarray
    text: str = ""


def grid(rows: Sequence[Sequence[Cell]], *, title: str = "", heads: Sequence[str] = (), cell: int = 200) -> np.ndarray:
    """Pictures in rows and columns.

    Args:
        rows: the cells; a row may be shorter than others.
        title: a line above all.
        heads: titles of the columns.
        cell: about the width of a column in px: where the widest picture is smaller, a multiple of
            its width. All pictures are shown that wide, the pixels of small ones as blocks, large
            ones shrunk.

    Returns:
        HWC uint8 RGB.

    Raises:
        SrtoolboxError: no cells, or so many that no viewer would open the sheet.
    """
    if not any(rows):
        raise SrtoolboxError("a sheet needs at least one picture")
    columns = max(map(len, rows))
    widest = max(part.image.shape[1] for row in rows for part in row)
    cell = max(1, round(cell / widest)) * widest if widest <= cell else cell
    shown = [[fitted(part.image, cell) for part in row] for row in rows]
    texts = [[broken(part.text, font(CAPTION), cell) for part in row] for row in rows]
    tops = [broken(head, font(CAPTION, bold=True), cell) for head in heads]
    above = broken(title, font(TITLE, bold=True), columns * (cell + GAP) - GAP) if title else []
    head = len(above) * line_height(TITLE) + (GAP // 2 if above else 0)
    second = max(map(len, tops), default=0) * line_height(CAPTION)
    heights = [
        max(image.shape[0] for image in images) + max(map(len, words)) * line_height(CAPTION) + GAP
        for images, words in zip(shown, texts, strict=True)
    ]
    size = (columns * (cell + GAP) + GAP, 2 * GAP + head + second + sum(heights))
    if max(size) > MAX_SIDE:
        raise SrtoolboxError(f"a sheet of {size[0]} x {size[1]} px: choose fewer pictures or a smaller --width")
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    write_lines(draw, above, (GAP, GAP), font(TITLE, bold=True), INK)
    y = GAP + head
    for column, words in enumerate(tops):
        write_lines(draw, words, (GAP + column * (cell + GAP), y), font(CAPTION, bold=True), INK)
    y += second
    for images, words, height in zip(shown, texts, heights, strict=True):
        tallest = max(image.shape[0] for image in images)
        for column, (image, lines) in enumerate(zip(images, words, strict=True)):
            x = GAP + column * (cell + GAP)
            sheet.paste(Image.fromarray(image), (x, y))
            write_lines(draw, lines, (x, y + tallest + 2), font(CAPTION), SOFT)
        y += height
    return np.array(sheet)


def fitted(image: np.ndarray, width: int) -> np.ndarray:
    """A picture, HWC uint8 or uint16, gray or RGB, as RGB uint8 `width` px wide: shrunk, or its pixels as blocks."""
    rgb = expand_gray(to_uint8(image))
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    if rgb.shape[1] > width:
        return imresize(rgb, size=(height, width))
    rows, columns = (
        np.arange(length) * own // length for length, own in ((height, rgb.shape[0]), (width, rgb.shape[1]))
    )
    return rgb[rows[:, None], columns]


def same_size(sheets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Sheets with paper added below: where columns are narrow, a longer number may have taken one more line."""
    height = max(sheet.shape[0] for sheet in sheets)
    return [np.pad(s, ((0, height - s.shape[0]), (0, 0), (0, 0)), constant_values=PAPER[0]) for s in sheets]


def blocks(image: np.ndarray, factor: int) -> np.ndarray:
    """Each pixel of an HWC picture as a block of factor x factor."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def square_rows(cells: Sequence[Cell], *, aspect: float = 1.6) -> list[list[Cell]]:
    """Cells in rows so that the sheet is about `aspect` times as wide as high, for cells of one size."""
    columns = min(len(cells), max(1, round(math.sqrt(aspect * len(cells)))))
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]
