"""Inspection of every image of a store: decoded whole, in parallel, with its fault if any."""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from srtoolbox.data.audit.near_duplicates import ImageHash, hash_image
from srtoolbox.data.stores.base import Shape, Store
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.io.threads import count_threads, map_ahead


class SoundImage(NamedTuple):
    """An image that can be read."""

    source: str
    shape: Shape
    bits: int
    hash: ImageHash


class DamagedImage(NamedTuple):
    """An image that cannot be read, with the reason."""

    source: str
    fault: str


Inspection = SoundImage | DamagedImage


def inspect_images(
    store: Store,
    keys: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Inspection]:
    """Decode images of a store; values of an LMDB are compared with their checksums as well.

    Args:
        keys: of the images; None takes all.
        workers: threads that decode; None takes one per CPU.
        progress: called after every image.

    Returns:
        By key, in the order given.
    """
    keys = list(store.keys() if keys is None else keys)
    turn = threading.Lock()  # other stores than folders are read by one at a time

    def inspect(key: str) -> Inspection:
        source = store.source(key)
        try:
            image = read_image(source) if isinstance(store, FolderStore) else _read(store, key, turn)
        except SrtoolboxError as error:
            return DamagedImage(source, str(error))
        return SoundImage(source, image.shape, 8 * image.dtype.itemsize, hash_image(image))

    inspections: dict[str, Inspection] = {}
    threads = count_threads(workers)
    with contextlib.closing(map_ahead(inspect, keys, threads=threads)) as calls:
        for key, call in calls:
            inspections[key] = call.result()
            progress()
    return inspections


def _read(store: Store, key: str, turn: threading.Lock) -> np.ndarray:
    with turn:
        if isinstance(store, LmdbStore):
            store.verify(key)
        return store.read(key)


def sound_images(inspections: Iterable[Inspection]) -> list[SoundImage]:
    """Return those of the images that can be read."""
    return [image for image in inspections if isinstance(image, SoundImage)]


def statistics_of(inspections: Sequence[Inspection]) -> dict[str, Any]:
    """Return count, sizes (min, median, max), channels and bits of the images that can be read."""
    sound = sound_images(inspections)
    result: dict[str, Any] = {"pictures": len(inspections), "damaged": len(inspections) - len(sound)}
    for axis, name in ((1, "width"), (0, "height")):
        sides = [image.shape[axis] for image in sound]
        if sides:
            result[name] = {"min": min(sides), "median": statistics.median_low(sides), "max": max(sides)}
    result["channels"] = dict(sorted(Counter(image.shape[2] for image in sound).items()))
    result["bits"] = dict(sorted(Counter(image.bits for image in sound).items()))
    result["pixels"] = sum(image.shape[0] * image.shape[1] for image in sound)
    return result
