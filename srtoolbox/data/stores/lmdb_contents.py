"""The contents of an LMDB: of ours (`__meta__`, `__index__`), of BasicSR's (meta_info.txt)."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from srtoolbox.data.stores.base import key_of
from srtoolbox.data.stores.encodings import ENCODINGS, check_encoding
from srtoolbox.data.stores.environment import Environment
from srtoolbox.data.stores.index import Index, Record, from_bytes, index_of
from srtoolbox.errors import DataError
from srtoolbox.io.pieces import Shard
from srtoolbox.text import counted

FORMAT = "srtoolbox-lmdb"
VERSION = 2
"""Version 1 has the images in `__meta__`, as JSON, and no `__index__`."""
META_KEY = b"__meta__"
INDEX_KEY = b"__index__"
PLAN_KEY = b"__plan__"
MAX_KEY_BYTES = 511


class Mark(NamedTuple):
    """The number of a shard, and a text that the shards of one whole share."""

    shard: Shard
    whole: str


class Contents(NamedTuple):
    """The encoding of an LMDB's values, the index of its images, a digest.

    `map` is that of the index, or None where it is an array.
    """

    encoding: str
    images: Index
    digest: str
    map: mmap.mmap | None = None
    mark: Mark | None = None


def contents_of(path: Path, environment: Environment) -> Contents:
    meta = environment.get(META_KEY)
    if meta is not None:
        return _own_contents(path, json.loads(bytes(meta)), environment)
    if environment.get(PLAN_KEY) is not None:
        raise DataError(
            f"{path}: an unfinished conversion. Run the same convert_lmdb command again: it goes on where it stopped"
        )
    if (path / "meta_info.txt").is_file():
        return _basicsr_contents(path, environment.entries())
    raise DataError(
        f"{path}: an LMDB of another program (neither srtoolbox's __meta__ nor BasicSR's "
        "meta_info.txt in it), or BasicSR's conversion did not finish"
    )


def _own_contents(path: Path, meta: dict[str, Any], environment: Environment) -> Contents:
    if meta.get("format") != FORMAT or meta.get("version") not in (1, VERSION) or meta.get("encoding") not in ENCODINGS:
        raise DataError(
            f"{path}: written in format {meta.get('format')!r}, version {meta.get('version')!r}, encoding "
            f"{meta.get('encoding')!r}; this srtoolbox reads {FORMAT!r}, versions 1 to {VERSION}, encodings {ENCODINGS}"
        )
    check_encoding(meta["encoding"], path)
    index, own, held = _own_index(path, meta, environment)
    if not meta["count"] == len(index.keys) == held:
        raise DataError(f"{path}: lists {meta['count']} images but holds {held}. Convert the images again")
    plan = meta.get("plan") or {}
    mark = Mark(Shard(*plan["shard"]), plan["whole"]) if "shard" in plan else None
    return Contents(meta["encoding"], index, meta["digest"], own, mark)


def _own_index(path: Path, meta: dict[str, Any], environment: Environment) -> tuple[Index, mmap.mmap | None, int]:
    """Return the index, the map in which it lies, and the number of images that the LMDB holds."""
    if meta["version"] == 1:
        return index_of(records_of(meta["pictures"])), None, environment.entries() - 1
    mapped = environment.mapped(INDEX_KEY)
    try:
        if mapped is None:
            raise ValueError("it has no index")
        return from_bytes(meta["index"], mapped[0]), mapped[1], environment.entries() - 2
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}. Copy it or convert the images again") from error


def records_of(images: Mapping[str, Mapping[str, Any]]) -> dict[str, Record]:
    """Return the entries of images as a conversion keeps them until it is finished, as JSON."""
    return {
        key: Record(tuple(item["shape"]), item["dtype"], item["source"], item["sha256"], tuple(item["stamp"]))
        for key, item in images.items()
    }


def _basicsr_contents(path: Path, entries: int) -> Contents:
    """Read BasicSR's list, of lines such as `0001_s001.png (480,480,3) 1`."""
    text = (path / "meta_info.txt").read_text(encoding="utf-8")
    records = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        match = re.fullmatch(r"(.+) \((\d+), ?(\d+)(?:, ?(\d+))?\)(?: \d+)?", line)
        if match is None:
            raise DataError(
                f"{path / 'meta_info.txt'}:{number}: expected 'name.png (height,width,channels) level', got {line!r}"
            )
        name, height, width, channels = match.groups(default="1")
        shape = (int(height), int(width), 1 if int(channels) < 3 else 3)  # no alpha
        records[key_of(name)] = Record(shape, "uint8", name)
    if not records or len(records) != entries:
        raise DataError(
            f"{path}: meta_info.txt lists {counted(len(records), 'image')}, data.mdb holds {entries}. Make it again"
        )
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return Contents("png", index_of(records), digest)
