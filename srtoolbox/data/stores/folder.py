"""Folders of image files as stores."""

from __future__ import annotations

import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from srtoolbox.data.stores.base import Places, Shape, Store, Window, key_of, missing
from srtoolbox.errors import DataError, ImageError
from srtoolbox.image import read_image
from srtoolbox.image.file_types import Listing, listed, read_suffixes, scan_folder, unread_sentence
from srtoolbox.image.reading import image_facts

CACHE_BYTES = 128 << 20


class DecodingStore(Store, ABC):
    """A store that decodes whole images. Those used last are kept: crops of one come in a row.

    Of the images at most `cache_bytes` are kept, or a single larger one. Threads may read at once.
    """

    def __init__(self, path: str, keys: Iterable[str], cache_bytes: int) -> None:
        self.path, self._keys = path, sorted(keys)
        self._shapes: dict[str, Shape] = {}
        self._limit, self._size = cache_bytes, 0
        self._images: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()  # of these two

    def keys(self) -> Sequence[str]:
        return self._keys

    def shape(self, key: str) -> Shape:
        if key not in self._shapes:
            self._shapes[key] = self._find_shape(key)
        return self._shapes[key]

    def shape_at(self, place: int) -> Shape:
        return self.shape(self._keys[place])

    def shapes(self, places: Places) -> np.ndarray:
        return np.array([self.shape_at(place) for place in places], np.int32).reshape(-1, 3)

    def read_at(self, place: int, window: Window | None = None) -> np.ndarray:
        return self.read(self._keys[place], window)

    def read(self, key: str, window: Window | None = None) -> np.ndarray:
        with self._lock:
            image = self._images.get(key)
            if image is not None:
                self._images.move_to_end(key)
        if image is None:
            image = self._decode(key)
            image.setflags(write=False)
            self._keep(key, image)
        return image if window is None else window.cut(image)

    def _keep(self, key: str, image: np.ndarray) -> None:
        with self._lock:
            self._size += image.nbytes - getattr(self._images.get(key), "nbytes", 0)
            self._images[key] = image
            while self._size > self._limit and len(self._images) > 1:
                self._size -= self._images.popitem(last=False)[1].nbytes

    def close(self) -> None:
        with self._lock:
            self._images.clear()
            self._size = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": OrderedDict(), "_size": 0, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @abstractmethod
    def _find_shape(self, key: str) -> Shape:
        """Return the size of an image, without decoding it."""

    @abstractmethod
    def _decode(self, key: str) -> np.ndarray:
        """Return an image as its file has it."""


class FolderStore(DecodingStore):
    """The images under a folder and its sub-folders.

    Raises:
        MissingDataError: no such folder.
        DataError: no image in it, or two images with one key.
    """

    def __init__(self, path: str | os.PathLike, *, cache_bytes: int = CACHE_BYTES) -> None:
        listing = _listed(Path(path))
        self._files: dict[str, str] = {}
        twins = []
        for name in map(str, listing.images):
            if (first := self._files.setdefault(key_of(name), name)) != name:
                twins.append(f"  {first} and {name}")
        if twins:
            text = f"{Path(path)}: images whose names differ only in the suffix; remove or rename one of each:"
            raise DataError("\n".join([text, *twins]))
        super().__init__(os.fspath(path), self._files, cache_bytes)
        self.unread = unread_sentence(listing.unread)  # a sentence, or ''
        self._deep: dict[str, int] = {}  # bits per channel where they are read as 8
        self._sizes: dict[str, int] = {}  # of the files in bytes, at the last look
        self._digest: str | None = None

    def _find_shape(self, key: str) -> Shape:
        shape, bits = image_facts(self.source(key))
        if bits:
            self._deep[key] = bits
        return shape

    def _decode(self, key: str) -> np.ndarray:
        source = self.source(key)
        image, size = read_image(source), _size(source)
        if self._sizes.get(key) != size:
            self._sizes[key], self._digest = size, None
        return image

    def source(self, key: str) -> str:
        return os.path.join(self.path, self.file(key))

    def file(self, key: str) -> str:
        """Return the path of a file in the folder."""
        try:
            return self._files[key]
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

        After the first call only files that are decoded are asked again for their size: a run that
        saves often does not ask a million files each time.
        """
        if self._digest is None:
            for key in self._keys:
                if key not in self._sizes:
                    self._sizes[key] = _size(self.source(key))
            lines = [f"{self._files[key]}\t{self._sizes[key]}\n" for key in self._keys]
            self._digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
        return self._digest


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
        text = f"{folder}: no images in it or its sub-folders (looked for {listed(read_suffixes())})"
        raise DataError(text + (f"; {unread}" if unread else ""))
    return listing
