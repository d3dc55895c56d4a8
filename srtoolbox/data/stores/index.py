"""The index of a store: what is known of every image beside its pixels, as columns of fixed width.

A column is an array with an entry for each image, in the order of the keys; texts of any length lie
end to end in a column of bytes, beside one of the places where they begin. Nothing is parsed: an
LMDB of a million images is opened by mapping its columns, and looked at by whole columns.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from srtoolbox.data.stores.base import Places, Shape

_ALIGNED = 8  # each column begins at a multiple of so many bytes
_CHUNK = 4096  # names decoded at a time
_BLOCK = 1 << 16  # entries of columns that are looked at together
_HASH_BYTES = 32


class Names(Sequence[str]):
    """Names by number: a sequence that is never a list of a million strings.

    `name(i)` returns the i-th of `count`, i >= 0. Equal to any sequence of the same names.
    """

    def __init__(self, count: int, name: Callable[[int], str]) -> None:
        self._count, self._name = count, name

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        places = range(self._count)[place]
        if isinstance(places, int):
            return self._name(places)
        return Names(len(places), lambda number: self._name(places[number]))

    def packed(self) -> Texts | None:
        """Return the same names end to end, if that takes no look at each; else None."""
        return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        if isinstance(other, Names) and len(self) == len(other):
            mine, others = self.packed(), other.packed()
            if mine is not None and others is not None and mine.bounds[0] == others.bounds[0] == 0:
                end = int(mine.bounds[-1])  # a slice has the bytes of all
                return _are_equal(mine.bounds, others.bounds) and _are_equal(mine.data[:end], others.data[:end])
        return len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return repr(list(self)) if len(self) <= 10 else f"[{', '.join(map(repr, self[:3]))}, ... {len(self)} in all]"


class Texts(Names):
    """Texts that lie end to end as UTF-8.

    `bounds` (n + 1,) are the places in `data` (bytes, uint8) where they begin, and the last ends.
    """

    def __init__(self, bounds: np.ndarray, data: np.ndarray) -> None:
        super().__init__(len(bounds) - 1, self._text)
        self.bounds, self.data = bounds, data

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        parts = [text.encode("utf-8", "surrogateescape") for text in texts]
        total = sum(map(len, parts))
        bounds = np.zeros(len(parts) + 1, "<u4" if total < 1 << 32 else "<u8")
        np.cumsum([len(part) for part in parts], out=bounds[1:])
        return cls(bounds, np.frombuffer(b"".join(parts), np.uint8))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Return the texts of all parts, one after another."""
        data = [part.data[part.bounds[0] : part.bounds[-1]] for part in parts]
        starts = [0, *itertools.accumulate(map(len, data))]
        kind = "<u4" if starts[-1] < 1 << 32 else "<u8"
        ends = [
            part.bounds[1:].astype(np.int64) + (start - int(part.bounds[0]))
            for part, start in zip(parts, starts, strict=False)
        ]
        bounds = np.concatenate([np.zeros(1, kind), *ends], dtype=kind, casting="unsafe")
        return cls(bounds, np.concatenate([np.empty(0, np.uint8), *data]))

    def order(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the texts as sorted, and the first of each two equal ones."""
        rows, _ = self.padded()
        lines = rows.view(f"S{rows.shape[1]}")[:, 0]
        order = np.argsort(lines, kind="stable").astype(np.uint32)
        lines = lines[order]
        return order, order[:-1][lines[1:] == lines[:-1]]

    def at(self, order: np.ndarray) -> Texts:
        """Return the texts of some numbers."""
        rows, lengths = (each[order] for each in self.padded())
        bounds = np.zeros(len(order) + 1, self.bounds.dtype)
        np.cumsum(lengths, out=bounds[1:])
        return Texts(bounds, rows[np.arange(rows.shape[1]) < lengths[:, None]])

    def packed(self) -> Texts:
        return self

    def encoded(self, place: int) -> bytes:
        """Return the text of a number as UTF-8."""
        return self.data[self.bounds[place] : self.bounds[place + 1]].tobytes()

    def find(self, text: str) -> int | None:
        """Return the number of a text, or None; the texts are sorted."""
        wanted = text.encode("utf-8", "surrogateescape")
        place = bisect.bisect_left(range(len(self)), wanted, key=self.encoded)
        return place if place < len(self) and self.encoded(place) == wanted else None

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the texts as rows of bytes (n, longest), filled with 0, and their lengths (n,)."""
        lengths = np.diff(self.bounds.astype(np.int64))
        rows = np.zeros((len(self), max(1, int(lengths.max(initial=0)))), np.uint8)
        rows[np.arange(rows.shape[1]) < lengths[:, None]] = self.data[self.bounds[0] : self.bounds[-1]]
        return rows, lengths

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice) and place.step in (None, 1):
            places = range(len(self))[place]
            return Texts(self.bounds[places.start : max(places.start, places.stop) + 1], self.data)
        if isinstance(place, int) and 0 <= place < len(self):  # the usual case, without detours
            return self._text(place)
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            bounds = self.bounds[start : start + _CHUNK + 1].tolist()
            data = self.data[bounds[0] : bounds[-1]].tobytes()
            for begin, end in itertools.pairwise(bounds):
                yield data[begin - bounds[0] : end - bounds[0]].decode("utf-8", "surrogateescape")

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text in iter(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Texts, (self.bounds, self.data)

    def _text(self, place: int) -> str:
        return self.encoded(place).decode("utf-8", "surrogateescape")


class Record(NamedTuple):
    """The entry of one image, as its conversion noted it.

    `sha256` is of the value, in hexadecimal digits, and `stamp` of its files; '' and () of a store
    of another program.
    """

    shape: Shape
    dtype: str
    source: str
    sha256: str = ""
    stamp: tuple[int, ...] = ()


class Index(NamedTuple):
    """The columns of all images of a store, sorted by key; read-only.

    `dtypes` are numbers of `kinds`; `hashes` (n, 32 or 0) and `stamps` (n, k) as in `Record`.
    """

    keys: Texts
    sources: Texts
    heights: np.ndarray
    widths: np.ndarray
    channels: np.ndarray
    dtypes: np.ndarray
    kinds: tuple[str, ...]
    hashes: np.ndarray
    stamps: np.ndarray

    def shape(self, place: int) -> Shape:
        return self.heights.item(place), self.widths.item(place), self.channels.item(place)

    def shapes(self, places: Places) -> np.ndarray:
        """Return the shapes (n, 3) of some images, column by column in memory."""
        shapes = np.empty((3, len(places)), np.int32)
        for target, column in zip(shapes, (self.heights, self.widths, self.channels), strict=True):
            target[:] = entries_at(column, places)
        return shapes.T

    def dtype(self, place: int) -> str:
        return self.kinds[self.dtypes.item(place)]

    def sha256(self, place: int) -> str:
        return self.hashes[place].tobytes().hex()

    def record(self, place: int) -> Record:
        stamp = tuple(self.stamps[place].tolist())
        return Record(self.shape(place), self.dtype(place), self.sources[place], self.sha256(place), stamp)

    def records(self) -> dict[str, Record]:
        """Return the entries of all images by key, for a conversion that goes on."""
        rows = zip(self.keys, self.sources, self.stamps.tolist(), strict=True)
        return {
            key: Record(self.shape(n), self.dtype(n), source, self.sha256(n), tuple(stamp))
            for n, (key, source, stamp) in enumerate(rows)
        }


def blocks(count: int) -> Iterator[slice]:
    """Yield slices of some ten thousand, `count` in all: looking at all takes no more memory."""
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def _are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) == len(other) and all(np.array_equal(one[b], other[b]) for b in blocks(len(one)))


def entries_at(column: np.ndarray, places: Places) -> np.ndarray:
    """Return the entries of a column at some places: a view where they are in a row."""
    if isinstance(places, range) and places.step == 1:
        return column[places.start : max(places.start, places.stop)]
    return column[np.asarray(places)]


def index_of(records: Mapping[str, Record]) -> Index:
    """Return the index of images, in the order of their keys."""
    items = [records[key] for key in sorted(records)]
    kinds = tuple(sorted({item.dtype for item in items}))
    hashes = np.frombuffer(bytes.fromhex("".join(item.sha256 for item in items)), np.uint8)
    return Index(
        keys=Texts.of(sorted(records)),
        sources=Texts.of(item.source for item in items),
        heights=np.array([item.shape[0] for item in items], "<u4"),
        widths=np.array([item.shape[1] for item in items], "<u4"),
        channels=np.array([item.shape[2] for item in items], "u1"),
        dtypes=np.array([kinds.index(item.dtype) for item in items], "u1"),
        kinds=kinds,
        hashes=hashes.reshape(len(items), -1) if len(items) else hashes.reshape(0, _HASH_BYTES),
        stamps=np.array([item.stamp for item in items], "<i8").reshape(len(items), -1 if items else 0),
    )


# ---- as bytes


def to_bytes(index: Index) -> tuple[dict[str, Any], bytes]:
    """Return the layout of an index (JSON: dtype, shape and place of each column) and its bytes."""
    layout: dict[str, Any] = {"kinds": list(index.kinds)}
    parts: list[bytes] = []
    place = 0
    for name, column in _columns(index).items():
        data = np.ascontiguousarray(column).tobytes()
        layout[name] = [column.dtype.str, list(column.shape), place]
        parts += [data, bytes(-len(data) % _ALIGNED)]
        place += len(data) + -len(data) % _ALIGNED
    return {**layout, "bytes": place}, b"".join(parts)


def from_bytes(layout: Mapping[str, Any], data: np.ndarray) -> Index:
    """Return the index in bytes (uint8), as views.

    Raises ValueError where the layout is another.
    """
    if len(data) != layout["bytes"]:
        raise ValueError(f"its index has {len(data)} of {layout['bytes']} bytes")

    def column(name: str) -> np.ndarray:
        kind, shape, place = layout[name]
        size = np.dtype(kind).itemsize * int(np.prod(shape, dtype=np.int64))
        return data[place : place + size].view(kind).reshape(shape)

    index = Index(
        keys=Texts(column("keys_bounds"), column("keys")),
        sources=Texts(column("sources_bounds"), column("sources")),
        heights=column("heights"),
        widths=column("widths"),
        channels=column("channels"),
        dtypes=column("dtypes"),
        kinds=tuple(layout["kinds"]),
        hashes=column("hashes"),
        stamps=column("stamps"),
    )
    lengths = {len(each) for name, each in index._asdict().items() if name != "kinds"}
    if len(lengths) != 1 or any(text.bounds[-1] != len(text.data) for text in (index.keys, index.sources)):
        raise ValueError("the columns of its index differ in length")
    return index


def _columns(index: Index) -> dict[str, np.ndarray]:
    columns = {name: column for name, column in index._asdict().items() if isinstance(column, np.ndarray)}
    for name, texts in (("keys", index.keys), ("sources", index.sources)):
        columns |= {f"{name}_bounds": texts.bounds, name: texts.data}
    return columns
