"""Outcomes of trials, kept in the user's cache folder by the file's checksum: a file is tried once, not at every start.

The folder is `$SRTOOLBOX_CACHE`, or the system's usual one; an empty value keeps nothing. A cache that cannot be read
or written is no cache: nothing depends on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.files import read_json, write_json
from srtoolbox.weights.trial import REVISION, Score, Trial

ENVIRONMENT = "SRTOOLBOX_CACHE"


def cache_folder() -> Path | None:
    """The folder of verdicts, made or not; None where there is no place for them."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen is not None:
        return Path(chosen) / "trials" if chosen else None
    with contextlib.suppress(RuntimeError):  # no home
        return _system_folder() / "srtoolbox" / "trials"
    return None


def _system_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def verdict_key(file_sha256: str, assumed: Mapping[str, Any], weights: str) -> str:
    """The name of a verdict: the file, which weights in it, the network assumed, and the revision of the trial."""
    asked = json.dumps([REVISION, file_sha256, weights, assumed], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()


def recall(key: str) -> Trial | None:
    """The verdict of an earlier trial; None where there is none that can be read."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        kept = read_json(folder / f"{key}.json")
        scores = [Score(*map(float, kept[name])) for name in ("score", "assumed")]
        return Trial(dict(kept["config"]), *scores, int(kept["count"])) if kept["key"] == key else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def keep(key: str, trial: Trial) -> None:
    """Write a verdict, where that is possible."""
    folder = cache_folder()
    if folder is not None:
        with contextlib.suppress(SrtoolboxError, OSError):
            write_json(folder / f"{key}.json", {"key": key, **trial._asdict()})
