"""Images side by side, with text: grids with titles."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import expand_gray, to_uint8
from srtoolbox.plots.panels import Cell
from srtoolbox.resize import imresize

TITLE, CAPTION = 18, 15  # px: letter sizes
INK, SOFT, PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)
GAP = 10  # px between cells
MAX_SIDE = 16_000
"""A sheet is at most so many px high and wide: viewers and browsers open no larger ones."""


class SheetSizeError(SrtoolboxError):
    """A sheet larger than viewers open."""


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
        SrtoolboxError: no cells.
        SheetSizeError: so many that no viewer would open the sheet.
    """
    if not any(rows):
        raise SrtoolboxError("a sheet needs at least one image")
    columns = max(map(len, rows))
    widest = max(part.image.shape[1] for row in rows for part in row)
    cell = max(1, round(cell / widest)) * widest if widest <= cell else cell
    images = [[fit_width(part.image, cell) for part in row] for row in rows]
    captions = [[wrap(part.text, font(CAPTION), cell) for part in row] for row in rows]
    tops = [wrap(head, font(CAPTION, bold=True), cell) for head in heads]
    width = columns * (cell + GAP) + GAP
    above = wrap(title, font(TITLE, bold=True), width - 2 * GAP) if title else []
    head = len(above) * line_height(TITLE) + (GAP // 2 if above else 0)
    second = max(map(len, tops), default=0) * line_height(CAPTION)
    tallest = [max(image.shape[0] for image in row) for row in images]
    below = [max(map(len, row)) * line_height(CAPTION) + GAP for row in captions]
    size = (width, 2 * GAP + head + second + sum(tallest) + sum(below))
    if max(size) > MAX_SIDE:
        hint = "choose fewer images or a smaller --width"
        raise SheetSizeError(f"a sheet of {size[0]} x {size[1]} px: {hint}")
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    write_lines(draw, above, (GAP, GAP), font(TITLE, bold=True), INK)
    y = GAP + head
    places = range(GAP, width, cell + GAP)
    for x, lines in zip(places, tops, strict=False):
        write_lines(draw, lines, (x, y), font(CAPTION, bold=True), INK)
    y += second
    for row, words, tall, low in zip(images, captions, tallest, below, strict=True):
        for x, image, lines in zip(places, row, words, strict=False):
            sheet.paste(Image.fromarray(image), (x, y))
            write_lines(draw, lines, (x, y + tall + 2), font(CAPTION), SOFT)
        y += tall + low
    return np.array(sheet)


def fit_width(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image (see `Cell`) as RGB uint8 of a width: shrunk, or its pixels as blocks."""
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
    return [np.pad(sheet, ((0, height - sheet.shape[0]), (0, 0), (0, 0)), constant_values=PAPER[0]) for sheet in sheets]


def square_rows(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return cells of one size in rows, for a sheet about 1.6 times as wide as high."""
    columns = min(len(cells), max(1, round(math.sqrt(1.6 * len(cells)))))
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]


# ---- letters


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib carries: the same letters on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts/ttf", name)), size)


def line_height(size: int) -> int:
    """Return the distance between lines of letters of `size`, in px."""
    return round(size * 1.35)


def write_lines(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    place: tuple[int, int],
    face: ImageFont.FreeTypeFont,
    ink: tuple[int, int, int],
) -> None:
    """Write lines below each other, the first with its top left corner at (x, y)."""
    x, y = place
    for line in lines:
        draw.text((x, y), line, font=face, fill=ink)
        y += line_height(int(face.size))


def wrap(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines of at most `width` px, after spaces, _ and /; shorten long words."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in re.split(r"(?<=[ _/])", paragraph):
            if line and face.getlength((line + word).rstrip()) > width:
                lines.append(line)
                line = ""
            line += word
        lines.append(line)
    return [_shorten(line.strip(), face, width) for line in lines]


def _shorten(line: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the line, or as much of it as fits into `width` px, with an ellipsis."""
    if face.getlength(line) <= width:
        return line
    while line and face.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
