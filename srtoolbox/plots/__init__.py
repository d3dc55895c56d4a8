"""Drawings: sheets and animations of images, curves of trainings, charts of scores.

This file is imported before any of the room's modules imports matplotlib, so it is the place to
see to matplotlib's folder.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def _is_writable(folder: Path) -> bool:
    """True if the folder, or the nearest one above it that is there, can be written."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK)


def _has_home() -> bool:
    """True where matplotlib finds a place of the user's for its settings and its list of fonts."""
    if os.environ.get("MPLCONFIGDIR"):
        return True
    try:
        homes = [
            Path(os.environ.get(variable) or Path.home() / name)
            for variable, name in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
        ]
        return all(_is_writable(home / "matplotlib") for home in homes)
    except (OSError, RuntimeError):  # one that cannot be looked at; no home at all
        return False


if not _has_home():  # matplotlib would take a temporary one, too, but say so in three sentences
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="matplotlib-")
    atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)
