"""A store holds the pictures of one folder, under keys, whatever they are kept in.

`open_store` takes a folder of picture files or an LMDB (ours, or one BasicSR wrote) and gives the same keys and the
same pixels for either, so the two are interchangeable in a config. A pair of GT and LQ is two stores.
"""

from __future__ import annotations

import os
from pathlib import Path

from srtoolbox.data.folder_store import FolderStore
from srtoolbox.data.lmdb_store import LmdbStore, is_lmdb
from srtoolbox.data.store import Shape, Store, Window, key_of, missing
from srtoolbox.errors import DataError

__all__ = ["FolderStore", "LmdbStore", "Shape", "Store", "Window", "key_of", "open_store"]


def open_store(path: str | os.PathLike) -> Store:
    """The store at `path`: a folder of pictures, or an LMDB folder (holding `data.mdb`).

    Raises:
        MissingDataError: nothing there.
        DataError: it is neither, is empty, unfinished or damaged; the message says which.
    """
    path = Path(path)
    if is_lmdb(path):
        return LmdbStore(path)
    if not path.exists():
        raise missing(path)
    if path.suffix == ".lmdb":
        raise DataError(f"{path}: holds no data.mdb, so it is no LMDB. Convert the pictures with convert_lmdb")
    return FolderStore(path)
