"""Stores for tests: tiny images, and the format of earlier versions."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np

from srtoolbox.data.stores.index import from_bytes
from srtoolbox.data.stores.lmdb_writer import LmdbWriter, Value


def tiny_store(path: Path, keys: list[str], sizes: dict[str, tuple[int, int]] | None = None) -> Path:
    """A raw store of images that differ, of 2 x 2 px but for those in `sizes` (height, width)."""
    add_images(LmdbWriter(path, {"encoding": "raw"}, keys), keys, sizes, keys.index)
    return path


def add_images(
    writer: LmdbWriter,
    keys: list[str],
    sizes: dict[str, tuple[int, int]] | None = None,
    value: Callable[[str], int] = len,
) -> None:
    """Write such images, all of whose pixels have one value, and finish the store."""
    values = []
    for key in keys:
        image = np.full((*(sizes or {}).get(key, (2, 2)), 3), value(key) % 251, np.uint8)
        data = image.tobytes()
        digest = hashlib.sha256(data).hexdigest()
        values.append(Value(key, memoryview(data), image.shape, "uint8", f"{key}.png", digest, (len(data), len(key))))
    writer.add(values)
    writer.finish()
    writer.close()


def to_version_1(path: Path) -> Path:
    """Rewrite a store as versions before the index wrote it: the images in `__meta__`, as JSON."""
    with lmdb.open(str(path), map_size=1 << 30) as env, env.begin(write=True) as txn:
        meta = json.loads(txn.get(b"__meta__"))
        index = from_bytes(meta.pop("index"), np.frombuffer(txn.get(b"__index__"), np.uint8))
        images = {key: record._asdict() for key, record in index.records().items()}
        meta |= {"version": 1, "pictures": images}
        txn.put(b"__meta__", json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode())
        txn.delete(b"__index__")
    return path
