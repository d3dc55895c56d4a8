"""Names of runs by their values, `lr=0.001,batch_size=8`: for folders on every system, no two alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from srtoolbox.apps.comparison.table import short_keys
from srtoolbox.engine.job.run_config import shown

_OTHER = re.compile(r"[^\w.+-]+", re.ASCII)
_VALUE, _NAME = 24, 80  # characters at most
_DIGEST = 6


def name_runs(runs: Sequence[Mapping[str, object]]) -> list[str]:
    """Return a name for each run.

    A name depends on the run's own values, however they were typed, so that a sweep with more
    values finds the folders of an earlier one. What had to be cut, or would be one name for two
    runs, ends with a digest of the values.

    Args:
        runs: their values by key; all have the same keys.
    """
    keys = short_keys({key: [] for run in runs for key in run})
    names = [",".join(f"{_plain(keys[key])}={_shortened(value)}" for key, value in run.items()) for run in runs]
    folded = [name.casefold() for name in names]
    return [
        _with_digest(name, run) if len(name) > _NAME or folded.count(name.casefold()) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def text_of(value: object) -> str:
    """Return a value as a name has it, whole: numbers as Python writes them, lists by their items."""
    text = value if isinstance(value, str) else "none" if value is None else shown(value)
    return _plain(text)


def _shortened(value: object) -> str:
    text = text_of(value)
    return text if len(text) <= _VALUE else f"{text[: _VALUE - _DIGEST - 1]}~{_digest(text)}"


def _plain(text: str) -> str:
    """Return a text with letters, digits and `._+-` alone, and no dot at its end."""
    return _OTHER.sub("_", text).strip("_").rstrip(".") or "_"


def _with_digest(name: str, run: Mapping[str, object]) -> str:
    whole = repr([(key, shown(value)) for key, value in run.items()])
    return f"{name[: _NAME - _DIGEST - 1].rstrip('.,=')}~{_digest(whole)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
