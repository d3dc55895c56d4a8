"""Files given to the page, under names of their own in a folder that goes when the server ends.

The name that a browser tells is shown and offered for downloads; no path is ever made of it, but for
a suffix that is one of a list.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from srtoolbox.apps.cost import CHECKPOINTS
from srtoolbox.apps.video.frames import probe
from srtoolbox.apps.video.upscale import CONTAINERS
from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image import image_shape
from srtoolbox.image.file_types import read_suffixes
from srtoolbox.io import files

VIDEOS = (*CONTAINERS, ".avi")
NETWORKS = tuple(suffix for suffix in CHECKPOINTS if suffix != ".onnx")
"""Weights that may be dropped; ONNX files, which name other files, must lie in the folder."""
_LONGEST = 120


class Limits(NamedTuple):
    """Limits of what the page takes."""

    pixels: int = 50_000_000
    """Of an image, or of a frame of a video; results have 16 times as many at most."""
    files: int = 200
    bytes: int = 2_000_000_000
    """Of one file; all together may have eight times as many."""


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


class Store:
    """Uploads in a folder. Methods may be called by any thread.

    Args:
        folder: an empty folder, the store's alone.
        limits: what is taken at most.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def add(self, name: str, content: BinaryIO) -> Upload:
        """Keep a file, and check what it is.

        Raises:
            SrtoolboxError: one sentence, which begins with the name: of no known kind, damaged, or
                over a limit.
        """
        name = shown_name(name)
        kind = kind_of(name)
        with self._lock:
            if len(self._uploads) >= self.limits.files:
                raise SrtoolboxError(f"{name}: {self.limits.files} files are here already; remove some first")
        key = secrets.token_hex(8)
        # the one thing in a name that is used: the scale of weights that fit any
        scale = re.search(r"x([1-8])(?!\d)", name.lower()) if kind == "weights" else None
        path = self.folder / key / f"{kind}{f'_x{scale[1]}' if scale else ''}{Path(name).suffix.lower()}"
        try:
            files.atomic_write(path, lambda file: shutil.copyfileobj(content, file))
            upload = self._checked(Upload(key, name, path, kind))
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        with self._lock:
            self._uploads[key] = upload
        return upload

    def get(self, key: str) -> Upload:
        """Return an upload. Raises KeyError."""
        return self._uploads[key]

    def all(self, *kinds: str) -> list[Upload]:
        """Return the uploads of some kinds, in the order they came."""
        return [upload for upload in [*self._uploads.values()] if upload.kind in kinds]

    def bytes(self) -> int:
        """Return what all uploads take."""
        return sum(upload.path.stat().st_size for upload in [*self._uploads.values()] if upload.path.exists())

    def remove(self, key: str) -> None:
        """Forget an upload, and delete it with all that was made beside it. Raises KeyError."""
        with self._lock:
            upload = self._uploads.pop(key)
        shutil.rmtree(upload.path.parent, ignore_errors=True)

    def _checked(self, upload: Upload) -> Upload:
        """Return an upload with its size, by its first bytes alone. Raises SrtoolboxError."""
        if upload.kind == "weights":
            return upload
        try:
            height, width = self._size(upload)
        except SrtoolboxError as error:
            raise ImageError(plain(error, upload)) from error
        if height * width > self.limits.pixels:
            advice = "make it smaller, or start `srtoolbox ui` with a larger --max-pixels"
            size = f"{width} x {height} pixels, more than the {self.limits.pixels:,} that this page takes"
            raise ImageError(f"{upload.name}: {size}; {advice}")
        return Upload(upload.key, upload.name, upload.path, upload.kind, height, width)

    @staticmethod
    def _size(upload: Upload) -> tuple[int, int]:
        if upload.kind == "image":
            return image_shape(upload.path)[:2]
        if not _is_container(upload.path):  # a playlist would make FFmpeg open other files
            raise SrtoolboxError(f"{upload.name}: is no video; known are MP4, MOV, Matroska, WebM and AVI")
        video = probe(upload.path)
        return video.height, video.width


def _is_container(path: Path) -> bool:
    """Return True for files that begin as MP4, Matroska or AVI do: those hold what they show."""
    with open(path, "rb") as file:
        start = file.read(12)
    return start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") or start[:4] in (b"\x1aE\xdf\xa3", b"RIFF")


def plain(error: BaseException | str, *uploads: Upload) -> str:
    """Return an error's sentence with the names that users know, instead of paths of the server."""
    text = str(error)
    for upload in uploads:
        text = text.replace(str(upload.path), upload.name)
    for upload in uploads:
        text = text.replace(str(upload.path.parent), "the page's folder").replace(upload.path.name, upload.name)
    return text if text.startswith(tuple(upload.name for upload in uploads)) else f"{uploads[0].name}: {text}"
