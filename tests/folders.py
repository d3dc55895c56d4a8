"""Folders by other names, as another machine may see them."""

from __future__ import annotations

import shutil
from pathlib import Path


def other_names(folder: str | Path) -> list[str]:
    """A link to a folder, and a copy of it elsewhere whose files have the same times."""
    folder = Path(folder)
    link = folder.with_name(f"link-to-{folder.name}")
    link.symlink_to(folder.resolve())
    copy = shutil.copytree(folder, folder.parent / "elsewhere" / f"copy-of-{folder.name}")
    return [str(link), str(copy)]
