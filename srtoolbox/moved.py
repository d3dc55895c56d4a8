"""Earlier names of modules, for plugins and scripts: each gives the new one, and a warning."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

MOVED = {
    "srtoolbox.backbones": "srtoolbox.features.backbones",
    "srtoolbox.data.pairing": "srtoolbox.data.stores.pairing",
    "srtoolbox.data.loading.rng": "srtoolbox.data.loading.draws",
    "srtoolbox.data.loading.sampler": "srtoolbox.data.loading.draws",
    "srtoolbox.data.rng": "srtoolbox.data.loading.draws",
    "srtoolbox.data.sampler": "srtoolbox.data.loading.draws",
    "srtoolbox.data.store": "srtoolbox.data.stores.base",
    "srtoolbox.data.stores.opening": "srtoolbox.data.stores",
    "srtoolbox.engine.checkpoint": "srtoolbox.weights.checkpoint",
    "srtoolbox.engine.job.signals": "srtoolbox.engine.stop",
    "srtoolbox.engine.optim": "srtoolbox.optim.wrapper",
    "srtoolbox.engine.runner": "srtoolbox.engine.loop",
    "srtoolbox.engine.weights": "srtoolbox.weights.load",
    "srtoolbox.files": "srtoolbox.io.files",
    "srtoolbox.inference.upscale": "srtoolbox.inference.restore",
    "srtoolbox.inference.video": "srtoolbox.apps.video",
    "srtoolbox.tensor_files": "srtoolbox.io.tensor_files",
    "srtoolbox.vision": "srtoolbox.features.torchvision",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the old names, and puts the module of the new name in the place of each."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to import an old name; None for all others."""
        return importlib.machinery.ModuleSpec(name, self) if name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Import the new module, and warn of the old name at the line that imports it."""
        new = MOVED[module.__name__]
        warnings.warn(f"{module.__name__} is called {new} now", FutureWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def install() -> None:
    """Let the old names be imported."""
    sys.meta_path.append(_Finder())
