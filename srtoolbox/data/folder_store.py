"""Reading a folder of picture files as a store."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from srtoolbox.data.store import Shape, Window, key_of, missing
from srtoolbox.errors import DataError
from srtoolbox.image import IMAGE_SUFFIXES, image_shape, list_images, read_image

CACHE_BYTES = 128 << 20


class FolderStore:
    """The pictures under a folder, read from their files. The last decoded ones are kept, as crops of one picture
    come in a row.

    Args:
        path: searched with its sub-folders.
        cache_bytes: how many bytes of decoded pictures may be kept.

    Raises:
        MissingDataError: no such folder.
        DataError: no picture in it, or two pictures with one key.
    """

    def __init__(self, path: str | os.PathLike, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = os.fspath(path)
        self._files = _files_by_key(Path(path))
        self._keys = sorted(self._files)
        self._shapes: dict[str, Shape] = {}
        self._cache = PictureCache(cache_bytes)

    def keys(self) -> Sequence[str]:
        return self._keys

    def shape(self, key: str) -> Shape:
        if key not in self._shapes:
            self._shapes[key] = tuple(image_shape(self.source(key)))
        return self._shapes[key]

    def read(self, key: str, window: Window | None = None) -> np.ndarray:
        image = self._cache.get(key)
        if image is None:
            image = read_image(self.source(key))
            self._cache.put(key, image)
        return image if window is None else window.cut(image)

    def source(self, key: str) -> str:
        try:
            return os.path.join(self.path, self._files[key])
        except KeyError:
            raise DataError(f"{self.path}: has no picture {key!r}") from None

    def digest(self) -> str:
        """Hash of names and sizes of the files (not of their bytes, which would take as long as reading them)."""
        lines = [f"{self._files[key]}\t{os.path.getsize(self.source(key))}\n" for key in self._keys]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def close(self) -> None:
        self._cache.clear()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": PictureCache(self._cache.limit)}  # pictures do not travel between processes


class PictureCache:
    """The pictures used last, up to a number of bytes; a single larger one is kept alone."""

    def __init__(self, limit: int) -> None:
        self.limit, self._size = limit, 0
        self._pictures: OrderedDict[str, np.ndarray] = OrderedDict()

    def get(self, key: str) -> np.ndarray | None:
        image = self._pictures.get(key)
        if image is not None:
            self._pictures.move_to_end(key)
        return image

    def put(self, key: str, image: np.ndarray) -> None:
        image.setflags(write=False)
        self._pictures[key] = image
        self._size += image.nbytes
        while self._size > self.limit and len(self._pictures) > 1:
            self._size -= self._pictures.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        self._pictures.clear()
        self._size = 0


def _files_by_key(folder: Path) -> dict[str, str]:
    if not folder.exists():
        raise missing(folder, "no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file; a folder of pictures or an LMDB is needed")
    files: dict[str, str] = {}
    twins: list[str] = []
    for name in map(str, list_images(folder)):
        if key_of(name) in files:
            twins.append(f"  {files[key_of(name)]} and {name}")
        files.setdefault(key_of(name), name)
    if twins:
        raise DataError(
            f"{folder}: pictures whose names differ only in the suffix; remove or rename one of each:\n"
            + "\n".join(twins)
        )
    if not files:
        raise DataError(
            f"{folder}: no pictures in it or its sub-folders (looked for {', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return files
