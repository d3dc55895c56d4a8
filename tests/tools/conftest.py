"""The scripts of tools/maintenance as modules: they import each other as they do when started."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

MAINTENANCE = Path(__file__).parents[2] / "tools/maintenance"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script by its name."""
    monkeypatch.syspath_prepend(str(MAINTENANCE))
    return importlib.import_module
