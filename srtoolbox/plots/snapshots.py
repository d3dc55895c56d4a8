"""Patches of true images, and snapshots of them in the work dir, to look at over a training.

A snapshot is `snapshots/<kind>/<name>/iter_000250.png` or `.npz`; beside it lie files that say what
it is of (`input.png`, `truth.png`, `about.json`).
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srtoolbox.errors import DataError, SrtoolboxError, WriteError
from srtoolbox.image import read_image, to_uint8
from srtoolbox.io import files
from srtoolbox.plots.regions import choose_regions
from srtoolbox.resize import imresize
from srtoolbox.text import did_you_mean, reason_of

PATCHES, FEATURES = "snapshots/patches", "snapshots/features"
_NAME = re.compile(r"iter_(\d+)\.(png|npz)")
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of an image."""
_MARGIN = 48  # LQ pixels around a patch at most; half of it where a network sees unknown far

# ---- patches


class Patch(NamedTuple):
    """A place in a true image and its reduction.

    `lq` has a margin around, `truth` none (both HWC uint8); in `lq` the patch begins at `offset`
    (row, column).
    """

    lq: np.ndarray
    truth: np.ndarray
    box: Box
    scale: int
    offset: tuple[int, int]

    def cut(self, result: np.ndarray) -> np.ndarray:
        """Return the patch in an image of `scale` times the size of `lq`."""
        top, left = (place * self.scale for place in self.offset)
        return result[top : top + self.box[3], left : left + self.box[2]]

    def cut_maps(self, maps: np.ndarray) -> np.ndarray:
        """Return the patch in feature maps (C, h, w) of `lq`; all of maps of another size."""
        factor = maps.shape[1] // self.lq.shape[0]
        if maps.shape[1:] != tuple(factor * length for length in self.lq.shape[:2]):
            return maps
        top, left = (place * factor for place in self.offset)
        down, across = (length // self.scale * factor for length in (self.box[3], self.box[2]))
        return maps[:, top : top + down, left : left + across]

    @property
    def input(self) -> np.ndarray:
        """Return the patch in `lq`, HWC uint8."""
        top, left = self.offset
        across, down = (length // self.scale for length in self.box[2:])
        return self.lq[top : top + down, left : left + across]

    @property
    def bicubic(self) -> np.ndarray:
        """Return the patch as bicubic interpolation restores it, HWC uint8."""
        return self.cut(imresize(self.lq, self.scale))


def load_patch(
    path: str | os.PathLike,
    box: Sequence[int] | None,
    scale: int,
    *,
    receptive_field: int | None = None,
    middle: int | None = None,
    degrade: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Patch:
    """Read a true image and reduce it by MATLAB's bicubic, as `GTOnlyDataset` does.

    Args:
        path: the image's file.
        box: x, y, width, height in its pixels, multiples of `scale`; None: the most detailed place.
        scale: of the networks.
        receptive_field: of the networks, in LQ pixels: so much is read around.
        middle: instead of the most detailed place, the middle of the image, at most so many
            pixels wide and high.
        degrade: what makes the reduced image, HWC uint8, worse.

    Raises:
        ImageError: the image cannot be read.
        SrtoolboxError: the box lies outside the image, or is no multiple of `scale`; names the
            image.
    """
    image = read_truth(path, scale)
    height, width = image.shape[:2]
    if box is None:
        if middle is None:
            top, left, down, across = choose_regions([image], 1)[0]
        else:
            down, across = min(height, middle), min(width, middle)
            top, left = (height - down) // 2, (width - across) // 2
        box = snap((left, top, across, down), scale)
    fault = box_fault(box, scale)
    x, y, across, down = box if fault is None else (0, 0, 0, 0)
    if fault is None and (x + across > width or y + down > height):
        fault = f"box {list(box)} lies outside the image of {width} x {height} px"
    if fault is not None:
        raise SrtoolboxError(f"{os.fspath(path)}: {fault}")
    lq = imresize(image, 1 / scale)
    lq = lq if degrade is None else degrade(lq)
    margin = _MARGIN // 2 if receptive_field is None else min(receptive_field, _MARGIN)
    top, left = max(0, y // scale - margin), max(0, x // scale - margin)
    window = lq[top : (y + down) // scale + margin, left : (x + across) // scale + margin]
    offset = (y // scale - top, x // scale - left)
    truth = image[y : y + down, x : x + across]
    return Patch(np.ascontiguousarray(window), truth, (x, y, across, down), scale, offset)


def read_truth(path: str | os.PathLike, scale: int) -> np.ndarray:
    """Read a true image, HWC uint8, cut at the bottom and right to multiples of the scale.

    Raises:
        SrtoolboxError: it cannot be read, or nothing is left of it.
    """
    image = to_uint8(read_image(path))
    height, width = (length // scale * scale for length in image.shape[:2])
    if not (height and width):
        raise SrtoolboxError(f"{os.fspath(path)}: smaller than one pixel after reduction by {scale}")
    return image[:height, :width]


def snap(box: Sequence[int], multiple: int) -> Box:
    """Return the box of multiples next to one, at its left and top, not empty."""
    x, y, width, height = (number // multiple * multiple for number in box)
    return x, y, max(width, multiple), max(height, multiple)


def box_fault(box: object, scale: int | None = None) -> str | None:
    """Return the fault of a box as a config gives it, or None."""
    numbers = list(box) if isinstance(box, Sequence) else []
    is_whole = len(numbers) == 4 and all(type(number) is int for number in numbers)
    if not is_whole or min(numbers) < 0 or 0 in numbers[2:]:
        return f"box is [x, y, width, height] in whole pixels of the true image, got {box!r}"
    if scale and any(number % scale for number in numbers):
        near = [*snap(numbers, scale)]
        return f"box {numbers}: all four are multiples of the scale {scale}, such as {near}"
    return None


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """Return PSNR in dB of HWC uint8 images over all channels; a patch has no border to crop."""
    error = np.mean((result.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def unique_stems(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Return a name for each image: its stem, with -2, -3 ... where several have one."""
    names: list[str] = []
    for path in paths:
        stem, number = Path(path).stem, 1
        while (name := stem if number == 1 else f"{stem}-{number}") in names:
            number += 1
        names.append(name)
    return names


# ---- snapshots


def snapshot_path(folder: Path, iteration: int, suffix: str) -> Path:
    """Return `folder/iter_000250.png`."""
    return folder / f"iter_{iteration:06d}{suffix}"


def list_snapshots(folder: Path) -> dict[int, Path]:
    """Return the snapshots in a folder by iteration, ascending, none that is half-written."""
    names = os.listdir(folder) if folder.is_dir() else []
    matches = filter(None, map(_NAME.fullmatch, names))
    return {int(match[1]): folder / match[0] for match in sorted(matches, key=lambda m: int(m[1]))}


def begin(folder: Path, about: Mapping[str, bytes], *, after: int) -> int:
    """Make a folder ready for a run that begins after iteration `after`.

    Snapshots of later iterations, which the run will make again, are deleted; all are where those
    that lie there are of another place or image.

    Returns:
        How many were deleted because they are of something else.

    Raises:
        WriteError: the folder cannot be made, read or written.
    """
    try:
        files.prepare_folder(folder)
        earlier = list_snapshots(folder)
        present = {name: (folder / name).read_bytes() for name in about if (folder / name).is_file()}
        differs = bool(earlier) and present != dict(about)
        for iteration, path in earlier.items():
            if differs or iteration > after:
                path.unlink()
        for name, data in about.items():
            if present.get(name) != data:
                files.write_bytes(folder / name, data)
    except OSError as error:
        raise WriteError(files.write_fault(Path(error.filename or folder), error)) from error
    return len(earlier) if differs else 0


def write_maps(path: Path, maps: np.ndarray) -> None:
    """Write feature maps (C, h, w), float16, as `.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, maps=np.clip(maps, -6e4, 6e4).astype(np.float16))
    files.write_bytes(path, buffer.getvalue())


def read_maps(path: Path) -> np.ndarray:
    """Read (C, h, w) float16 that `write_maps` wrote; raise a DataError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["maps"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        fault = f"not feature maps of a training ({reason_of(error)}); delete it"
        raise DataError(f"{path}: {fault}") from error


def snapshot_folders(work_dir: Path, kind: str, hook: str, names: Sequence[str] | None, option: str) -> dict[str, Path]:
    """Return the folders of snapshots that a hook kept in a work dir, by name: of `names`, or all.

    Raises:
        SrtoolboxError: there are none, or none of a name, which is the fault of an option.
    """
    base = work_dir / kind
    paths = sorted(base.iterdir()) if base.is_dir() else []
    folders = {path.name: path for path in paths if list_snapshots(path)}
    if not folders:
        missing = "no such folder" if not work_dir.is_dir() else f"no snapshots in {kind}"
        hint = f"a training keeps some where hooks has a {hook} (docs/visualize.md)"
        raise DataError(f"{work_dir}: {missing}; {hint}")
    for name in names or ():
        if name not in folders:
            hint = did_you_mean(name, folders, else_list=True)
            raise SrtoolboxError(f"{option}: the training kept no {name!r}.{hint}")
    return {name: folders[name] for name in names} if names else folders
