"""Image data sets of the Hugging Face hub as stores, by the package `datasets` (extra `hub`).

A path `hub://eugenesiow/Set5?config=bicubic_x4&split=validation&column=hr` stands wherever a
store's path does. After `hub://` comes a data set of the hub, or a folder: what `save_to_disk`
wrote, or a copy of a data set's repository (parquet files). A column holds features of kind Image,
bytes, or paths of files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import numpy as np

from srtoolbox.data.stores.base import Shape, key_of
from srtoolbox.data.stores.folder import CACHE_BYTES, DecodingStore
from srtoolbox.errors import DataError, MissingDataError
from srtoolbox.image import image_shape, read_image
from srtoolbox.image.file_types import read_suffixes
from srtoolbox.image.reading import decode_image, decoded_shape
from srtoolbox.text import did_you_mean

SCHEME = "hub://"
_OPTIONS = ("column", "split", "config")
_FILES = ("*.parquet", "*.arrow")


class Place(NamedTuple):
    """A `hub://` path in parts."""

    path: str
    column: str | None = None
    split: str | None = None
    config: str | None = None


class HubStore(DecodingStore):
    """One column of a data set as a store. Nothing but the images asked for is decoded.

    Keys are the file names of the first column that has some, without suffix, or the numbers of the
    rows; they are the same for all columns, so that `hr` and `lr` of one data set are a pair.

    In `hub://NAME_OR_FOLDER?column=...&split=...&config=...` an only one may be left out.

    Raises:
        MissingDataError: no such data set, or it cannot be reached.
        DataError: the package, a column, split or config is missing, or must be chosen.
    """

    def __init__(self, path: str, *, cache_bytes: int = CACHE_BYTES) -> None:
        place = parse(path)
        library = _library(path)
        rows = _loaded(library, path, place)
        if not isinstance(rows, library.Dataset):
            rows = rows[_choose(path, "split", place.split, list(rows))]
        columns = [name for name in rows.features if _is_image(library, rows, name)]
        self._column = _choose(path, "column", place.column, columns)
        self._folder = Path(place.path)
        for name in columns:
            if isinstance(rows.features[name], library.Image):
                rows = rows.cast_column(name, library.Image(decode=False))
        self._digest = _digest(rows, self._column, path)
        names = next((found for name in columns if (found := _names(rows, name))), None)
        keys = names or [f"{number:06}" for number in range(len(rows))]
        self._rows = {key: number for number, key in enumerate(keys)}
        super().__init__(path, self._rows, cache_bytes)
        self._table = rows.select_columns([self._column])

    def _find_shape(self, key: str) -> Shape:
        value, source = self._value(key), self.source(key)
        return image_shape(value) if isinstance(value, Path) else decoded_shape(value, source)

    def _decode(self, key: str) -> np.ndarray:
        value, source = self._value(key), self.source(key)
        return read_image(value) if isinstance(value, Path) else decode_image(value, source)

    def source(self, key: str) -> str:
        if key not in self._rows:
            raise DataError(f"{self.path}: has no image {key!r}")
        return f"{self.path}:{key}"

    def digest(self) -> str:
        return self._digest

    def _value(self, key: str) -> bytes | Path:
        """Return the encoded file, or its path."""
        source = self.source(key)
        value = self._table[self._rows[key]][self._column]
        if isinstance(value, dict):
            value = value["bytes"] if value.get("bytes") is not None else value.get("path")
        if value is None:
            raise DataError(f"{source}: the data set has no image here")
        if isinstance(value, bytes):
            return value
        near = self._folder / value
        return near if near.is_file() else Path(value)


def is_hub(path: str | os.PathLike) -> bool:
    """True if a store's path is one of `HubStore`'s."""
    return os.fspath(path).startswith(SCHEME)


def parse(path: str) -> Place:
    """Return the parts of a `hub://` path. Raises DataError without a name, for unknown options."""
    name, _, query = path.removeprefix(SCHEME).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [option for option in options if option not in _OPTIONS]
    if not name or unknown or not all(options.values()):
        hint = did_you_mean(unknown[0], _OPTIONS) if unknown else ""
        raise DataError(
            f"{path}: is written as hub://NAME_OR_FOLDER?column=hr&split=validation&config=bicubic_x4 "
            f"(each of these may be left out){'; no option ' + unknown[0] + '.' + hint if unknown else ''}"
        )
    return Place(name, **options)


def holds_dataset(folder: Path) -> bool:
    """True if a folder holds a data set's files, which can be opened as `hub://FOLDER`."""
    return any(True for pattern in _FILES for _ in folder.rglob(pattern))


class _Rows(Protocol):
    """A table of the library, a `datasets.Dataset`."""

    @property
    def features(self) -> Mapping[str, object]:
        """The types of the columns."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Mapping[str, object]: ...

    def select_columns(self, columns: list[str]) -> _Rows:
        """Return the table of some columns."""

    def with_format(self, name: str) -> _Rows:
        """Return the table with values of another kind, such as 'arrow'."""

    def iter(self, rows: int) -> Iterator[Any]:
        """Yield so many rows at a time."""


def _library(path: str) -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{path}: needs the package datasets: pip install 'srtoolbox[hub]' ({error})") from error
    datasets.disable_progress_bars()
    return datasets


def _loaded(library: ModuleType, path: str, place: Place) -> Any:  # noqa: ANN401 - a Dataset(Dict)
    folder = Path(place.path)
    saved = any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))
    if not folder.is_dir() and (folder.is_absolute() or len(folder.parts) > 2 or place.path.startswith(".")):
        raise MissingDataError(f"{path}: no such folder", path)
    try:
        if saved:
            return library.load_from_disk(place.path)
        return library.load_dataset(place.path, name=place.config, split=None)
    except Exception as error:  # the library and what it stands on raise errors of many kinds
        reason = str(error).strip().replace("\n", " ")[:400] or type(error).__name__
        if folder.is_dir() or "config name" in reason.lower() or "builderconfig" in reason.lower():
            raise DataError(f"{path}: cannot be opened: {reason}") from error
        raise MissingDataError(
            f"{path}: neither a folder nor a data set that can be had from the hub ({reason}). "
            "Without a network, copy the data set's folder here, or save it where there is one "
            "(dataset.save_to_disk(FOLDER)), and name the folder: hub://FOLDER",
            path,
        ) from error


def _choose(path: str, kind: str, name: str | None, names: Sequence[str]) -> str:
    """Return the one that is named, or the only one there is."""
    listed = ", ".join(names)
    if name is not None and name in names:
        return name
    if not names:
        raise DataError(f"{path}: has no {kind} of images")
    if name is not None:
        raise DataError(f"{path}: no {kind} {name!r} of images; there is {listed}.{did_you_mean(name, names)}")
    if len(names) == 1:
        return names[0]
    raise DataError(f"{path}: has several: {listed}. Choose with {kind}={names[0]}")


def _is_image(library: ModuleType, rows: _Rows, name: str) -> bool:
    kind = getattr(rows.features[name], "dtype", None)
    if isinstance(rows.features[name], library.Image) or kind in ("binary", "large_binary"):
        return True
    if kind not in ("string", "large_string") or not len(rows):
        return False
    return Path(str(rows[0][name])).suffix.lower() in read_suffixes()


def _cells(rows: _Rows, column: str) -> Iterator[tuple[str, int]]:
    """Yield (path, bytes) of every image, with none of the images read."""
    import pyarrow
    import pyarrow.compute

    for batch in rows.select_columns([column]).with_format("arrow").iter(1024):
        values = batch.column(column).combine_chunks()
        paths, data = values, None
        if pyarrow.types.is_struct(values.type):
            paths, data = values.field("path"), values.field("bytes")
        elif pyarrow.types.is_binary(values.type) or pyarrow.types.is_large_binary(values.type):
            paths, data = None, values
        lengths = pyarrow.compute.binary_length(data).to_pylist() if data is not None else [None] * len(values)
        texts = paths.to_pylist() if paths is not None else [None] * len(values)
        yield from ((text or "", length or 0) for text, length in zip(texts, lengths, strict=True))


def _names(rows: _Rows, column: str) -> list[str] | None:
    """Return the names of a column's files without suffix; None if rows share or lack one."""
    names = [key_of(path.replace("\\", "/").rpartition("/")[2]) for path, _ in _cells(rows, column)]
    return names if all(names) and len(set(names)) == len(names) else None


def _digest(rows: _Rows, column: str, path: str) -> str:
    """Return the hash of names and sizes of the images, as a folder's."""
    lines = [f"{Path(text).name}\t{length}\n" for text, length in _cells(rows, column)]
    if not lines:
        raise DataError(f"{path}: has no rows")
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
