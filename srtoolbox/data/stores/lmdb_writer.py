"""Writer of LMDB stores. A kill costs little at any moment, and leaves none that looks finished.

Images are committed in transactions of some tens of MB, each with a record of what it holds. A
rerun checks the values against their sha256, and goes on with what is missing. The description of
the store, `__meta__` and `__index__`, without which `LmdbStore` refuses it, is written last, in the
transaction that removes those records. What ends up in a store, and its digest, follows from the
images alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import numpy as np

from srtoolbox import system
from srtoolbox.data.stores.base import Shape, missing
from srtoolbox.data.stores.environment import is_lmdb
from srtoolbox.data.stores.index import Index, from_bytes, index_of, to_bytes
from srtoolbox.data.stores.lmdb_contents import (
    FORMAT,
    INDEX_KEY,
    MAX_KEY_BYTES,
    META_KEY,
    PLAN_KEY,
    VERSION,
    records_of,
)
from srtoolbox.errors import DataError, WriteError
from srtoolbox.io.files import shorten, sync_folder
from srtoolbox.system import FileLock, acquire_or_warn

COMMIT_BYTES = 64 << 20
FIRST_MAP = 1 << 26 if system.IS_WINDOWS else 1 << 30  # Windows gives the file this size at once
LOCK_NAME = "writer.lock"
_PART_KEY = b"__part__"
_PLAN_VERSION = 1  # of what a plan and its parts look like
_FULL_ON_WINDOWS = "not enough space"
_SHORT_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # EIO: a part


class Value(NamedTuple):
    """One image ready to be stored.

    `stamp`: size and modification time of the files it came from; changed ones are converted anew.
    """

    key: str
    data: memoryview
    shape: Shape
    dtype: str
    source: str
    sha256: str
    stamp: tuple[int, ...]


class LmdbWriter:
    """One store being written, which goes on from an interrupted writer of the same plan.

    Args:
        path: the store's folder; made if need be.
        plan: sources and settings, as JSON values; a partial store of another plan is begun anew.
        keys: all keys of the finished store.
        map_size: first size of LMDB's map in bytes; it grows as needed. None: by the system.

    `records` are of the images that are stored already, by key; `complete` is True if the store is
    finished, to this very plan, and `digest` is of its contents.

    Raises:
        DataError: the folder holds another finished store or another program's LMDB, another
            process is writing it, a key cannot be stored, or the folder cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike, plan: Mapping[str, Any], keys: Iterable[str], *, map_size: int | None = None
    ) -> None:
        self.path = Path(path)
        self._plan = {"format": FORMAT, "version": _PLAN_VERSION, **plan}
        self._keys = set(keys)
        _check_keys(self.path, self._keys)
        self._lock = FileLock(self.path / LOCK_NAME)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _acquire(self._lock)
            self._env = lmdb.open(
                os.path.realpath(self.path), map_size=map_size or FIRST_MAP, readahead=False, meminit=False
            )
        except (OSError, lmdb.Error) as error:
            self._lock.release(remove=True)
            raise DataError(_fault(self.path, error)) from error
        self._parts = 0
        self.complete, self.digest = False, ""
        self.records: dict[str, dict[str, Any]] = {}
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    def add(self, values: Sequence[Value]) -> None:
        """Store images in one transaction: all of them or, if the process dies, none."""
        part = {
            value.key: {
                "shape": list(value.shape),
                "dtype": value.dtype,
                "source": value.source,
                "sha256": value.sha256,
                "stamp": list(value.stamp),
            }
            for value in values
        }
        entries: list[tuple[bytes, bytes | memoryview]] = [(value.key.encode(), value.data) for value in values]
        entries.append((_PART_KEY + b"%08d" % self._parts, _to_json(part)))
        self._write(entries)
        self._parts += 1
        self.records.update(part)

    def finish(self) -> str:
        """Write `__meta__` and `__index__`, which make the store complete. Returns its digest."""
        missing = self._keys - self.records.keys()
        assert not missing, f"{len(missing)} images were never added"
        images = dict(sorted(self.records.items()))
        lines = [f"{key}\t{item['shape']}\t{item['dtype']}\t{item['sha256']}\n" for key, item in images.items()]
        digest = hashlib.sha256("".join([self._plan["encoding"], "\n", *lines]).encode("utf-8")).hexdigest()
        layout, index = to_bytes(index_of(records_of(images)))
        meta = {**self._plan, "version": VERSION, "plan": self._plan}
        meta |= {"count": len(images), "digest": digest, "index": layout}
        entries = [(INDEX_KEY, index), (META_KEY, _to_json(meta))]
        self._write(entries, delete=[PLAN_KEY, *self._part_keys()])
        try:
            for folder in (self.path, self.path.parent):  # LMDB flushes its file alone
                sync_folder(folder)
        except OSError as error:
            raise DataError(_fault(self.path, error)) from error
        self.digest, self.complete = digest, True
        return digest

    def close(self) -> None:
        """Release the store. Without `finish` before, it stays unfinished, to be taken up later."""
        used = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        self._env.close()
        with contextlib.suppress(WriteError):  # somebody reads it
            shorten(self.path / "data.mdb", used)  # Windows has given it the size of the map
        self._lock.release(remove=True)

    def _take_up(self) -> None:
        with self._env.begin() as txn:
            meta, plan, entries = txn.get(META_KEY), txn.get(PLAN_KEY), txn.stat()["entries"]
            index = txn.get(INDEX_KEY)
        if meta is not None:
            meta = json.loads(meta)
            images = (
                meta["pictures"]
                if index is None
                else _as_json(from_bytes(meta["index"], np.frombuffer(index, np.uint8)))
            )
            if meta.get("plan") != self._plan or images.keys() != self._keys:
                raise DataError(
                    f"{self.path}: holds another finished store of {meta.get('count')} images, which "
                    "is not touched. Choose another name, or have it replaced (--overwrite)"
                )
            self.records, self.digest, self.complete = images, meta["digest"], True
        elif plan is not None and json.loads(plan) == self._plan:
            self._take_up_parts()
        elif plan is not None or entries == 0:  # begin anew
            with self._env.begin() as txn:
                keys = list(txn.cursor().iternext(keys=True, values=False))
            others = [key for key in keys if key != PLAN_KEY]
            self._write([(PLAN_KEY, _to_json(self._plan))], delete=others)
        else:
            raise DataError(f"{self.path}: holds an LMDB of another program, which is not touched. Choose another name")

    def _take_up_parts(self) -> None:
        """Keep planned images that are whole; damaged ones, and those of no plan, are deleted."""
        records: dict[str, dict[str, Any]] = {}
        with self._env.begin(buffers=True) as txn:
            for part in self._part_keys():
                records.update(json.loads(bytes(txn.get(part) or b"")))
            planned = records.keys() & self._keys
            values = {key: txn.get(key.encode()) or b"" for key in planned}
            hashes = {key: hashlib.sha256(value).hexdigest() for key, value in values.items()}
            good = {key for key in planned if hashes[key] == records[key]["sha256"]}
        self.records = {key: records[key] for key in good}
        spoilt = [key.encode() for key in records.keys() - good]
        kept = (_PART_KEY + b"%08d" % 0, _to_json(self.records))
        self._write([kept], delete=[*self._part_keys()[1:], *spoilt])
        self._parts = 1

    def _part_keys(self) -> list[bytes]:
        with self._env.begin() as txn:
            cursor = txn.cursor()
            has_parts = cursor.set_range(_PART_KEY)
            keys = cursor.iternext(keys=True, values=False) if has_parts else ()
            return [key for key in keys if key.startswith(_PART_KEY)]

    def _write(self, entries: Sequence[tuple[bytes, bytes | memoryview]], delete: Sequence[bytes] = ()) -> None:
        """One transaction; the map is enlarged and the transaction repeated until it fits."""
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    for key in delete:
                        txn.delete(key)
                    for key, value in entries:
                        txn.put(key, value)
                return
            except lmdb.MapFullError:
                size = self._env.info()["map_size"] + sum(len(value) + 8192 for _, value in entries)
            except lmdb.Error as error:
                raise DataError(_fault(self.path, error)) from error
            try:
                self._env.set_mapsize(size + size // 4 if system.IS_WINDOWS else 2 * size)
            except lmdb.Error as error:
                raise DataError(_fault(self.path, error)) from error


def write_index(path: str | os.PathLike) -> bool:
    """Give a finished store of an earlier version the index that is mapped; False if it has one.

    One transaction: a store that is read meanwhile stays as its readers know it, and whatever
    happens on the way leaves the store as it was. Contents and digest do not change.

    Raises DataError if it is unfinished, damaged, another program's, or being written.
    """
    if not is_lmdb(Path(path)):
        raise missing(path, "no such LMDB (no data.mdb in it)")
    try:
        with lmdb.open(os.path.realpath(path), readonly=True, lock=False) as env, env.begin() as txn:
            data = txn.get(META_KEY)
    except lmdb.Error as error:
        raise DataError(_fault(Path(path), error)) from error
    meta = {} if data is None else json.loads(data)
    if meta.get("format") != FORMAT or meta.get("version") not in (1, VERSION):
        raise DataError(f"{path}: no finished store of srtoolbox, so it gets no index")
    if meta["version"] == VERSION:
        return False
    with contextlib.closing(LmdbWriter(path, meta["plan"], meta["pictures"])) as writer:
        writer.finish()
    return True


def remove_store(path: str | os.PathLike) -> None:
    """Delete the LMDB at `path`, if there is one; nothing else in the folder is touched.

    Raises DataError if it is damaged, another program's, or being written (on Windows: or read).
    """
    if not is_lmdb(Path(path)):
        return
    lock = FileLock(Path(path) / LOCK_NAME)
    try:
        _acquire(lock)
        _remove(path)
    except OSError as error:  # Windows removes nothing that somebody reads
        raise DataError(
            f"{path}: cannot be replaced ({error.strerror}): close what reads it, or choose another name"
        ) from error
    finally:
        lock.release(remove=True)


def _remove(path: str | os.PathLike) -> None:
    try:
        with lmdb.open(os.path.realpath(path), readonly=True, lock=False) as env, env.begin() as txn:
            is_empty = txn.stat()["entries"] == 0
            is_ours = is_empty or any(txn.get(key) is not None for key in (META_KEY, PLAN_KEY))
    except lmdb.Error as error:
        raise DataError(f"{Path(path, 'data.mdb')}: is damaged ({error}). Delete it, or choose another name") from error
    if not is_ours:
        raise DataError(f"{path}: holds an LMDB of another program, which is not overwritten. Choose another name")
    for name in ("data.mdb", "lock.mdb"):
        Path(path, name).unlink(missing_ok=True)


def _acquire(lock: FileLock) -> None:
    """Keep other processes from writing into the lock's folder. Raises DataError where one does."""
    if not acquire_or_warn(lock, "see that nobody else writes it"):
        raise DataError(
            f"{lock.path.parent}: another process is converting into it. Wait for it, or choose another name"
        )


def _fault(path: Path, error: Exception) -> str:
    if "already open in this process" in str(error):
        return f"{path}: this process is reading it; close the stores that do, or convert in another process"
    signs = (_FULL_ON_WINDOWS, *map(os.strerror, _SHORT_WRITES))
    if isinstance(error, OSError) or not any(sign in str(error) for sign in signs):
        return f"{path}: cannot be written ({error})"
    free = shutil.disk_usage(path).free / 2**20
    return (
        f"{path}: {'disk full' if free < 2 * COMMIT_BYTES / 2**20 else 'the disk is full or failing'} "
        f"({free:.1f} MiB free). Free some space and run the same command again: it goes on where it stopped"
    )


def _as_json(index: Index) -> dict[str, dict[str, Any]]:
    """Return the entries of images as `LmdbWriter.records` has them."""
    entries = {key: record._asdict() for key, record in index.records().items()}
    return {
        key: {**entry, "shape": list(entry["shape"]), "stamp": list(entry["stamp"])} for key, entry in entries.items()
    }


def _to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _check_keys(path: Path, keys: Iterable[str]) -> None:
    faults = []
    for key in sorted(keys):
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            faults.append(f"  {key!r}: the name is not valid UTF-8")
            continue
        if size > MAX_KEY_BYTES:
            faults.append(f"  {key!r}: {size} bytes long; LMDB takes {MAX_KEY_BYTES}")
        elif key.startswith("__"):
            faults.append(f"  {key!r}: names that begin with two underscores are the store's own")
    if faults:
        raise DataError("\n".join([f"{path}: these images cannot be stored under their names; rename them:", *faults]))
