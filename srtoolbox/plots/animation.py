"""Animations: frames of one size as GIF, MP4, or a PNG that shows some of them side by side."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import encode_image
from srtoolbox.io import files
from srtoolbox.plots.grid import Cell, grid, square_rows
from srtoolbox.plots.text import INK, PAPER
from srtoolbox.resize import imresize

SUFFIXES = (".gif", ".mp4", ".png")
MAX_WIDTH = 1280
"""px: frames are shrunk to it."""
HOLD = 2.0
"""Seconds the last frame is shown longer, before a GIF begins again."""
_STRIP = 12  # frames in a PNG
_MAX_GIF_BYTES = 40 << 20
_GRAYS = 8
_SAMPLE = 1 << 18  # pixels of all frames that a GIF's palette is chosen by


def check_suffix(path: str | os.PathLike) -> str:
    """The suffix of an animation's file, in small letters: '.gif', '.mp4' or '.png'.

    Raises:
        SrtoolboxError: another one, or the package that writes it is missing; to be asked before
            the work begins.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise SrtoolboxError(f"{os.fspath(path)}: the suffix says the format, and is one of {', '.join(SUFFIXES)}")
    if suffix == ".mp4":
        _import_av(path)
    return suffix


def write_animation(
    path: str | os.PathLike, frames: Sequence[np.ndarray], *, seconds: float = 0.2, hold: float = HOLD
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
        raise SrtoolboxError(f"{os.fspath(path)}: an animation needs frames, all of one size, got {len(frames)}")
    frames = [_bounded(frame) for frame in frames]
    seconds = max(seconds, 0.02)
    if suffix == ".gif":
        data = _gif(frames, seconds, hold)
        if len(data) > _MAX_GIF_BYTES:
            size = f"{len(frames)} frames of {frames[0].shape[1]} x {frames[0].shape[0]} px are {len(data) >> 20} MiB"
            raise SrtoolboxError(f"{os.fspath(path)}: {size} as a GIF: write .mp4, or fewer or smaller frames")
    elif suffix == ".mp4":
        data = _mp4(path, frames, seconds, hold)
    else:
        data = encode_image(strip(frames))
    files.write_bytes(path, data)


def strip(frames: Sequence[np.ndarray]) -> np.ndarray:
    """A sheet of at most 12 of the frames, evenly chosen, the first and the last among them."""
    chosen = [frames[number] for number in evenly(len(frames), _STRIP)]
    cell = min(chosen[0].shape[1], max(320, 2 * MAX_WIDTH // max(1, len(square_rows([Cell(f) for f in chosen])[0]))))
    return grid(square_rows([Cell(frame) for frame in chosen]), cell=cell)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 ... count - 1, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)}) if most > 1 else [count - 1]


def _bounded(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    factor = min(1.0, MAX_WIDTH / max(height, width))
    return frame if factor == 1 else imresize(frame, size=(max(1, round(height * factor)), round(width * factor)))


def _gif(frames: Sequence[np.ndarray], seconds: float, hold: float) -> bytes:
    """One palette for all frames: with a palette each, colours that stay the same would flicker."""
    packed = [(frame.astype(np.uint32) << (16, 8, 0)).sum(axis=2, dtype=np.uint32) for frame in frames]
    colours = _palette(frames)
    present = np.zeros(1 << 24, bool)
    for frame in packed:
        present[frame] = True
    used = np.flatnonzero(present)
    nearest = np.zeros(1 << 24, np.uint8)
    nearest[used] = cKDTree(colours).query(np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1))[1]
    pictures = []
    for frame in packed:
        pictures.append(Image.fromarray(nearest[frame]))
        pictures[-1].putpalette(colours.tobytes())
    durations = [round(seconds * 100) * 10] * len(frames)
    durations[-1] += round(hold * 100) * 10
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False
    )
    return buffer.getvalue()


def _palette(frames: Sequence[np.ndarray]) -> np.ndarray:
    """256 colours (256, 3) for pixels sampled evenly from all frames; some are the grays of letters on white paper."""
    pixels = sum(frame.shape[0] * frame.shape[1] for frame in frames)
    step = max(1, pixels // _SAMPLE)
    sample = np.concatenate([frame.reshape(-1, 3)[number % step :: step] for number, frame in enumerate(frames)])
    like = (sample >> 2).astype(np.uint32) @ np.array((1 << 12, 1 << 6, 1), np.uint32)
    _, places, counts = np.unique(like, return_index=True, return_counts=True)
    # by the root of how often they occur, or the small things of rare colours (a mark, a nose) get none of their own
    weighted = sample[places].repeat(np.sqrt(counts).round().astype(int), axis=0)
    few = Image.fromarray(weighted[None]).quantize(256 - _GRAYS, method=Image.Quantize.MEDIANCUT, kmeans=3)
    found = few.getpalette()
    grays = np.linspace(INK[0], PAPER[0], _GRAYS).round().astype(np.uint8)
    chosen = np.array(found, np.uint8).reshape(-1, 3)[: 256 - _GRAYS]
    return np.concatenate([chosen, np.repeat(grays[:, None], 3, axis=1)])


def _mp4(path: str | os.PathLike, frames: Sequence[np.ndarray], seconds: float, hold: float) -> bytes:
    av = _import_av(path)
    buffer = io.BytesIO()
    rate = Fraction(1 / seconds).limit_denominator(1000)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "16", "preset": "medium"})
        height, width = (length + length % 2 for length in frames[0].shape[:2])
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for frame in [*frames, *[frames[-1]] * round(hold / seconds)]:
            even = np.pad(frame, ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _import_av(path: str | os.PathLike):  # noqa: ANN202 - a module
    try:
        import av
    except ImportError as error:
        raise SrtoolboxError(
            f"{os.fspath(path)}: MP4 is written by PyAV: pip install 'srtoolbox[video]', or write .gif"
        ) from error
    return av
