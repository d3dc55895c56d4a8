"""LMDB stores to read: ours, in any encoding (`encodings`), and BasicSR's.

A raw value is a view of the memory map: a windowed read cuts a view out of it, and decodes and
copies nothing. A view lives as long as the transaction it came from, so each process holds one read
transaction per store for good. py-lmdb touches all pages of a value as it is asked for: where there
are more images than views are kept of, their places in the map are, so that it is asked but once.
The index of the images is mapped, too.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from srtoolbox.data.stores.base import Places, Shape, Window, missing
from srtoolbox.data.stores.encodings import StoredImage, open_value
from srtoolbox.data.stores.environment import Environment, is_lmdb, memory_at, unreadable
from srtoolbox.data.stores.index import Record, Texts
from srtoolbox.data.stores.lmdb_contents import Mark, contents_of
from srtoolbox.errors import DataError

_VIEWS = 1 << 13  # images whose views are kept


class LmdbStore:
    """Images in an LMDB, which is opened once per process and real path, for all its stores.

    Raises:
        MissingDataError: no such store.
        DataError: not an LMDB, cut short, an unfinished conversion, or one of another program.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        if not is_lmdb(Path(path)):
            raise missing(path, "no such LMDB (no data.mdb in it)")
        self._views: dict[int, StoredImage] = {}
        self._addresses: np.ndarray | None = None  # of pixels that were read before, 0 of others
        self._pid = os.getpid()
        self._opened: tuple[int, Environment] | None = None
        try:
            self._contents = contents_of(Path(path), self._environment())
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise unreadable(self.path, error) from error
            raise
        self._digest = self._contents.digest

    @property
    def mark(self) -> Mark | None:
        """The shard that this is, or None for a whole store."""
        return self._contents.mark

    def keys(self) -> Texts:
        return self._contents.images.keys

    def shape(self, key: str) -> Shape:
        return self._contents.images.shape(self._place(key))

    def shape_at(self, place: int) -> Shape:
        return self._contents.images.shape(place)

    def shapes(self, places: Places) -> np.ndarray:
        return self._contents.images.shapes(places)

    def read(self, key: str, window: Window | None = None) -> np.ndarray:
        return self.read_at(self._place(key), window)

    def read_at(self, place: int, window: Window | None = None) -> np.ndarray:
        image = self._views.get(place)
        if image is None or self._pid != os.getpid():
            image = self._load(place)
        return image.read(window)

    def source(self, key: str) -> str:
        return self._source_at(self._place(key))

    def verify(self, key: str) -> None:
        """Raise DataError if a value is not what its conversion noted (BasicSR notes nothing)."""
        expected = self._contents.images.sha256(self._place(key))
        value = self._environment().get(key.encode("utf-8"))
        if expected and (value is None or hashlib.sha256(value).hexdigest() != expected):
            raise DataError(f"{self.source(key)}: damaged: not what was stored. Convert the images again")

    def entry(self, key: str) -> Record:
        """Return what the conversion noted of an image."""
        return self._contents.images.record(self._place(key))

    def value(self, key: str) -> memoryview:
        """Return an image as it is stored, valid until `close`."""
        value = self._environment().get(key.encode("utf-8"))
        if value is None:
            raise DataError(f"{self.path}: lists {key!r} but does not hold it. Convert the images again")
        return value

    def digest(self) -> str:
        return self._digest

    def rest(self) -> None:
        if self._contents.map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._contents.map.madvise(mmap.MADV_DONTNEED)  # the system keeps what it has read

    def close(self) -> None:
        self._views, self._addresses, self._opened = {}, None, None
        Environment.release(self.path, id(self))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is a map: another process maps it itself."""
        contents = None if self._contents.map else self._contents
        return {**self.__dict__, "_views": {}, "_addresses": None, "_opened": None, "_contents": contents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state["_contents"] is None:
            self._contents = contents_of(Path(self.path), self._environment())
            if self._contents.digest != self._digest:
                raise DataError(f"{self.path}: was replaced by another store while it was in use")

    def _environment(self) -> Environment:
        """Return the environment of this process, whose path is looked up once."""
        if self._opened is None or self._opened[0] != os.getpid():
            environment = Environment.of(self.path)
            environment.users.add(id(self))
            self._opened = os.getpid(), environment
        return self._opened[1]

    def _place(self, key: str) -> int:
        place = self._contents.images.keys.find(key)
        if place is None:
            raise DataError(f"{self.path}: has no image {key!r}")
        return place

    def _source_at(self, place: int) -> str:
        return f"{self.path}:{self._contents.images.sources[place]}"

    def _load(self, place: int) -> StoredImage:
        if self._pid != os.getpid():
            self._pid, self._views, self._addresses = os.getpid(), {}, None
        encoding, index = self._contents.encoding, self._contents.images
        shape, dtype = index.shape(place), index.dtype(place)
        image = open_value(encoding, self._value_at(place), shape, dtype, self._source_at(place))
        if encoding == "png" or len(self._views) >= _VIEWS:
            self._views.clear()  # of decoded images only the last one is kept
        self._views[place] = image
        return image

    def _value_at(self, place: int) -> memoryview:
        """Return a value, at its place in the map where that is known."""
        index = self._contents.images
        if self._addresses is None and len(index.keys) > _VIEWS and self._contents.encoding in ("raw", "raw_tiled"):
            self._addresses = np.zeros(len(index.keys), np.uintp)
        size = math.prod(index.shape(place)) * np.dtype(index.dtype(place)).itemsize
        if self._addresses is not None and (address := self._addresses.item(place)):
            return memory_at(address, size)
        value = self._environment().get(index.keys.encoded(place))
        if value is None:
            raise DataError(f"{self.path}: lists {index.keys[place]!r} but does not hold it. Convert the images again")
        if self._addresses is not None and len(value) == size:
            self._addresses[place] = np.frombuffer(value, np.uint8).ctypes.data
        return value
