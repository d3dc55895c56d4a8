"""Bulk work in pieces: `--shard 3/8` is the third of eight calls that together are one run.

What the pieces must agree on lies in a folder beside the output, their record: how many they are
and their options (`pieces.json`), all items of the work, each with a stamp (`items.jsonl`), and
what each piece has done, a line for an item (`piece-3.jsonl`). The first piece writes the list of
items, each other one compares its own with it, so a folder that changed in between is found. A
piece that was killed goes on behind its last line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from srtoolbox.errors import OptionError, PieceError
from srtoolbox.io.files import append_bytes, prepare_folder, read_json, write_bytes, write_errors, write_json
from srtoolbox.system import FileLock, acquire_or_warn
from srtoolbox.text import counted

RECORD = ".pieces"
"""The usual name of a record's folder, which no command takes for images."""
_T = TypeVar("_T")
_HEAD = "pieces.json"
_PAUSE = 0.02  # seconds, while another piece writes or compares the list of items
# one for all lines: `dumps` makes one for each
_encode = json.JSONEncoder(separators=(",", ":")).encode
_LISTED = 5  # names in a message


@dataclass(frozen=True)
class Shard:
    """One piece of several: `number` goes from 1 to `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        """Return `piece 3 of 8`."""
        return f"piece {self.number} of {self.count}"

    @property
    def option(self) -> str:
        """The option by which a command does this piece, `--shard 3/8`."""
        return f"--shard {self.number}/{self.count}"

    def take(self, items: Sequence[_T]) -> list[_T]:
        """Return the items of this piece, every `count`-th: pieces differ by one item at most."""
        return list(items[self.number - 1 :: self.count])


def shard_of(value: str | Sequence[int]) -> Shard:
    """Return the shard that '3/8', or (3, 8), names. Raises OptionError where it names none."""
    words = value.split("/") if isinstance(value, str) else [str(number) for number in value]
    shown = value if isinstance(value, str) else "/".join(words)
    if len(words) != 2 or not all(word.isdecimal() and word.isascii() for word in words):
        raise OptionError(f"shard is I/N, such as 3/8 for the third of eight pieces, got {shown!r}")
    number, count = map(int, words)
    if count == 0:
        raise OptionError(f"shard {shown}: there is at least one piece: N, behind the slash, is 1 or more")
    if not 1 <= number <= count:
        raise OptionError(f"shard {shown}: pieces are counted from 1 to {count}, there is no piece {number}")
    return Shard(number, count)


def all_shards(count: int) -> list[Shard]:
    """Return all pieces of so many, in order."""
    return [Shard(number, count) for number in range(1, count + 1)]


def check_shard_options(shard: str | Sequence[int] | None, check_shards: int | None) -> Shard | None:
    """Return the piece to do, if one is named.

    Raises OptionError where both are asked for, or none can be.
    """
    if check_shards is not None and shard is not None:
        raise OptionError("check-shards looks at all pieces, shard does one of them: leave one of the two out")
    if check_shards is not None and check_shards < 1:
        raise OptionError(f"check-shards is the number of pieces, 1 or more, got {check_shards}")
    return None if shard is None else shard_of(shard)


def count_in(record: Path) -> int | None:
    """Return the number of the pieces that a record is of; None where there is none."""
    path = record / _HEAD
    return int(read_json(path)["count"]) if path.exists() else None


def stamp_of(path: str | os.PathLike) -> list[int] | None:
    """Return size and modification time (ns) of a file, by which a changed one is known.

    None without a file.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


class Journal:
    """The work that a piece has done: a JSON value by the name of an item, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: dict[str, Any] = _entries(path) or {}
        """Those of earlier calls too."""
        append_bytes(path, b"\n" if _is_torn(path) else b"")

    def add(self, name: str, value: object) -> None:
        """Keep what has become of an item: it survives a kill of this process."""
        append_bytes(self._path, _line(name, value))
        self.entries[name] = value


class Pieces:
    """The record of all pieces of one work.

    Args:
        folder: where it lies; made by the first piece.
        count: of pieces.
        options: what all pieces must have in common, JSON values by the names of options.
        items: all items of the work, in order, each with its stamp (`stamp_of`, or any JSON value:
            lists, no tuples). Their names are the same in all pieces, on machines too that see the
            folders elsewhere: so no item is named by its whole path.
    """

    def __init__(self, folder: Path, count: int, options: Mapping[str, Any], items: Mapping[str, Any]) -> None:
        self.folder, self.count = folder, count
        self._options: dict[str, Any] = json.loads(json.dumps(options))  # as it is read again
        self._items = items

    @contextlib.contextmanager
    def begin(self, shard: Shard) -> Iterator[Journal]:
        """Do a piece, or go on with it: yield its journal, and keep other processes from it.

        Raises:
            PieceError: the pieces are of another number, or have other options or items; or another
                process does this one.
            WriteError: the record cannot be written.
        """
        listing = self._listing()
        with write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._lock(f"piece-{shard.number}.lock")
        with self._alone():
            if not acquire_or_warn(lock, "see that no piece runs twice at a time"):
                raise PieceError(f"{self.folder}: {shard} is being done by another process")
            try:
                self._agree(listing)
            except BaseException:
                lock.release(remove=True)
                raise
        try:
            yield Journal(self._journal(shard))
        finally:
            lock.release(remove=True)

    def check(self) -> None:
        """Compare number, options and items with those of the record. Raises PieceError."""
        if not (self.folder / _HEAD).exists():
            raise PieceError(
                f"{self.folder}: no pieces have been begun: run them first, from "
                f"{Shard(1, self.count).option} to {Shard(self.count, self.count).option}"
            )
        self._agree(self._listing())

    def shards(self) -> list[Shard]:
        """Return all pieces."""
        return all_shards(self.count)

    def entries(self, shards: Iterable[Shard] | None = None) -> dict[str, Any]:
        """Return what all or some pieces have done, by the names of items."""
        journals = (_entries(self._journal(shard)) or {} for shard in shards or self.shards())
        return {name: value for journal in journals for name, value in journal.items()}

    def unfinished(self, names: Callable[[Shard], Iterable[str]]) -> list[str]:
        """Return a sentence for each piece that has something left to do.

        `names` tells its items.
        """
        sentences = []
        for shard in self.shards():
            entries, all_names = _entries(self._journal(shard)), list(names(shard))
            done = sum(name in (entries or ()) for name in all_names)
            if entries is not None and done == len(all_names):
                continue
            progress = f"{done} of {counted(len(all_names), 'image')} done"
            if self.is_at_work(shard):
                sentences.append(f"{shard} is at work: {progress}")
            else:
                state = "has not begun" if entries is None else "has stopped"
                sentences.append(f"{shard} {state}: {progress}; run {shard.option}")
        return sentences

    def is_at_work(self, shard: Shard) -> bool:
        """True if some process is doing the piece."""
        lock = self._lock(f"piece-{shard.number}.lock")
        with self._alone():  # no piece begins while its lock is tried
            is_free = acquire_or_warn(lock, "who is at work is not known")
            lock.release(remove=True)
        return not is_free

    def remove(self) -> None:
        """Delete the record, when one result has been made of all pieces."""
        shutil.rmtree(self.folder)

    def _listing(self) -> bytes:
        """Return the list of items as bytes; made before others have to wait."""
        return b"".join(_line(name, stamp) for name, stamp in self._items.items())

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / name)

    def _journal(self, shard: Shard) -> Path:
        return self.folder / f"piece-{shard.number}.jsonl"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other piece writes the list of items, or compares its own with it."""
        lock = self._lock("list.lock")
        with write_errors(lock.path):
            while not acquire_or_warn(lock, "begin the first piece before the others"):
                time.sleep(_PAUSE)
        try:
            yield
        finally:
            lock.release(remove=True)

    def _agree(self, listing: bytes) -> None:
        digest = hashlib.sha256(listing).hexdigest()
        known, path = self.folder / _HEAD, self.folder / "items.jsonl"
        if not known.exists():
            prepare_folder(self.folder)
            write_bytes(path, listing)
            write_json(known, {"count": self.count, "options": self._options, "digest": digest})
            return
        record = read_json(known)
        anew = f"or remove {self.folder} and run all pieces again"
        if record["count"] != self.count:
            advice = f"give --shard I/{record['count']}, {anew}"
            raise PieceError(f"{self.folder}: of {record['count']} pieces, not of {self.count}: {advice}")
        for name, value in self._options.items():
            if record["options"].get(name) != value:
                both = f"with {name} {_shown(record['options'].get(name))}, this call has {_shown(value)}"
                advice = f"all pieces take the same options; give these, {anew}"
                raise PieceError(f"{self.folder}: its pieces were begun {both}: {advice}")
        if record["digest"] != digest:
            changes = _changes(_entries(path) or {}, self._items)
            advice = f"all pieces take the same images; put them back, {anew}"
            raise PieceError(f"{self.folder}: the images have changed since its pieces were begun: {changes}: {advice}")


def _line(name: str, value: object) -> bytes:
    return _encode([name, value]).encode("ascii") + b"\n"  # any name, UTF-8 or not


def _is_torn(path: Path) -> bool:
    """True if the last line of a file has no end, as after a power loss."""
    try:
        with open(path, "rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _entries(path: Path) -> dict[str, Any] | None:
    """Return the values of a file of lines by their names, of each the last.

    None without the file.
    """
    entries: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):  # torn by a power loss
                    name, value = json.loads(line)
                    entries[name] = value
    except FileNotFoundError:
        return None
    return entries


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what came, went and changed."""
    kinds = {
        "came": [name for name in after if name not in before],
        "went": [name for name in before if name not in after],
        "changed": [name for name in after if name in before and before[name] != after[name]],
    }
    texts = []
    for kind, names in kinds.items():
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            texts.append(f"{', '.join(names[:_LISTED])}{more} {kind}")
    return "; ".join(texts) or "their order is another one"


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
