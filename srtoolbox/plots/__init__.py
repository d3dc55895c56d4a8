"""Drawings: sheets and animations of images, curves of trainings, charts of scores.

This file is imported before any of the room's modules imports matplotlib, so it is the place to
see to matplotlib's folder.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def _has_home() -> bool:
    """True where matplotlib finds writable places for its settings and its list of fonts."""
    if os.environ.get("MPLCONFIGDIR"):
        return True
    try:
        for variable, name in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache")):
            folder = Path(os.environ.get(variable) or Path.home() / name, "matplotlib")
            nearest = next((place for place in (folder, *folder.parents) if place.exists()), None)
            if nearest is None or not nearest.is_dir() or not os.access(nearest, os.W_OK):
                return False
    except (OSError, RuntimeError):  # one that cannot be looked at; no home at all
        return False
    return True


if not _has_home():  # matplotlib would take a temporary one, too, but say so in three sentences
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="matplotlib-")
    atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)
