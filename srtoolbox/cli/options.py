"""What the commands' parsers share: `key=value` overrides among the other arguments, in any order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

_OVERRIDE = re.compile(r"[A-Za-z_]\w*(\.[\w-]+)*=")
CFG_OPTIONS = "--cfg-options"


def is_override(text: str) -> bool:
    """Whether an argument reads `key.sub=value` and names no file."""
    return _OVERRIDE.match(text) is not None and not os.path.exists(text)


def overrides_last(argv: Sequence[str]) -> list[str]:
    """Move `key=value` arguments behind the others, so that parsers meet the config first wherever it stands.

    `--cfg-options` before them is dropped: what follows is recognised by itself. An argument right after an option
    stays, for it may be that option's value; a command's parser accepts overrides there too.
    """
    others: list[str] = []
    overrides: list[str] = []
    previous = ""
    for text in argv:
        if text != CFG_OPTIONS:
            follows_option = previous.startswith("-") and previous != CFG_OPTIONS
            (overrides if is_override(text) and not follows_option else others).append(text)
        previous = text
    return others + overrides


def split_overrides(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Positional arguments as (files, overrides)."""
    files: list[str] = []
    overrides: list[str] = []
    for text in texts:
        (overrides if is_override(text) else files).append(text)
    return files, overrides
