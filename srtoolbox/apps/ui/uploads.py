"""Facts about a file that was given to the page: its name as users know it, its kind, its size in pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from srtoolbox.apps.cost import CHECKPOINTS
from srtoolbox.apps.video.frames import opened, probe
from srtoolbox.apps.video.upscale import CONTAINERS
from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image import image_shape
from srtoolbox.image.file_types import read_suffixes
from srtoolbox.image.reading import is_moving_image
from srtoolbox.io import files

VIDEOS = (*CONTAINERS, ".avi")
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""FFmpeg's readers of files that hold what they show: a playlist would make it open others."""
NETWORKS = tuple(suffix for suffix in CHECKPOINTS if suffix != ".onnx")
"""Weights that may be dropped; ONNX files, which name other files, must lie in the folder."""
_LONGEST = 120
_BY_PAGE = {
    "upscale --scale N, load_network(..., scale=N)": "`Scale of weights`",
    "--no-trial opens it as it is (load_network(..., trial=False))": "`Untried` opens it as it is",
    "(--config, load_network(..., config=...))": "(`srtoolbox ui --config`)",
    "(load_network(..., config=...), upscale --config, test CONFIG)": "(`srtoolbox ui --config`)",
    "--keep-colour ": "`Keep colours` ",
}
"""Advice on options of the commands, and what it is on the page."""


class Limits(NamedTuple):
    """Limits of what the page takes."""

    pixels: int = 50_000_000
    """Of an image, or of a frame of a video; results have 16 times as many at most."""
    files: int = 200
    bytes: int = 2_000_000_000
    """Of one file; all uploads and results together have eight times as many at most."""


@dataclass(frozen=True)
class Upload:
    """A file that was given to the page."""

    key: str
    name: str
    """What the user calls it: shown, never a path."""
    path: Path
    kind: str
    """'image', 'video' or 'weights'."""
    height: int = 0
    width: int = 0
    frames: int = 0
    """Of a video, as it declares, or by its length."""
    rate: float = 0.0
    """Frames per second."""
    bytes: int = 0


def shown_name(text: str) -> str:
    """Return the last part of a name from a browser, without what cannot be seen or written in a file's name."""
    last = re.split(r"[/\\]", text)[-1]
    clean = "".join(sign if sign.isprintable() and sign not in '<>:"|?*' else "_" for sign in last).strip(". ")
    stem, dot, suffix = clean.rpartition(".")
    return f"{stem[:_LONGEST]}{dot}{suffix[:12]}" if stem else clean[:_LONGEST] or "unnamed"


def kind_of(name: str) -> str:
    """Return 'image', 'video' or 'weights', by the suffix. Raises SrtoolboxError for others."""
    suffix = Path(name).suffix.lower()
    for kind, suffixes in (("image", read_suffixes()), ("video", VIDEOS), ("weights", NETWORKS)):
        if suffix in suffixes:
            return kind
    known = ", ".join(each[1:] for each in (*sorted(read_suffixes()), *VIDEOS, *NETWORKS))
    raise SrtoolboxError(f"{name}: is no image, video or file of weights by its name; known are {known}")


def stored_name(name: str, kind: str) -> str:
    """Return the name that a file has on the disk; for weights it is their own, where it has nothing unusual."""
    if kind != "weights":
        return f"{kind}{Path(name).suffix.lower()}"
    clean = re.sub(r"[^A-Za-z0-9 ._()+-]", "_", name)
    return f"_{clean}" if files.windows_fault(clean) else clean


def checked(upload: Upload, limits: Limits) -> Upload:
    """Return an upload with what its first bytes tell. Raises SrtoolboxError."""
    upload = replace(upload, bytes=upload.path.stat().st_size)
    try:
        if upload.kind == "image":
            height, width, _ = image_shape(upload.path)
            upload = _with_size(upload, height, width, limits)
        elif upload.kind == "video":
            height, width = _declared_size(upload.path)
            _with_size(upload, height, width, limits)
            video = probe(upload.path)  # only now: it decodes a frame
            frames = video.frames or round((video.duration or 0) * video.rate)
            upload = replace(
                _with_size(upload, video.height, video.width, limits), frames=frames, rate=float(video.rate)
            )
    except SrtoolboxError as error:
        raise ImageError(plain(error, upload)) from error
    return upload


def _with_size(upload: Upload, height: int, width: int, limits: Limits) -> Upload:
    """Return an upload that has this size; raises ImageError where it is too large."""
    if height * width > limits.pixels:
        advice = "make it smaller, or start `srtoolbox ui` with a larger --max-pixels"
        size = f"{width} x {height} pixels, more than the {limits.pixels:,} that this page takes"
        raise ImageError(f"{size}; {advice}")
    return replace(upload, height=height, width=width)


def _declared_size(path: Path) -> tuple[int, int]:
    """Return height and width of a video as its head tells; raises SrtoolboxError unless it holds what it shows."""
    if is_moving_image(path):
        raise SrtoolboxError("is an animated image, no video; `upscale_video` takes it")
    with opened(path, demuxers=_DEMUXERS) as container:
        context = container.streams.video[0].codec_context
        return context.height, context.width


def plain(error: BaseException | str, *uploads: Upload) -> str:
    """Return a sentence for the page, with the names that users know instead of paths of the server."""
    text = for_page(str(error))
    for upload in uploads:
        text = text.replace(str(upload.path), upload.name)
    for upload in uploads:
        text = text.replace(str(upload.path.parent), "the page's folder").replace(upload.path.name, upload.name)
    return text if text.startswith(tuple(upload.name for upload in uploads)) else f"{uploads[0].name}: {text}"


def for_page(text: str) -> str:
    """Return a sentence in which options of the commands are what the page calls them."""
    for option, control in _BY_PAGE.items():
        text = text.replace(option, control)
    return text
