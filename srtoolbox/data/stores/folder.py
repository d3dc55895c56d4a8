"""Folders of image files as stores."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from srtoolbox.data.stores.base import Shape, Window, key_of, missing
from srtoolbox.errors import DataError, ImageError
from srtoolbox.image import read_image
from srtoolbox.image.file_types import Listing, listed, read_suffixes, scan_folder, unread_sentence
from srtoolbox.image.reading import image_facts

CACHE_BYTES = 128 << 20


class FolderStore:
    """The images under a folder. Those decoded last are kept: crops of one come in a row.

    Args:
        path: searched with its sub-folders.
        cache_bytes: how many bytes of decoded images may be kept.

    Raises:
        MissingDataError: no such folder.
        DataError: no image in it, or two images with one key.
    """

    def __init__(self, path: str | os.PathLike, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = os.fspath(path)
        listing = _listed(Path(path))
        self._files = _files_by_key(Path(path), listing)
        self._keys = sorted(self._files)
        self.unread = unread_sentence(listing.unread)
        """A sentence on files that look like images and are not read, or ''."""
        self._shapes: dict[str, Shape] = {}
        self._deep: dict[str, int] = {}  # bits per channel where they are read as 8
        self._sizes: dict[str, int] = {}  # of the files in bytes, at the last look
        self._digest: str | None = None
        self._cache = ImageCache(cache_bytes)

    def keys(self) -> Sequence[str]:
        return self._keys

    def shape(self, key: str) -> Shape:
        if key not in self._shapes:
            shape, bits = image_facts(self.source(key))
            self._shapes[key] = shape
            if bits:
                self._deep[key] = bits
        return self._shapes[key]

    def read(self, key: str, window: Window | None = None) -> np.ndarray:
        image = self._cache.get(key)
        if image is None:
            source = self.source(key)
            image = read_image(source)
            self._cache.put(key, image)
            self._note_size(key, source)
        return image if window is None else window.cut(image)

    def source(self, key: str) -> str:
        try:
            return os.path.join(self.path, self._files[key])
        except KeyError:
            raise DataError(f"{self.path}: has no image {key!r}") from None

    def deep_sentence(self) -> str:
        """Name the images, of those whose shape was asked, whose 10 bits or more are read as 8."""
        if not self._deep:
            return ""
        names = [f"{self._files[key]} ({bits})" for key, bits in sorted(self._deep.items())]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        have = "image has" if len(names) == 1 else "images have"
        return f"{len(names)} {have} more than 8 bits per channel, read as 8: {', '.join(names[:3])}{more}"

    def digest(self) -> str:
        """Return the hash of names and sizes of the files (their bytes would take too long).

        All files are asked for their size at the first call; after that only those that are
        decoded: a run that saves often does not ask a million files each time, and what it has not
        decoded again has not changed for it.
        """
        if self._digest is None:
            for key in self._keys:
                if key not in self._sizes:
                    self._sizes[key] = _size(self.source(key))
            lines = [f"{self._files[key]}\t{self._sizes[key]}\n" for key in self._keys]
            self._digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
        return self._digest

    def _note_size(self, key: str, source: str) -> None:
        size = _size(source)
        if self._sizes.get(key) != size:
            self._sizes[key], self._digest = size, None

    def close(self) -> None:
        self._cache.clear()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": ImageCache(self._cache.limit)}


class ImageCache:
    """The images used last, up to a number of bytes; a single larger one is kept alone."""

    def __init__(self, limit: int) -> None:
        self.limit, self._size = limit, 0
        self._images: OrderedDict[str, np.ndarray] = OrderedDict()

    def get(self, key: str) -> np.ndarray | None:
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
        return image

    def put(self, key: str, image: np.ndarray) -> None:
        image.setflags(write=False)
        self._images[key] = image
        self._size += image.nbytes
        while self._size > self.limit and len(self._images) > 1:
            self._size -= self._images.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        self._images.clear()
        self._size = 0


def _size(source: str) -> int:
    try:
        return os.path.getsize(source)
    except OSError as error:
        raise DataError(f"{source}: has gone, or cannot be read ({error.strerror or error})") from error


def _listed(folder: Path) -> Listing:
    if not folder.exists():
        raise missing(folder, "no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; a folder of images or an LMDB is needed")
    try:
        listing = scan_folder(folder)
    except ImageError as error:  # a sub-folder that cannot be listed
        raise DataError(str(error)) from error
    if not listing.images:
        unread = unread_sentence(listing.unread)
        raise DataError(
            f"{folder}: no images in it or its sub-folders (looked for {listed(read_suffixes())})"
            + (f"; {unread}" if unread else "")
        )
    return listing


def _files_by_key(folder: Path, listing: Listing) -> dict[str, str]:
    files: dict[str, str] = {}
    twins: list[str] = []
    for name in map(str, listing.images):
        if key_of(name) in files:
            twins.append(f"  {files[key_of(name)]} and {name}")
        files.setdefault(key_of(name), name)
    if twins:
        raise DataError(
            f"{folder}: images whose names differ only in the suffix; remove or rename one of each:\n"
            + "\n".join(twins)
        )
    return files
