"""Digests of what the toolbox writes: of contents, never of files, so that a file written in another way is equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import torch

_TIMES = {"time", "data_time", "eta", "seconds"}
Facts = dict[str, Any]


def checkpoint_facts(path: Path) -> Facts:
    """Return digests of a checkpoint's parts: 'networks/generator': {'tensors': ..., 'values': ...}, or plain values.

    'tensors' is over names, dtypes, shapes and bytes, 'values' over all else. The config, with its paths, is left
    out.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    facts: Facts = {}
    for key, entry in state.items():
        if isinstance(entry, dict) and key != "config":
            parts = {name: part for name, part in entry.items() if not _is_time(name)}
            facts.update({f"{key}/{name}": _state_facts(part) for name, part in parts.items()})
        elif isinstance(entry, list):
            facts[key] = _state_facts(entry)
        elif key != "config":
            facts[key] = entry
    return facts


def image_facts(path: Path) -> str:
    """Return dtype, shape and digest of an image's pixels, alpha included."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return "unreadable" if pixels is None else _array_facts(pixels)


def video_facts(path: Path) -> Facts:
    """Return dtype, shape and digest of each decoded frame, with its time and pixel format."""
    import av

    with av.open(str(path)) as container:
        frames = [(str(frame.time), frame.format.name, frame.to_ndarray()) for frame in container.decode(video=0)]
    return {f"frame {n}": f"{time} s {name} {_array_facts(a)}" for n, (time, name, a) in enumerate(frames)}


def lmdb_facts(path: Path) -> Facts:
    """Return the digest of each key's value."""
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {key.decode(): _sha(value) for key, value in transaction.cursor()}


def score_lines(path: Path) -> list[object]:
    """Return the lines of a run's scores.jsonl, their numbers as they stand there, times left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [timeless(json.loads(line, parse_float=str)) for line in lines]


def json_facts(path: Path) -> object:
    """Return the contents of a JSON file, its numbers as they stand there, times left out."""
    return timeless(json.loads(path.read_text(encoding="utf-8"), parse_float=str)) if path.is_file() else {}


def timeless(entry: object) -> object:
    """Return a JSON value without the entries that hold seconds."""
    if isinstance(entry, dict):
        return {key: timeless(part) for key, part in entry.items() if not _is_time(key)}
    return [timeless(part) for part in entry] if isinstance(entry, list) else entry


def _is_time(key: object) -> bool:
    """True for 'seconds' and 'photos/seconds'."""
    return str(key).split("/")[-1] in _TIMES


def _state_facts(entry: object) -> Facts:
    tensors, values = hashlib.sha256(), hashlib.sha256()
    counts = [0, 0]
    for path, leaf in _leaves(entry, ""):
        if isinstance(leaf, torch.Tensor):
            counts[0] += 1
            raw = leaf.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            tensors.update(f"{path} {leaf.dtype} {tuple(leaf.shape)} ".encode() + raw)
        else:
            counts[1] += 1
            values.update(f"{path} {leaf!r} ".encode())
    facts = {}
    if counts[0]:
        facts["tensors"] = f"{counts[0]} {tensors.hexdigest()}"
    if counts[1]:
        facts["values"] = f"{counts[1]} {values.hexdigest()}"
    return facts


def _leaves(entry: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(entry, dict):
        for key, part in entry.items():
            if not _is_time(key):
                yield from _leaves(part, f"{path}/{key}")
    elif isinstance(entry, list | tuple):
        for number, part in enumerate(entry):
            yield from _leaves(part, f"{path}/{number}")
    else:
        yield path, entry


def _array_facts(pixels: np.ndarray) -> str:
    return f"{pixels.dtype} {'x'.join(map(str, pixels.shape))} {_sha(np.ascontiguousarray(pixels).tobytes())}"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
