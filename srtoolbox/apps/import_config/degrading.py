"""Pipelines of degradations: what is published, and where steps stand in a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srtoolbox.apps.import_config.draft import Draft
from srtoolbox.config import Config
from srtoolbox.config.loader import packaged_folder

BASE = "_base_/degradations/real_esrgan.py"


def is_published(steps: Mapping[str, Any]) -> bool:
    """True for the steps that the package has as Real-ESRGAN's."""
    folder = packaged_folder()
    if folder is None or not (folder / BASE).is_file():
        return False
    return _plain(steps) == _plain(Config.fromfile(folder / BASE)["steps"])


def _plain(value: object) -> object:
    """Return nested maps and sequences in one form; names of the steps in a RandomApply do not count."""
    if isinstance(value, Mapping):
        if value.get("type") == "RandomApply":
            inner = value["transforms"]
            steps = list(inner.values()) if isinstance(inner, Mapping) else list(inner)
            return {"type": "RandomApply", "p": value["p"], "transforms": _plain(steps)}
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def put_steps(draft: Draft, steps: Mapping[str, Any]) -> None:
    """Put steps before the model, or name the package's file where they are its."""
    if is_published(steps):
        draft.set("_base_", [*draft.values["_base_"], BASE])
        return
    rest = dict(draft.values)
    draft.values.clear()
    for key, value in rest.items():
        if key == "model":
            draft.values["steps"] = dict(steps)
        draft.values[key] = value
