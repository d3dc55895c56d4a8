"""Sets that the data checker looks at, their stores, and every image of these, decoded whole."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from srtoolbox.data.audit.near_duplicates import ImageHash, hash_image
from srtoolbox.data.datasets.base import as_list
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.base import Shape, Store
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.sharded import ShardedStore
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.io.threads import count_threads, map_ahead

Role = Literal["train", "val", "test"]


class DataPart(NamedTuple):
    """One set to check: its name in messages, its role, and its stores.

    A `scale` of None takes what most pairs have; evaluation skips an `optional` one that is absent;
    with `cut` training cuts GT to `scale` times LQ, as evaluation does.
    """

    name: str
    role: Role
    gt: str | None
    lq: str | None = None
    scale: int | None = None
    lq_name: str | None = None
    max_images: int | None = None
    optional: bool = False
    cut: bool = False

    @property
    def main(self) -> str:
        """The store in which duplicates and leaks are looked for: GT where there is one."""
        return self.gt or self.lq or ""


def training_parts(
    stores: Sequence[str], lq: Sequence[str] = (), scale: int | None = None, lq_name: str | None = None
) -> list[DataPart]:
    """Return the sets of training stores, each with its LQ if `lq` names them."""
    partners: Sequence[str | None] = lq or [None] * len(stores)
    pairs = zip(stores, partners, strict=True)
    return [DataPart(gt, "train", gt, partner, scale, lq_name) for gt, partner in pairs]


def config_parts(config: Mapping[str, Any], source: str) -> list[DataPart]:
    """Return the sets of `data.train`, `data.val` and `data.test`, datasets inside others too.

    Any dataset with `gt` or `lq` paths counts, of whatever type. Raises ConfigError, in which
    `source` is the config's name, if there is none.
    """
    data = config.get("data") or {}
    parts = list(_parts((data.get("train") or {}).get("dataset"), "data.train.dataset", "train"))
    roles: tuple[Role, ...] = ("val", "test")
    for role in roles:
        sets = (data.get(role) or {}).get("datasets") or {}
        for name, node in sets.items():
            parts += _parts(node, f"data.{role}.datasets.{name}", role)
    if not parts:
        raise ConfigError(f"{source}: names no data (data.train.dataset, data.val.datasets, data.test.datasets)")
    return parts


def _parts(node: object, name: str, role: Role) -> Iterator[DataPart]:
    if not isinstance(node, Mapping):
        return
    gts, lqs = (as_list(node[key]) if node.get(key) else [] for key in ("gt", "lq"))
    number = max(len(gts), len(lqs))
    for place in range(number):
        yield DataPart(
            name if number == 1 else f"{name}[{place}]",
            role,
            gts[place] if place < len(gts) else None,
            lqs[place] if place < len(lqs) else None,
            node.get("scale"),
            node.get("lq_name"),
            node.get("max_images"),
            optional=role != "train",
            cut=node.get("cut") is True,
        )
    inner = node.get("datasets") or {}
    for key, item in inner.items() if isinstance(inner, Mapping) else enumerate(inner):
        yield from _parts(item, f"{name}.datasets.{key}", role)


# ---- images


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
    keys: Sequence[str],
    *,
    workers: int | None = None,
    keep: Callable[[str, Inspection], object] = lambda key, image: None,
) -> dict[str, Inspection]:
    """Decode images of a store in `workers` threads (None: one per CPU); return them in this order.

    `keep` is called with each, in this order, as soon as it and those before it are decoded.
    Values of an LMDB are compared with their checksums as well.
    """
    turn = threading.Lock()  # other stores than folders are read by one at a time

    def inspect(key: str) -> Inspection:
        source = store.source(key)
        try:
            if isinstance(store, FolderStore):
                image = read_image(source)
            else:
                with turn:
                    if isinstance(store, LmdbStore | ShardedStore):
                        store.verify(key)
                    image = store.read(key)
        except SrtoolboxError as error:
            return DamagedImage(source, str(error))
        return SoundImage(source, image.shape, 8 * image.dtype.itemsize, hash_image(image))

    inspections: dict[str, Inspection] = {}
    with contextlib.closing(map_ahead(inspect, keys, threads=count_threads(workers))) as calls:
        for key, call in calls:
            inspections[key] = call.result()
            keep(key, inspections[key])
    return inspections


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


class Stock:
    """All stores of all sets, each opened and inspected once however often it is named."""

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {}
        self.keys: dict[str, dict[str, None]] = {}  # of the images to inspect, in order
        self.inspections: dict[str, dict[str, Inspection]] = {}

    @staticmethod
    def place(path: str) -> str:
        return os.path.realpath(path) if os.path.exists(path) else str(path)

    def add(self, path: str, max_images: int | None, notes: list[str]) -> None:
        """Open a store, if it is not yet, to inspect its first images."""
        place = self.place(path)
        store = self.stores.get(place) or open_store(path, note=notes.append)
        self.stores[place] = store
        self.keys.setdefault(place, {}).update(dict.fromkeys(store.keys()[:max_images]))

    def look_up(self, path: str) -> tuple[Store, dict[str, Inspection]]:
        """Return a store and the inspections of its images."""
        return self.stores[self.place(path)], self.inspections[self.place(path)]

    def main_stores(self, parts: Sequence[DataPart]) -> list[str]:
        """Return the places of the stores to compare with each other, each once."""
        return list(dict.fromkeys(self.place(part.main) for part in parts))

    def sound(self, places: Sequence[str]) -> list[SoundImage]:
        return [each for place in places for each in sound_images(self.inspections[place].values())]

    def close(self) -> None:
        for store in self.stores.values():
            store.close()
