"""Names of what stands in the maps of a config."""

from __future__ import annotations

import re


def set_name(text: str, taken: set[str]) -> str:
    """Return a free name that can be typed in `a.b=value`: 'Set14' is 'set14', 'val 2' 'val_2'."""
    name = re.sub(r"\W+", "_", text.lower()).strip("_") or "set"
    name = f"set_{name}" if name[0].isdigit() else name
    return name if name not in taken else next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in taken)
