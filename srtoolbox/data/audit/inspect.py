"""Looking at every image of a store: decoded whole, in parallel, with what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.audit.near_duplicates import ImageHash, hash_image
from srtoolbox.data.stores.base import Shape, Store
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.io.threads import map_ahead


class Inspection(NamedTuple):
    """What one image turned out to be: either sound, or with a fault."""

    source: str
    shape: Shape | None = None
    bits: int | None = None
    print: ImageHash | None = None
    fault: str | None = None


def inspect_images(
    store: Store,
    keys: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Inspection]:
    """Decode images of a store; values of an LMDB are compared with their checksums as well.

    Args:
        keys: which; None takes all.
        workers: threads that decode; None takes one per CPU.
        progress: called after every image.

    Returns:
        By key, in the order given.
    """
    keys = list(store.keys() if keys is None else keys)
    turn = threading.Lock()  # a store is used by one thread at a time; files are decoded side by side

    def look(key: str) -> Inspection:
        source = store.source(key)
        try:
            image = read_image(source) if isinstance(store, FolderStore) else _read(store, key, turn)
        except SrtoolboxError as error:
            return Inspection(source, fault=str(error))
        return Inspection(source, image.shape, 8 * image.dtype.itemsize, hash_image(image))

    looks: dict[str, Inspection] = {}
    with contextlib.closing(map_ahead(look, keys, threads=workers or os.cpu_count() or 1)) as looking:
        for key, seen in looking:
            looks[key] = seen.result()
            progress()
    return looks


def _read(store: Store, key: str, turn: threading.Lock) -> np.ndarray:
    with turn:
        if isinstance(store, LmdbStore):
            store.verify(key)
        return store.read(key)


def statistics_of(looks: Mapping[str, Inspection] | Iterable[Inspection]) -> dict[str, Any]:
    """Count, sizes (min, median, max), channels and bits per value of the images that could be read."""
    looks = list(looks.values() if isinstance(looks, Mapping) else looks)
    sound = [look for look in looks if look.fault is None]
    found: dict[str, Any] = {"pictures": len(looks), "damaged": len(looks) - len(sound)}
    for axis, name in ((1, "width"), (0, "height")):
        sides = [look.shape[axis] for look in sound]
        if sides:
            found[name] = {"min": min(sides), "median": statistics.median_low(sides), "max": max(sides)}
    found["channels"] = dict(sorted(Counter(look.shape[2] for look in sound).items()))
    found["bits"] = dict(sorted(Counter(look.bits for look in sound).items()))
    found["pixels"] = sum(look.shape[0] * look.shape[1] for look in sound)
    return found
