"""Comparison sheets: the image with marked regions, and these enlarged, a column per version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import expand_gray, to_image, to_uint8, write_image
from srtoolbox.io.files import Claims
from srtoolbox.plots.grid import CAPTION, INK, PAPER, SOFT, TITLE, font, line_height, wrap, write_lines
from srtoolbox.plots.regions import Region, choose_regions
from srtoolbox.resize import imresize

Column = tuple[str, np.ndarray, str]
"""Title, HWC uint8 with C = 1 or 3, caption."""
_CELL = 264  # px: width of an enlarged region, about
_GAP = 12
_FRAME = 3
_MARKS = ((220, 50, 47), (38, 110, 210), (20, 150, 90), (200, 120, 0), (140, 70, 190), (0, 150, 170))


def comparison_sheet(
    columns: Sequence[Column], regions: Sequence[Region] | None = None, *, num_regions: int = 2
) -> np.ndarray:
    """Compare versions of one image side by side.

    Args:
        columns: from left to right; the last is the truth, or the best. Smaller images (the input)
            are shown with every pixel enlarged to a block.
        regions: what to enlarge; None picks `num_regions` places where the versions differ most,
            or, where they do not differ, the most detailed ones.

    Returns:
        HWC uint8 RGB.

    Raises:
        SrtoolboxError: no columns, another kind of array, or a region outside the image.
    """
    if not columns:
        raise SrtoolboxError("a comparison sheet needs at least one image")
    for title, image, _ in columns:
        is_image = image.ndim == 3 and image.shape[2] in (1, 3) and 0 not in image.shape
        if not is_image or image.dtype != np.uint8:
            kind = f"{image.dtype} {image.shape}"
            raise SrtoolboxError(f"{title}: a sheet takes HWC uint8 images, got {kind}")
    columns = [(title, expand_gray(image), caption) for title, image, caption in columns]
    whole = max((image for _, image, _ in reversed(columns)), key=lambda image: image.size)
    if regions is None:
        regions = choose_regions([image for _, image, _ in columns], num_regions)
    height, width = whole.shape[:2]
    regions = [Region(*region) for region in regions]
    for region in regions:
        is_inside = region.top + region.height <= height and region.left + region.width <= width
        if min(region) < 0 or 0 in region[2:] or not is_inside:
            raise SrtoolboxError(f"{region} lies outside the image of {whole.shape[:2]} pixels")
    return _compose(columns, whole, regions)


# ---- drawing


def _compose(columns: Sequence[Column], whole: np.ndarray, regions: Sequence[Region]) -> np.ndarray:
    titles = [wrap(title, font(TITLE, bold=True), _CELL) for title, _, _ in columns]
    captions = [wrap(caption, font(CAPTION), _CELL) for _, _, caption in columns]
    head = max(map(len, titles)) * line_height(TITLE) + _GAP // 2
    foot = max(map(len, captions)) * line_height(CAPTION) + _GAP // 2
    rows = [[_enlarge(image, region, whole) for _, image, _ in columns] for region in regions]
    grid_height = sum(row[0].shape[0] + _GAP for row in rows)
    height = max(grid_height - _GAP, _CELL)  # of the whole image, shrunk, at most 1.6 times as wide
    factor = min(1.0, height / whole.shape[0], 1.6 * height / whole.shape[1])
    overview = imresize(whole, factor) if factor < 1 else whole
    body = max(grid_height, overview.shape[0] + _GAP)
    left = _GAP + overview.shape[1] + 2 * _GAP
    size = (left + len(columns) * (_CELL + _GAP), _GAP + head + body + foot + _GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    sheet.paste(Image.fromarray(overview), (_GAP, _GAP + head))
    for number, region in enumerate(regions):
        x, y = _GAP + round(region.left * factor), _GAP + head + round(region.top * factor)
        right, bottom = x + round(region.width * factor), y + round(region.height * factor)
        edge = (x, y, right - 1, bottom - 1)
        draw.rectangle(edge, outline=_MARKS[number % len(_MARKS)], width=_FRAME)
    for column, (title, caption) in enumerate(zip(titles, captions, strict=True)):
        x, y = left + column * (_CELL + _GAP), _GAP
        write_lines(draw, title, (x, y), font(TITLE, bold=True), INK)
        y += head
        for number, row in enumerate(rows):
            sheet.paste(Image.fromarray(row[column]), (x, y))
            edge = (x, y, x + _CELL - 1, y + row[column].shape[0] - 1)
            draw.rectangle(edge, outline=_MARKS[number % len(_MARKS)], width=_FRAME)
            y += row[column].shape[0] + _GAP
        write_lines(draw, caption, (x, y), font(CAPTION), SOFT)
    return np.array(sheet)


def _enlarge(image: np.ndarray, region: Region, whole: np.ndarray) -> np.ndarray:
    """Return the region of an image of any size, each of its pixels a block, `_CELL` px wide."""
    height = max(1, round(_CELL * region.height / region.width))
    rows = region.top + (np.arange(height) + 0.5) / height * region.height
    columns = region.left + (np.arange(_CELL) + 0.5) / _CELL * region.width
    rows = (rows * image.shape[0] / whole.shape[0]).astype(int)
    columns = (columns * image.shape[1] / whole.shape[1]).astype(int)
    return image[rows[:, None], columns[None, :]]


# ---- sheets of a whole test


class SheetWriter:
    """Collects the networks' versions of a few images and writes `sheet_<set>_<image>.png` of each.

    Args:
        folder: where the sheets go.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.columns: dict[str, list[Column]] = {}
        self.truths: dict[str, Column] = {}
        self._claims = Claims()

    def add(
        self,
        name: str,
        title: str,
        lq: np.ndarray,
        gt: np.ndarray | None,
        sr: Tensor,
        scores: Mapping[str, float],
    ) -> None:
        """Take one network's version of one image.

        Args:
            name: '<set>/<image>'.
            title: the network's name.
            lq, gt: HWC uint8 or uint16; gt is None where there is no truth.
            sr: (1, C, H, W) in [0, 1].
            scores: the first two are shown.
        """
        columns = self.columns.setdefault(name, [("input", to_uint8(lq), size_of(lq))])
        columns.append((title, to_image(sr), caption(scores)))
        if gt is not None:
            self.truths[name] = ("truth", to_uint8(gt), size_of(gt))

    def write(self) -> None:
        """Write the sheets of what was collected, and let go of it."""
        for name, columns in self.columns.items():
            truth = [self.truths[name]] if name in self.truths else []
            sheet = comparison_sheet([*columns, *truth])
            path = self.folder / f"sheet_{name.replace('/', '_')}.png"
            write_image(self._claims.claim(path, name), sheet)
        self.columns, self.truths = {}, {}


def size_of(image: np.ndarray) -> str:
    """Return '150 x 100' for an HWC image 150 px wide."""
    return f"{image.shape[1]} x {image.shape[0]}"


def caption(scores: Mapping[str, float]) -> str:
    """Return the first two metrics as text: 'PSNR 33.45  SSIM 0.8742'."""
    first = [(name, value) for name, value in scores.items() if name != "seconds"][:2]
    texts = [f"{value:.2f}" if value > 2 else f"{value:.4f}" for _, value in first]
    return "  ".join(f"{name.upper()} {text}" for (name, _), text in zip(first, texts, strict=True))
