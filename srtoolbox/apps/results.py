"""Results of this toolbox, images and videos: where they say that they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from srtoolbox.apps.video.frames import opened
from srtoolbox.apps.video.parts import steps_text
from srtoolbox.apps.video.upscale import CONTAINERS
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_picture
from srtoolbox.image.file_types import read_suffixes
from srtoolbox.image.provenance import steps_of


def is_result(path: str | os.PathLike[str]) -> bool:
    """True for the name of an image or a video."""
    return Path(path).suffix.lower() in {*read_suffixes(), *CONTAINERS}


def read_steps(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the steps in which an image or video was made, oldest first (`provenance.step_of`).

    Raises:
        SrtoolboxError: it cannot be read, or does not say.
    """
    if Path(path).suffix.lower() in CONTAINERS:
        with opened(path) as container:
            text = steps_text(container)
    else:
        text = read_picture(path).metadata.provenance
    steps = steps_of(text)
    if not steps:
        raise SrtoolboxError(
            f"{os.fspath(path)}: does not say where it comes from: it is no result of srtoolbox, was made with "
            "--no-provenance, or another program has left that out"
        )
    return steps


def in_words(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines that say what steps hold, one name and value each.

    Files may hold anything there.
    """
    lines: list[str] = []
    for number, step in enumerate(steps, 1):
        lines += [f"step {number} of {len(steps)}"] if len(steps) > 1 else []
        lines += _rows_of(step)
    return lines


def _rows_of(step: Mapping[str, Any]) -> list[str]:
    """Return the lines of a step."""
    rows = [("made by", step["software"]), ("network", step.get("network", "?")), ("scale", step.get("scale", "?"))]
    weights, options = step.get("weights"), step.get("options")
    for each in weights if isinstance(weights, list) else []:
        if isinstance(each, dict):
            share = f", {each['share']} of the blend" if "share" in each else ""
            digest = f"{each['sha256_of_tensors']} (of its tensors)" if "sha256_of_tensors" in each else None
            rows += [("weights", f"{each.get('name', '?')}{share}"), ("SHA-256", digest or each.get("sha256", "?"))]
    if isinstance(options, dict) and options:
        each = (name if value is True else f"{name} {value}" for name, value in options.items())
        rows.append(("options", ", ".join(each)))
    return [f"{name:9}{_printable(value)}" for name, value in rows]


def _printable(value: object) -> str:
    """Return a value as text that cannot steer a terminal."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in str(value))
