"""Animations of what goes on: patches over a training, and an image upscaled tile by tile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from srtoolbox.apps.visualize.drawing import Drawing, select_entries
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import facts_of
from srtoolbox.plots.frames import MOST, patch_frames, scan_frames, tile_areas
from srtoolbox.plots.snapshots import PATCHES, snapshot_folders
from srtoolbox.text import counted


def animate_training(
    work_dir: str | os.PathLike,
    patches: Sequence[str] | None = None,
    *,
    most: int = MOST,
    width: int = 240,
) -> Drawing:
    """Draw the patches that `PatchesHook` kept over a training, beside input, bicubic and truth.

    Args:
        work_dir: of the training, finished or not.
        patches: only these, by the names of their folders.
        most: at most so many frames, evenly chosen.
        width: px a patch is wide.

    Raises:
        SrtoolboxError: nothing was kept, or no such patch.
    """
    folders = snapshot_folders(Path(work_dir), PATCHES, "PatchesHook")
    folders = select_entries(folders, patches, "--patches")
    frames = patch_frames(folders, most=most, cell=width)
    return Drawing(frames, f"{counted(len(frames), 'frame')} of {', '.join(folders)}")


def animate_scan(
    network: nn.Module,
    image: np.ndarray,
    *,
    tile: int | None = None,
    most: int = MOST,
    width: int = 720,
) -> Drawing:
    """Draw how an upscaled image appears tile by tile over its bicubic enlargement.

    Args:
        network: any that upscales.
        image: HWC uint8 or uint16.
        tile: side of a tile in input pixels; None: six along the longer side.
        most: at most so many frames, then several tiles come at a time.
        width: px the image is wide at most.
    """
    tile = tile or max(8, -(-max(image.shape[:2]) // 6))
    result = Upscaler(network, tile=tile)(image)
    areas = tile_areas((image.shape[0], image.shape[1]), tile, facts_of(network).scale)
    frames = scan_frames(image, result, areas, most=most, width=width)
    parts = f"{counted(len(areas), 'tile')} of {tile} x {tile} input pixels"
    return Drawing(frames, f"{counted(len(frames), 'frame')}, {parts}")
