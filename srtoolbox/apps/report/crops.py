"""Crops of a report: cut from the images it shows, with error maps and PSNR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from srtoolbox.apps.report.contents import INPUT, TRUTH, CropEntry, ImageEntry, PageSet
from srtoolbox.apps.report.difference import LEVELS
from srtoolbox.apps.report.facts import RunFacts
from srtoolbox.apps.report.selection import Crop, Finder
from srtoolbox.image import expand_gray, read_image, write_image
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.plots.error_map import error_map
from srtoolbox.plots.sheet import Region


def crop_metric(facts: RunFacts) -> PSNR:
    """The PSNR that stands under crops: no border; luma or RGB as in the first PSNR of the test."""
    y_channel = next((metric.y_channel for metric in facts.metrics.values() if metric.kind == "PSNR"), True)
    return PSNR(crop_border=0, y_channel=y_channel)


class CropMaker:
    """Finds and writes the crops of one set.

    Errors are those of the last network to the truth, or, where there is none, its differences from the baseline.

    Args:
        folder: the report's; images are read from it.
        page_set: the set, its images chosen.
    """

    def __init__(self, folder: Path, page_set: PageSet, facts: RunFacts) -> None:
        self.folder, self.page_set, self.facts = folder, page_set, facts
        networks = [source for source in page_set.sources if source not in (INPUT, TRUTH)]
        self.result, self.reference = networks[-1], TRUTH if TRUTH in page_set.sources else networks[0]
        self.psnr = crop_metric(facts)

    def make(self, subfolder: str) -> dict[str, list[CropEntry]]:
        """Write the crops to `crops/<subfolder>`; returns them by kind, 'worst' and 'best' (without truth: 'worst')."""
        if self.result == self.reference:
            return {}
        border = max((metric.crop_border for metric in self.facts.metrics.values()), default=0)
        finder = Finder(self.page_set.scale, border, len(self.page_set.images))
        for entry in self.page_set.images:
            finder.look_at(entry.name, self._read(entry, self.result), self._read(entry, self.reference))
        numbers = {entry.name: number for number, entry in enumerate(self.page_set.images)}
        chosen = finder.chosen()
        if self.reference != TRUTH:
            del chosen["best"]
        return {
            kind: [
                self._write(crop, numbers[crop.image], f"crops/{subfolder}/{kind}_{number}")
                for number, crop in enumerate(crops, 1)
            ]
            for kind, crops in chosen.items()
        }

    def _write(self, crop: Crop, number: int, place: str) -> CropEntry:
        entry = self.page_set.images[number]
        reference = cut(self._read(entry, self.reference), crop.region)
        cells: list[tuple[str, str, str | None, float | None]] = []
        for position, source in enumerate(self.page_set.sources):
            part = self._part(entry, source, crop.region)
            file = f"{place}/{position}.png"
            write_image(self.folder / file, part)
            if source in (INPUT, self.reference):
                cells.append((source, file, None, None))
                continue
            error_file = f"{place}/{position}_error.png"
            write_image(self.folder / error_file, error_map(part, reference, peak=LEVELS))
            psnr = self._score(part, reference) if self.reference == TRUTH else None
            cells.append((source, file, error_file, psnr))
        return CropEntry(number, crop.region, cells)

    def _part(self, entry: ImageEntry, source: str, region: Region) -> np.ndarray:
        """A region of one version; of the input the pixels it was made from."""
        scale = self.page_set.scale if source == INPUT else 1
        return cut(self._read(entry, source), Region(*(length // scale for length in region)))

    def _read(self, entry: ImageEntry, source: str) -> np.ndarray:
        return expand_gray(read_image(self.folder / entry.files[source]))

    def _score(self, part: np.ndarray, reference: np.ndarray) -> float:
        batches = (torch.from_numpy(np.ascontiguousarray(each.transpose(2, 0, 1)))[None] for each in (part, reference))
        return float(self.psnr(*batches))


def cut(image: np.ndarray, region: Region) -> np.ndarray:
    """The pixels of a region."""
    return image[region.top : region.top + region.height, region.left : region.left + region.width]
