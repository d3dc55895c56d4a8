"""A store holds the pictures of one folder, under keys, whatever they are kept in.

`open_store` takes a folder of picture files, an LMDB (ours, or one BasicSR wrote) or a data set of the Hugging Face hub
(`hub://...`) and gives the same keys and the same pixels for each, so they are interchangeable in a config. A pair of
GT and LQ is two stores.
"""

from __future__ import annotations

import os
from pathlib import Path

from srtoolbox.data.folder_store import FolderStore
from srtoolbox.data.hub_store import HubStore, holds_dataset, is_hub
from srtoolbox.data.lmdb_store import LmdbStore, is_lmdb
from srtoolbox.data.store import Shape, Store, Window, key_of, missing
from srtoolbox.errors import DataError
from srtoolbox.image import list_images

__all__ = ["FolderStore", "HubStore", "LmdbStore", "Shape", "Store", "Window", "key_of", "open_store"]


def open_store(path: str | os.PathLike) -> Store:
    """The store at `path`: a folder of pictures, an LMDB folder (holding `data.mdb`), or a data set (`hub://...`).

    Raises:
        MissingDataError: nothing there.
        DataError: it is neither, is empty, unfinished or damaged; the message says which.
    """
    if is_hub(path):
        return HubStore(os.fspath(path))
    path = Path(path)
    if is_lmdb(path):
        return LmdbStore(path)
    if not path.exists():
        raise missing(path)
    if path.suffix == ".lmdb":
        raise DataError(f"{path}: holds no data.mdb, so it is no LMDB. Convert the pictures with convert_lmdb")
    try:
        return FolderStore(path)
    except DataError as error:
        if path.is_dir() and not list_images(path) and holds_dataset(path):
            raise DataError(f"{path}: a data set, no folder of pictures. Open it as hub://{path}") from error
        raise
