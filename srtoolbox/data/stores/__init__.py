"""Stores: the images of one folder under keys, whatever keeps them.

`open_store` takes a folder of image files, an LMDB (ours, in one file or in shards, or one BasicSR
wrote) or a data set of the Hugging Face hub (`hub://...`) and gives the same keys and the same
pixels for each, so they are interchangeable in a config. A pair of GT and LQ is two stores.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from srtoolbox.data.stores.base import Shape, Store, Window, key_of, missing
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.hub import HubStore, holds_dataset, is_hub
from srtoolbox.data.stores.lmdb import LmdbStore, is_lmdb
from srtoolbox.data.stores.sharded import ShardedStore, Share, shards_at
from srtoolbox.errors import DataError, ImageError
from srtoolbox.image.file_types import list_images

__all__ = ["FolderStore", "HubStore", "LmdbStore", "Shape", "Store", "Window", "key_of", "open_folder", "open_store"]
_log = logging.getLogger(__name__)


def open_store(
    path: str | os.PathLike, *, note: Callable[[str], object] = _log.warning, share: Share | None = None
) -> Store:
    """Return the store at `path`: a folder, an LMDB, its shards, or a data set (`hub://...`).

    Args:
        note: called with a sentence on files of a folder that look like images and are not read.
        share: the shards to read of a store in shards; None reads all of them.

    Raises:
        MissingDataError: nothing there.
        DataError: it is neither, is empty, unfinished or damaged; the message says which.
    """
    if share is not None and (is_hub(path) or not shards_at(path)):
        raise DataError(f"{path}: is no store in shards, of which each rank could read its own: shards='all' reads it")
    if is_hub(path):
        return HubStore(os.fspath(path))
    path = Path(path)
    if is_lmdb(path):
        return LmdbStore(path)
    if shards_at(path):
        return ShardedStore(path, share)
    if not path.exists():
        raise missing(path)
    if path.suffix == ".lmdb":
        raise DataError(
            f"{path}: holds neither data.mdb nor shards, so it is no LMDB. Convert the images with convert_lmdb"
        )
    try:
        return open_folder(path, note=note)
    except DataError as error:
        with contextlib.suppress(ImageError):  # the first error tells it
            if path.is_dir() and not list_images(path) and holds_dataset(path):
                raise DataError(f"{path}: a data set, no folder of images. Open it as hub://{path}") from error
        raise


def open_folder(path: str | os.PathLike, *, note: Callable[[str], object] = _log.warning) -> FolderStore:
    """Return the store of a folder of images; arguments and errors as of `open_store`."""
    store = FolderStore(path)
    if store.unread:
        note(f"{store.path}: {store.unread}")
    return store
