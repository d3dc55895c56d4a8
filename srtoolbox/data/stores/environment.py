"""LMDBs as they are opened: once for each real path and process, for all that read it there."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import threading
from pathlib import Path
from typing import ClassVar

import lmdb
import numpy as np

from srtoolbox.errors import DataError
from srtoolbox.system import forget_pages

_HEADER = struct.Struct("<16xI")  # page header, then the magic number
_MAGIC = 0xBEEFC0DE
_SMALLEST_PAGE = 4096
_VALUE_HEAD = struct.Struct("<QHHI")  # of a value's own pages: number of the first, -, flags, pages
_OWN_PAGES = 0x04
_memory = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_READ_ONLY = 0x100


def is_lmdb(path: Path) -> bool:
    """True if `path` is a folder with an LMDB in it."""
    return (path / "data.mdb").exists()


def memory_at(address: int, size: int) -> memoryview:
    """Return a view of a map, which can only be read, and only as long as the map is open."""
    view: memoryview = _memory(address, size, _READ_ONLY)
    return view


class Environment:
    """The one open LMDB environment per (real path, process), with its one read transaction.

    lmdb opens a path once in a process, and no environment may be used after a fork, so the table
    is by process id, and a child closes what it inherited before it opens its own. That cannot
    disturb the parent: without a lock file the two share nothing but the file.
    """

    _open: ClassVar[dict[tuple[str, int], Environment]] = {}

    def __init__(self, path: str) -> None:
        self.users: set[int] = set()  # stores whose arrays point into the map
        _check_header(path)
        try:
            # A finished store is never written again: no lock. Crops touch few pages: no read-ahead.
            self._env = lmdb.open(path, readonly=True, lock=False, readahead=False, create=False)
            needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        except lmdb.Error as error:
            raise unreadable(path, error) from error
        size = os.path.getsize(os.path.join(path, "data.mdb"))
        if size < needed:  # reading past the end would kill the process with SIGBUS
            self._env.close()
            raise DataError(
                f"{path}: cut short: data.mdb has {size} of {needed} bytes. Copy it or convert the images again"
            )
        self._txn = self._env.begin(buffers=True)
        self._lock = threading.Lock()  # a transaction is for one thread at a time

    @classmethod
    def of(cls, path: str) -> Environment:
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


def unreadable(path: str, error: Exception) -> DataError:
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
