"""LMDB stores to read: ours (`encodings`, `__meta__`, `__index__`), BasicSR's (meta_info.txt).

A raw value is a view of the memory map: a windowed read cuts a view out of it, and decodes and
copies nothing (py-lmdb touches all pages of a value as it is asked for). A view lives as long as
the transaction it came from, so each process holds one read transaction per store for good. The
index of the images is mapped, too.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import mmap
import os
import re
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import lmdb
import numpy as np

from srtoolbox.data.stores.base import Places, Shape, Window, key_of, missing
from srtoolbox.data.stores.encodings import ENCODINGS, StoredImage, check_encoding, open_value
from srtoolbox.data.stores.index import Index, Record, Texts, from_bytes, index_of
from srtoolbox.errors import DataError
from srtoolbox.io.pieces import Shard
from srtoolbox.system import forget_pages
from srtoolbox.text import counted

FORMAT = "srtoolbox-lmdb"
VERSION = 2
"""Version 1 has the images in `__meta__`, as JSON, and no `__index__`."""
META_KEY = b"__meta__"
INDEX_KEY = b"__index__"
PLAN_KEY = b"__plan__"
MAX_KEY_BYTES = 511
_HEADER = struct.Struct("<16xI")  # page header, then the magic number
_MAGIC = 0xBEEFC0DE
_SMALLEST_PAGE = 4096
_VALUE_HEAD = struct.Struct("<QHHI")  # of a value's own pages: number of the first, -, flags, pages
_OWN_PAGES = 0x04
_VIEWS = 1 << 13  # images whose views are kept


class Mark(NamedTuple):
    """The number of a shard, and a text that the shards of one whole share."""

    shard: Shard
    whole: str


class Contents(NamedTuple):
    """The encoding of an LMDB's values, the index of its images, a digest.

    `map` is that of the index, or None where it is an array.
    """

    encoding: str
    images: Index
    digest: str
    map: mmap.mmap | None = None
    mark: Mark | None = None


def is_lmdb(path: Path) -> bool:
    """True if `path` is a folder with an LMDB in it."""
    return (path / "data.mdb").exists()


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
        self._pid = os.getpid()
        self._opened: tuple[int, _Environment] | None = None
        try:
            self._contents = _contents(Path(path), self._environment())
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _unreadable(self.path, error) from error
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
        self._views, self._opened = {}, None
        _Environment.release(self.path, id(self))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is a map: another process maps it itself."""
        contents = None if self._contents.map else self._contents
        return {**self.__dict__, "_views": {}, "_opened": None, "_contents": contents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state["_contents"] is None:
            self._contents = _contents(Path(self.path), self._environment())
            if self._contents.digest != self._digest:
                raise DataError(f"{self.path}: was replaced by another store while it was in use")

    def _environment(self) -> _Environment:
        """Return the environment of this process, whose path is looked up once."""
        if self._opened is None or self._opened[0] != os.getpid():
            environment = _Environment.of(self.path)
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
            self._pid, self._views = os.getpid(), {}
        encoding, index = self._contents.encoding, self._contents.images
        value = self._environment().get(index.keys.encoded(place))
        if value is None:
            raise DataError(f"{self.path}: lists {index.keys[place]!r} but does not hold it. Convert the images again")
        image = open_value(encoding, value, index.shape(place), index.dtype(place), self._source_at(place))
        if encoding == "png" or len(self._views) >= _VIEWS:
            self._views.clear()  # of decoded images only the last one is kept
        self._views[place] = image
        return image


class _Environment:
    """The one open LMDB environment per (real path, process), with its one read transaction.

    lmdb opens a path once in a process, and no environment may be used after a fork, so the table
    is by process id, and a child closes what it inherited before it opens its own. That cannot
    disturb the parent: without a lock file the two share nothing but the file.
    """

    _open: ClassVar[dict[tuple[str, int], _Environment]] = {}

    def __init__(self, path: str) -> None:
        self.users: set[int] = set()  # stores whose arrays point into the map
        _check_header(path)
        try:
            # A finished store is never written again: no lock. Crops touch few pages: no read-ahead.
            self._env = lmdb.open(path, readonly=True, lock=False, readahead=False, create=False)
            needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        except lmdb.Error as error:
            raise _unreadable(path, error) from error
        size = os.path.getsize(os.path.join(path, "data.mdb"))
        if size < needed:  # reading past the end would kill the process with SIGBUS
            self._env.close()
            raise DataError(
                f"{path}: cut short: data.mdb has {size} of {needed} bytes. Copy it or convert the images again"
            )
        self._txn = self._env.begin(buffers=True)
        self._lock = threading.Lock()  # a transaction is for one thread at a time

    @classmethod
    def of(cls, path: str) -> _Environment:
        name = (os.path.realpath(path), os.getpid())
        if name not in cls._open:
            for inherited in [other for other in cls._open if other[0] == name[0]]:
                cls._open.pop(inherited)._close()
            cls._open[name] = cls(name[0])
        return cls._open[name]

    @classmethod
    def release(cls, path: str, user: int) -> None:
        name = (os.path.realpath(path), os.getpid())
        environment = cls._open.get(name)
        if environment is None or user not in environment.users:
            return
        environment.users.remove(user)
        if not environment.users:
            cls._open.pop(name)._close()

    def _close(self) -> None:
        self._txn.abort()
        self._env.close()

    def get(self, key: bytes) -> memoryview | None:
        with self._lock:
            return self._txn.get(key)

    def entries(self) -> int:
        return self._env.stat()["entries"]

    def mapped(self, key: bytes) -> tuple[np.ndarray, mmap.mmap | None] | None:
        """Return a value (uint8), and the map of its own that it lies in: a small one is copied.

        The map of an environment ends with it, and a forked process closes what it inherited. This
        one lasts as long as arrays point into it. LMDB keeps a large value in one piece, behind a
        head that tells the number of its first page. Reading a value maps all of it: these pages
        are given back.
        """
        value = self.get(key)
        if value is None:
            return None
        data, page_size = np.frombuffer(value, np.uint8), self._env.stat()["psize"]
        address = data.ctypes.data
        if address % page_size == _VALUE_HEAD.size and struct.calcsize("P") == 8:
            number, _, flags, _ = _VALUE_HEAD.unpack(ctypes.string_at(address - _VALUE_HEAD.size, _VALUE_HEAD.size))
            start = number * page_size + _VALUE_HEAD.size
            begin = start - start % mmap.ALLOCATIONGRANULARITY
            if flags & _OWN_PAGES:
                with open(os.path.join(self._env.path(), "data.mdb"), "rb") as file:
                    own = mmap.mmap(file.fileno(), start - begin + len(data), access=mmap.ACCESS_READ, offset=begin)
                again = np.frombuffer(own, np.uint8)[start - begin :]
                if all(np.array_equal(again[part], data[part]) for part in (slice(64), slice(-64, None))):
                    forget_pages(address, len(data))
                    return again, own
        return data.copy(), None


def _unreadable(path: str, error: Exception) -> DataError:
    """Return the error for an LMDB that the system does not open."""
    are_many = os.strerror(errno.EMFILE) in str(error)
    advice = ". Let the process open more files, as by ulimit -n 8192: a store or shard takes two" if are_many else ""
    return DataError(f"{path}: not a readable LMDB ({error}){advice}")


def _check_header(path: str) -> None:
    """Refuse other files before liblmdb maps them: one below two meta pages would raise SIGBUS."""
    file = os.path.join(path, "data.mdb")
    with open(file, "rb") as data:
        header = data.read(_HEADER.size)
    if os.path.getsize(file) < 2 * _SMALLEST_PAGE or _HEADER.unpack(header)[0] != _MAGIC:
        advice = "Copy it again, or convert the images again"
        raise DataError(f"{path}: data.mdb is no LMDB file, or was cut short. {advice}")


def _contents(path: Path, environment: _Environment) -> Contents:
    meta = environment.get(META_KEY)
    if meta is not None:
        return _own_contents(path, json.loads(bytes(meta)), environment)
    if environment.get(PLAN_KEY) is not None:
        raise DataError(
            f"{path}: an unfinished conversion. Run the same convert_lmdb command again: it goes on where it stopped"
        )
    if (path / "meta_info.txt").is_file():
        return _basicsr_contents(path, environment.entries())
    raise DataError(
        f"{path}: an LMDB of another program (neither srtoolbox's __meta__ nor BasicSR's "
        "meta_info.txt in it), or BasicSR's conversion did not finish"
    )


def _own_contents(path: Path, meta: dict[str, Any], environment: _Environment) -> Contents:
    if meta.get("format") != FORMAT or meta.get("version") not in (1, VERSION) or meta.get("encoding") not in ENCODINGS:
        raise DataError(
            f"{path}: written in format {meta.get('format')!r}, version {meta.get('version')!r}, encoding "
            f"{meta.get('encoding')!r}; this srtoolbox reads {FORMAT!r}, versions 1 to {VERSION}, encodings {ENCODINGS}"
        )
    check_encoding(meta["encoding"], path)
    index, own, held = _own_index(path, meta, environment)
    if not meta["count"] == len(index.keys) == held:
        raise DataError(f"{path}: lists {meta['count']} images but holds {held}. Convert the images again")
    plan = meta.get("plan") or {}
    mark = Mark(Shard(*plan["shard"]), plan["whole"]) if "shard" in plan else None
    return Contents(meta["encoding"], index, meta["digest"], own, mark)


def _own_index(path: Path, meta: dict[str, Any], environment: _Environment) -> tuple[Index, mmap.mmap | None, int]:
    """Return the index, the map in which it lies, and the number of images that the LMDB holds."""
    if meta["version"] == 1:
        return index_of(records_of(meta["pictures"])), None, environment.entries() - 1
    mapped = environment.mapped(INDEX_KEY)
    try:
        if mapped is None:
            raise ValueError("it has no index")
        return from_bytes(meta["index"], mapped[0]), mapped[1], environment.entries() - 2
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}. Copy it or convert the images again") from error


def records_of(images: Mapping[str, Mapping[str, Any]]) -> dict[str, Record]:
    """Return the entries of images as a conversion keeps them until it is finished, as JSON."""
    return {
        key: Record(tuple(item["shape"]), item["dtype"], item["source"], item["sha256"], tuple(item["stamp"]))
        for key, item in images.items()
    }


def _basicsr_contents(path: Path, entries: int) -> Contents:
    """Read BasicSR's list, of lines such as `0001_s001.png (480,480,3) 1`."""
    text = (path / "meta_info.txt").read_text(encoding="utf-8")
    records = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        match = re.fullmatch(r"(.+) \((\d+), ?(\d+)(?:, ?(\d+))?\)(?: \d+)?", line)
        if match is None:
            raise DataError(
                f"{path / 'meta_info.txt'}:{number}: expected 'name.png (height,width,channels) level', got {line!r}"
            )
        name, height, width, channels = match.groups(default="1")
        shape = (int(height), int(width), 1 if int(channels) < 3 else 3)  # no alpha
        records[key_of(name)] = Record(shape, "uint8", name)
    if not records or len(records) != entries:
        raise DataError(
            f"{path}: meta_info.txt lists {counted(len(records), 'image')}, data.mdb holds {entries}. Make it again"
        )
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return Contents("png", index_of(records), digest)
