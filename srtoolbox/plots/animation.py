"""Animations: frames of one size as GIF, MP4, or a PNG that shows some of them side by side."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import encode_image
from srtoolbox.io import files
from srtoolbox.plots.grid import INK, PAPER, grid, square_rows
from srtoolbox.plots.panels import Cell
from srtoolbox.resize import imresize

SUFFIXES = (".gif", ".mp4", ".png")
MAX_WIDTH = 1280
"""px: frames are shrunk to it."""
HOLD = 2.0
"""Seconds the last frame is shown longer, before a GIF begins again."""
_MAX_GIF_BYTES = 40 << 20
_GRAYS = 8
_SAMPLE = 1 << 18  # pixels of all frames that a GIF's palette is chosen by


def check_suffix(path: str | os.PathLike) -> str:
    """Return the suffix of an animation's file, in small letters: '.gif', '.mp4' or '.png'.

    Raises:
        SrtoolboxError: another one, or the package that writes it is missing; to be asked before
            the work begins.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        name, listing = os.fspath(path), ", ".join(SUFFIXES)
        raise SrtoolboxError(f"{name}: the suffix says the format, and is one of {listing}")
    if suffix == ".mp4":
        _import_av(path)
    return suffix


def write_animation(
    path: str | os.PathLike,
    frames: Sequence[np.ndarray],
    *,
    seconds: float = 0.2,
    hold: float = HOLD,
) -> None:
    """Write frames as an animation.

    Args:
        path: `.gif` (loops for ever), `.mp4` (H.264, needs the extra `video`), or `.png`: a sheet
            of up to 12 of them.
        frames: HWC uint8 RGB, all of one size; wider ones than `MAX_WIDTH` are shrunk.
        seconds: how long each is shown; GIF counts hundredths, and players show none for less than
            0.02.
        hold: how much longer the last is shown.

    Raises:
        SrtoolboxError: no frames, frames of several sizes, another suffix, the extra is missing, or
            a GIF that would be too large to be of use.
    """
    suffix = check_suffix(path)
    if not frames or len({frame.shape for frame in frames}) > 1:
        fault = f"an animation needs frames, all of one size, got {len(frames)}"
        raise SrtoolboxError(f"{os.fspath(path)}: {fault}")
    height, width = frames[0].shape[:2]
    if (factor := MAX_WIDTH / max(height, width)) < 1:
        height, width = max(1, round(height * factor)), round(width * factor)
        frames = [imresize(frame, size=(height, width)) for frame in frames]
    seconds = max(seconds, 0.02)
    if suffix == ".gif":
        data = _gif(frames, seconds, hold)
        if len(data) > _MAX_GIF_BYTES:
            size = f"{len(frames)} frames of {width} x {height} px are {len(data) >> 20} MiB"
            hint = "write .mp4, or fewer or smaller frames"
            raise SrtoolboxError(f"{os.fspath(path)}: {size} as a GIF: {hint}")
    elif suffix == ".mp4":
        data = _mp4(path, frames, seconds, hold)
    else:
        data = encode_image(_strip(frames))
    files.write_bytes(path, data)


def _strip(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return a sheet of at most 12 frames, evenly chosen, the first and the last among them."""
    cells = [Cell(frames[number]) for number in evenly(len(frames), 12)]
    rows = square_rows(cells)
    width = max(320, 2 * MAX_WIDTH // len(rows[0]))
    return grid(rows, cell=min(cells[0].image.shape[1], width))


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of 0 ... count - 1, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [count - 1]
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})


def _gif(frames: Sequence[np.ndarray], seconds: float, hold: float) -> bytes:
    """One palette for all frames: with a palette each, colours that stay the same would flicker."""
    shifted = [frame.astype(np.uint32) << (16, 8, 0) for frame in frames]
    packed = [planes.sum(axis=2, dtype=np.uint32) for planes in shifted]
    colours = _palette(frames)
    present = np.zeros(1 << 24, bool)
    for frame in packed:
        present[frame] = True
    used = np.flatnonzero(present)
    nearest = np.zeros(1 << 24, np.uint8)
    places = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1)
    nearest[used] = cKDTree(colours).query(places)[1]
    images = [Image.fromarray(nearest[frame]) for frame in packed]
    for image in images:
        image.putpalette(colours.tobytes())
    durations = [round(seconds * 100) * 10] * len(frames)
    durations[-1] += round(hold * 100) * 10
    buffer = io.BytesIO()
    options = {"append_images": images[1:], "duration": durations, "loop": 0, "optimize": False}
    images[0].save(buffer, "GIF", save_all=True, **options)
    return buffer.getvalue()


def _palette(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return colours (256, 3): of pixels sampled from all frames, and grays of letters on paper."""
    pixels = sum(frame.shape[0] * frame.shape[1] for frame in frames)
    step = max(1, pixels // _SAMPLE)
    flat = [frame.reshape(-1, 3) for frame in frames]
    sample = np.concatenate([part[number % step :: step] for number, part in enumerate(flat)])
    like = (sample >> 2).astype(np.uint32) @ np.array((1 << 12, 1 << 6, 1), np.uint32)
    _, places, counts = np.unique(like, return_index=True, return_counts=True)
    # by the root of their frequency: rare colours of small things (a mark, a nose) get their own
    weighted = sample[places].repeat(np.sqrt(counts).round().astype(int), axis=0)
    method = Image.Quantize.MEDIANCUT
    few = Image.fromarray(weighted[None]).quantize(256 - _GRAYS, method=method, kmeans=3)
    palette = few.getpalette() or []
    grays = np.linspace(INK[0], PAPER[0], _GRAYS).round().astype(np.uint8)
    colours = np.array(palette, np.uint8).reshape(-1, 3)[: 256 - _GRAYS]
    return np.concatenate([colours, np.repeat(grays[:, None], 3, axis=1)])


def _mp4(path: str | os.PathLike, frames: Sequence[np.ndarray], seconds: float, hold: float) -> bytes:
    av = _import_av(path)
    buffer = io.BytesIO()
    rate = Fraction(1 / seconds).limit_denominator(1000)
    with av.open(buffer, "w", format="mp4") as container:
        options = {"crf": "16", "preset": "medium"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        height, width = (length + length % 2 for length in frames[0].shape[:2])
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for frame in [*frames, *[frames[-1]] * round(hold / seconds)]:
            border = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
            even = np.pad(frame, border, mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _import_av(path: str | os.PathLike) -> ModuleType:
    try:
        import av
    except ImportError as error:
        hint = "pip install 'srtoolbox[video]', or write .gif"
        raise SrtoolboxError(f"{os.fspath(path)}: MP4 is written by PyAV: {hint}") from error
    return av
