"""Letters on images: one font on every machine, lines broken to a width."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import ImageDraw, ImageFont

TITLE, CAPTION = 18, 15  # px: letter sizes
INK, SOFT, PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)


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
    """Break a text into lines of at most `width` px, at line ends, spaces, and after _ and /.

    A longer word is shortened.
    """
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in re.split(r"(?<=[ _/])", paragraph):
            if line and face.getlength((line + word).rstrip()) > width:
                lines.append(line)
                line = ""
            line += word
        lines.append(line)
    return [shorten(line.strip(), face, width) for line in lines]


def shorten(line: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """Return the line, or as much of it as fits into `width` px, with an ellipsis."""
    if face.getlength(line) <= width:
        return line
    while line and face.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
