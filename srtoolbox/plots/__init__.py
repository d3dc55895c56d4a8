"""What people look at: comparison sheets of pictures and curves of training runs.

Whatever here imports matplotlib comes by this file first, so this is the place to see to
matplotlib's folder.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def _can_be_made(folder: Path) -> bool:
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
        return all(_can_be_made(home / "matplotlib") for home in homes)
    except (OSError, RuntimeError):  # one that cannot be looked at; no home at all
        return False


if not _has_home():  # else matplotlib takes a temporary one, too, but says so in three sentences of its own
    os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="matplotlib-")
    atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)
