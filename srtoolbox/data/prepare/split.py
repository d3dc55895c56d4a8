"""Splitting a set into training and validation so that it stays split as it is, wherever and whenever it is done."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Sequence

from srtoolbox.errors import DataError
from srtoolbox.text import counted


def place_of(key: str) -> float:
    """A number in [0, 1) that follows from an image's name alone, as if drawn by lot.

    Training has the names below the share: new images leave the others where they are. The name is its Unicode's
    composed form, since macOS writes the decomposed one.
    """
    name = unicodedata.normalize("NFC", key).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:6], "big") / 2**48


def split_keys(keys: Sequence[str], share: float) -> tuple[list[str], list[str]]:
    """Split names into training and validation.

    Args:
        share: of training, above 0 and below 1; few images meet it roughly.

    Raises:
        DataError: a share out of range, or one that leaves nothing on one side; a better one is named.
    """
    if not 0 < share < 1:
        raise DataError(f"the split is the share of training, above 0 and below 1 (such as 0.9), got {share}")
    places = {key: place_of(key) for key in keys}
    parts = [key for key in keys if places[key] < share], [key for key in keys if places[key] >= share]
    if all(parts):
        return parts
    what = "training" if parts[1] else "validation"
    raise DataError(f"a split of {share} leaves none of {counted(len(keys), 'image')} for {what}: {_advice(places)}")


def _advice(places: dict[str, float]) -> str:
    """The shares between which both sides get some, to two digits."""
    low, high = math.ceil(min(places.values()) * 100 + 1e-9) / 100, math.floor(max(places.values()) * 100) / 100
    if low > high:
        return "there are too few to be split by name"
    return f"names decide, and with these any from {low} to {high} gives both sides some"
