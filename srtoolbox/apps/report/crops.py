"""Images and crops that a report shows: those with the largest and the smallest errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from srtoolbox.apps.report.contents import INPUT, TRUTH, CropEntry, ImageEntry, PageSet, RunFacts
from srtoolbox.image import expand_gray, read_image, write_image
from srtoolbox.metrics.psnr import PSNR
from srtoolbox.plots.panels import PEAK, error_map
from srtoolbox.plots.regions import Region, window_means

LEVELS = 2 * PEAK
"""The difference, in levels of 8 bit, from which on the crops' maps have the last colour."""
CROPS = 3
"""Worst and best crops of each set."""


class Crop(NamedTuple):
    """A part of an image, and its mean squared error over R, G and B in squared levels."""

    image: str
    region: Region
    error: float


def choose_images(
    scores: Mapping[str, Mapping[str, float]], metric: str | None, higher_is_better: bool | None, count: int
) -> list[str]:
    """Return at most `count` images in their order: half the worst by a metric, half the best.

    Args:
        scores: of each image.
        metric: by which; None where there are no scores: then the first ones.
        higher_is_better: None: the lowest and the highest.
    """
    names = list(scores)
    if len(names) <= count:
        return names
    if metric is None:
        return names[:count]
    sign = -1 if higher_is_better is False else 1

    def rank(name: str) -> tuple[bool, float]:
        value = scores[name][metric]
        return (not math.isnan(value), 0.0 if math.isnan(value) else sign * value)

    ranked = sorted(names, key=rank)
    worst = -(-count // 2)
    kept = {*ranked[:worst], *ranked[len(ranked) - (count - worst) :]}
    return [name for name in names if name in kept]


class Finder:
    """Collects the crops of one set, image by image.

    Args:
        scale: of the set; crops begin and end at whole LQ pixels.
        border: px of each side that metrics leave out, and so crops.
        images: how many there will be; of few images each may give several crops.
    """

    def __init__(self, scale: int, border: int, images: int) -> None:
        self.scale, self.border = scale, -(-border // scale)
        self.of_each = 1 if images >= CROPS else -(-CROPS // max(images, 1))
        self.crops: dict[str, list[Crop]] = {"worst": [], "best": []}

    def add(self, name: str, result: np.ndarray, truth: np.ndarray) -> None:
        """Find the parts of one image where `result` is farthest from the truth, and nearest.

        The nearest are looked for in the most detailed quarter of the image: a clear sky is no
        merit. A crop's side is a quarter of the image's shorter one, 24 to 72 px.

        Args:
            result, truth: HWC uint8 of one size, a multiple of the scale.
        """
        error = np.mean(np.square(result.astype(np.float32) - truth), axis=2)
        shorter = min(truth.shape[:2]) // self.scale
        cut = self.border if shorter > 4 * self.border else 0
        inside = shorter - 2 * cut  # in LQ pixels, as `side` is
        side = min(max(inside // 4, -(-24 // self.scale)), max(72 // self.scale, 1), inside)
        errors = self._windows(error, side, cut)
        brightness = truth.astype(np.float32).mean(axis=2)
        gradients = np.gradient(brightness) if min(brightness.shape) > 1 else [np.zeros_like(brightness)]
        details = self._windows(sum(np.square(gradient) for gradient in gradients), side, cut)
        plain = details < np.quantile(details, 0.75)
        for kind, cost in (("worst", -errors), ("best", np.where(plain, np.inf, errors))):
            for row, column in _separate_minima(cost, side, self.of_each):
                top, left = ((start + cut) * self.scale for start in (row, column))
                region = Region(top, left, side * self.scale, side * self.scale)
                self.crops[kind].append(Crop(name, region, float(errors[row, column])))

    def extremes(self) -> dict[str, list[Crop]]:
        """Return `{"worst": crops, "best": crops}`, the most extreme first."""
        return {
            kind: sorted(crops, key=lambda crop: crop.error, reverse=kind == "worst")[:CROPS]
            for kind, crops in self.crops.items()
        }

    def _windows(self, plane: np.ndarray, side: int, cut: int) -> np.ndarray:
        """Return means over all windows of `side` LQ pixels, but for `cut` at each edge."""
        scale = self.scale
        height, width = (length // scale for length in plane.shape)
        blocks = plane[: height * scale, : width * scale].reshape(height, scale, width, scale).mean(axis=(1, 3))
        return window_means(blocks[cut : height - cut, cut : width - cut], side)


def _separate_minima(cost: np.ndarray, side: int, count: int) -> list[tuple[int, int]]:
    """Return the places of the smallest values, `side` apart from each other."""
    cost = cost.copy()
    places: list[tuple[int, int]] = []
    while len(places) < count and np.isfinite(cost).any():
        row, column = (int(place) for place in np.unravel_index(np.argmin(cost), cost.shape))
        places.append((row, column))
        cost[max(0, row - side + 1) : row + side, max(0, column - side + 1) : column + side] = np.inf
    return places


# ---- the files of crops


def crop_metric(facts: RunFacts) -> PSNR:
    """Return the PSNR under crops: no border; luma or RGB as in the first PSNR of the test."""
    y_channel = next((metric.y_channel for metric in facts.metrics.values() if metric.kind == "PSNR"), True)
    return PSNR(crop_border=0, y_channel=y_channel)


class CropMaker:
    """Finds and writes the crops of one set.

    Errors are those of the last network to the truth, or, where there is none, its differences from
    the baseline.

    Args:
        folder: the report's; images are read from it.
        page_set: the set, its images chosen.
    """

    def __init__(self, folder: Path, page_set: PageSet, facts: RunFacts) -> None:
        self.folder, self.page_set, self.facts = folder, page_set, facts
        networks = [source for source in page_set.sources if source not in (INPUT, TRUTH)]
        self.result, self.reference = networks[-1], TRUTH if page_set.has_truth else networks[0]
        self.psnr = crop_metric(facts)

    def make(self, subfolder: str) -> dict[str, list[CropEntry]]:
        """Write the crops to `crops/<subfolder>`; return the worst and, with truth, the best."""
        if self.result == self.reference:
            return {}
        border = max((metric.crop_border for metric in self.facts.metrics.values()), default=0)
        finder = Finder(self.page_set.scale, border, len(self.page_set.images))
        for entry in self.page_set.images:
            finder.add(entry.name, self._read(entry, self.result), self._read(entry, self.reference))
        numbers = {entry.name: number for number, entry in enumerate(self.page_set.images)}
        return {
            kind: [
                self._write(crop, numbers[crop.image], f"crops/{subfolder}/{kind}_{number}")
                for number, crop in enumerate(crops, 1)
            ]
            for kind, crops in finder.extremes().items()
            if kind == "worst" or self.reference == TRUTH
        }

    def _write(self, crop: Crop, number: int, place: str) -> CropEntry:
        entry = self.page_set.images[number]
        reference = cut(self._read(entry, self.reference), crop.region)
        cells: list[tuple[str, str, str | None, float | None]] = []
        for position, source in enumerate(self.page_set.sources):
            scale = self.page_set.scale if source == INPUT else 1
            part = cut(self._read(entry, source), Region(*(length // scale for length in crop.region)))
            file = f"{place}/{position}.png"
            write_image(self.folder / file, part)
            if source in (INPUT, self.reference):
                cells.append((source, file, None, None))
                continue
            error_file = f"{place}/{position}_error.png"
            write_image(self.folder / error_file, error_map(part, reference, peak=LEVELS))
            psnr = None
            if self.reference == TRUTH:
                images = [np.ascontiguousarray(each.transpose(2, 0, 1)) for each in (part, reference)]
                psnr = float(self.psnr(*(torch.from_numpy(each)[None] for each in images)))
            cells.append((source, file, error_file, psnr))
        return CropEntry(number, crop.region, cells)

    def _read(self, entry: ImageEntry, source: str) -> np.ndarray:
        return expand_gray(read_image(self.folder / entry.files[source]))


def cut(image: np.ndarray, region: Region) -> np.ndarray:
    """Return the pixels of a region."""
    return image[region.top : region.top + region.height, region.left : region.left + region.width]
