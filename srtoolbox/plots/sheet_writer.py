"""Comparison sheets of a whole test: what every network made of each picture, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from srtoolbox.image import to_image, to_uint8, write_image
from srtoolbox.io.file_names import Claims
from srtoolbox.plots.sheet import comparison_sheet

Column = tuple[str, np.ndarray, str]


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
        self, name: str, title: str, lq: np.ndarray, gt: np.ndarray | None, sr: Tensor, scores: Mapping[str, float]
    ) -> None:
        """Take one network's version of one picture.

        Args:
            name: '<set>/<picture>'.
            title: what to call the network.
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
            write_image(self._claims.claim(self.folder / f"sheet_{name.replace('/', '_')}.png", name), sheet)
        self.columns, self.truths = {}, {}


def size_of(image: np.ndarray) -> str:
    """'150 x 100' of an HWC picture 150 px wide."""
    return f"{image.shape[1]} x {image.shape[0]}"


def caption(scores: Mapping[str, float]) -> str:
    """'PSNR 33.45  SSIM 0.8742' for people; the first two metrics."""
    shown = [(name, value) for name, value in scores.items() if name != "seconds"][:2]
    return "  ".join(f"{name.upper()} {value:.{2 if value > 2 else 4}f}" for name, value in shown)
