"""Snapshots of a training: `snapshots/<kind>/<name>/iter_000250.png` or `.npz` in the work dir.

Beside the snapshots lie files that say what they are of (`input.png`, `truth.png`, `about.json`).
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from srtoolbox.errors import DataError, WriteError
from srtoolbox.io import files
from srtoolbox.text import reason_of

FOLDER = "snapshots"
PATCHES, FEATURES = f"{FOLDER}/patches", f"{FOLDER}/features"
_NAME = re.compile(r"iter_(\d+)\.(png|npz)")


def snapshot_path(folder: Path, iteration: int, suffix: str) -> Path:
    """Return `folder/iter_000250.png`."""
    return folder / f"iter_{iteration:06d}{suffix}"


def list_snapshots(folder: Path) -> dict[int, Path]:
    """Return the snapshots in a folder by iteration, ascending.

    What a kill left half-written has another name.
    """
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
        return _begin(folder, about, after)
    except OSError as error:
        raise WriteError(files.write_fault(Path(error.filename or folder), error)) from error


def _begin(folder: Path, about: Mapping[str, bytes], after: int) -> int:
    files.prepare_folder(folder)
    earlier = list_snapshots(folder)
    differs = bool(earlier) and any(_content(folder / name) != data for name, data in about.items())
    for iteration, path in earlier.items():
        if differs or iteration > after:
            path.unlink()
    for name, data in about.items():
        if _content(folder / name) != data:
            files.write_bytes(folder / name, data)
    return len(earlier) if differs else 0


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def write_maps(path: Path, maps: np.ndarray) -> None:
    """Write feature maps (C, h, w), float16, as `.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, maps=np.clip(maps, -6e4, 6e4).astype(np.float16))
    files.write_bytes(path, buffer.getvalue())


def read_maps(path: Path) -> np.ndarray:
    """Read (C, h, w) float16 that `write_maps` wrote.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["maps"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        fault = f"not feature maps of a training ({reason_of(error)})"
        raise DataError(f"{path}: {fault}; delete it") from error


def snapshot_folders(work_dir: Path, kind: str, hook: str) -> dict[str, Path]:
    """Return the folders of snapshots of one kind in a work dir, by name.

    Raises:
        DataError: there are none; says how they come to be.
    """
    base = work_dir / kind
    paths = sorted(base.iterdir()) if base.is_dir() else []
    folders = {path.name: path for path in paths if list_snapshots(path)}
    if not folders:
        missing = "no such folder" if not work_dir.is_dir() else f"no snapshots in {kind}"
        hint = f"a training keeps some where hooks has a {hook} (docs/visualize.md)"
        raise DataError(f"{work_dir}: {missing}; {hint}")
    return folders
