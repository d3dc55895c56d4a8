"""Names: of what stands in the maps of a config, and those that others may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

SLIP = 0.8  # of `difflib`: at this likeness a name is a slip of another one, not a name of its own


def set_name(text: str, taken: set[str]) -> str:
    """Return a free name that can be typed in `a.b=value`: 'Set14' is 'set14', 'val 2' 'val_2'."""
    name = re.sub(r"\W+", "_", text.lower()).strip("_") or "set"
    name = f"set_{name}" if name[0].isdigit() else name
    return name if name not in taken else next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in taken)


def slip_of(name: object, names: Iterable[str]) -> str:
    """Return ' Did you mean ...?' for a name of a component that is nearly one of `names`, else ''."""
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=SLIP)
    return f" Did you mean {near[0]!r}?" if near else ""
