"""srtoolbox: configurable single-image super-resolution.

Its import imports no component, nor torch.
"""

import importlib
from typing import TYPE_CHECKING

from srtoolbox import moved

if TYPE_CHECKING:  # what __getattr__ finds; tests/test_api.py keeps the two alike
    from srtoolbox.apps.browse.browse import browse_data
    from srtoolbox.apps.comparison import compare_runs
    from srtoolbox.apps.folder.upscale import upscale_folder
    from srtoolbox.apps.import_config import import_config
    from srtoolbox.apps.scoring.score import test
    from srtoolbox.apps.sweep.sweep import sweep
    from srtoolbox.config import Config
    from srtoolbox.data.prepare.convert import convert
    from srtoolbox.data.stores import open_store
    from srtoolbox.engine.evaluate import evaluate
    from srtoolbox.engine.job.job import Job, train
    from srtoolbox.engine.loop import Runner
    from srtoolbox.image import Picture, read_image, read_picture, write_image, write_picture
    from srtoolbox.image.colour_shift import colour_shift
    from srtoolbox.inference.picture import upscale_picture
    from srtoolbox.inference.upscaler import Upscaler, upscale
    from srtoolbox.resize import imresize
    from srtoolbox.weights.load import load_network

__version__ = "0.1.0"
moved.install()

_PUBLIC = {
    "Config": "srtoolbox.config",
    "Job": "srtoolbox.engine.job.job",
    "Picture": "srtoolbox.image",
    "Runner": "srtoolbox.engine.loop",
    "Upscaler": "srtoolbox.inference.upscaler",
    "browse_data": "srtoolbox.apps.browse.browse",
    "colour_shift": "srtoolbox.image.colour_shift",
    "compare_runs": "srtoolbox.apps.comparison",
    "convert": "srtoolbox.data.prepare.convert",
    "evaluate": "srtoolbox.engine.evaluate",
    "import_config": "srtoolbox.apps.import_config",
    "imresize": "srtoolbox.resize",
    "load_network": "srtoolbox.weights.load",
    "open_store": "srtoolbox.data.stores",
    "read_image": "srtoolbox.image",
    "read_picture": "srtoolbox.image",
    "sweep": "srtoolbox.apps.sweep.sweep",
    "train": "srtoolbox.engine.job.job",
    "test": "srtoolbox.apps.scoring.score",
    "upscale": "srtoolbox.inference.upscaler",
    "upscale_folder": "srtoolbox.apps.folder.upscale",
    "upscale_picture": "srtoolbox.inference.picture",
    "write_image": "srtoolbox.image",
    "write_picture": "srtoolbox.image",
}
# fmt: off
__all__ = [  # noqa: RUF022 - one literal, which type checkers read
    "__version__", "Config", "Job", "Picture", "Runner", "Upscaler", "browse_data", "colour_shift", "compare_runs",
    "convert", "evaluate", "import_config", "imresize", "load_network", "open_store", "read_image", "read_picture",
    "sweep", "test", "train", "upscale", "upscale_folder", "upscale_picture", "write_image", "write_picture",
]
# fmt: on


def __getattr__(name: str) -> object:
    """Public names are imported at first use, so that `--help` and listings stay free of torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'srtoolbox' has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names, imported or not: what completion offers."""
    return sorted({*globals(), *_PUBLIC})
