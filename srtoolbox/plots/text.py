"""Letters on pictures: one font on every machine, lines broken to a width."""

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
    """DejaVu Sans, which matplotlib carries: the same letters on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts/ttf", name)), size)


def line_height(size: int) -> int:
    """Distance between lines of letters of `size`, in px."""
    return round(size * 1.35)


def write_lines(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], at: tuple[int, int], face: ImageFont.FreeTypeFont, ink: tuple
) -> None:
    """Write lines below each other, the first with its top left corner at (x, y)."""
    for number, line in enumerate(lines):
        draw.text((at[0], at[1] + number * line_height(int(face.size))), line, font=face, fill=ink)


def broken(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """`text` in lines of at most `width` px, broken at line ends, spaces, and after _ and /; a longer word is cut."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in re.split(r"(?<=[ _/])", paragraph):
            if line and face.getlength((line + word).rstrip()) > width:
                lines.append(line)
                line = ""
            line += word
        lines.append(line)
    return [cut(line.strip(), face, width) for line in lines]


def cut(line: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """`line`, or as much of it as fits into `width` px, with an ellipsis."""
    if face.getlength(line) <= width:
        return line
    while line and face.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
