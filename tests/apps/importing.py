"""An option file of another project, imported: what was told of it, and the config that was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srtoolbox import import_config
from srtoolbox.apps.import_config import Imported
from srtoolbox.apps.import_config.record import Fate
from srtoolbox.check import check
from srtoolbox.config import Config


def written(folder: Path, text: str, name: str) -> tuple[Imported, Config]:
    """Import a text as a file of this name; return the result and the config."""
    (folder / name).write_text(text, encoding="utf-8")
    imported = import_config(folder / name, folder / "ours.py", overwrite=True)
    return imported, Config.fromfile(folder / "ours.py")


def checked(folder: Path, text: str, name: str) -> tuple[Imported, dict[str, Any]]:
    """Do the same, and see that the config has no fault."""
    imported, config = written(folder, text, name)
    check(config)
    return imported, config.to_dict()


def told(imported: Imported, fate: Fate) -> dict[str, str]:
    """Return {their key: where it went, and the sentence}."""
    return {entry.key: f"{entry.target}: {entry.text}" for entry in imported.record.of(fate)}
