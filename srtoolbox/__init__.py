"""srtoolbox: configurable single-image super-resolution. Importing the package imports no component (and no torch)."""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "srtoolbox.config",
    "Runner": "srtoolbox.engine.runner",
    "evaluate": "srtoolbox.engine.evaluate",
    "imresize": "srtoolbox.resize",
    "load_network": "srtoolbox.engine.checkpoint",
    "open_store": "srtoolbox.data.stores",
    "read_image": "srtoolbox.image",
    "upscale": "srtoolbox.inference.upscale",
    "write_image": "srtoolbox.image",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> object:
    """Public names are imported at first use, so that `--help` and listings stay free of torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'srtoolbox' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
