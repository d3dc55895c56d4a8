"""Modules that were renamed go on being importable, with a sentence."""

import importlib
import sys

import pytest

from srtoolbox.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_earlier_name_is_the_module_and_tells_the_new_one(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(FutureWarning, match=rf"^{old} is called {MOVED[old]} now$") as caught:
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old]) and module.__spec__.name == MOVED[old]
    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_the_module_of_stores_offered_is_found_by_its_earlier_name() -> None:
    module = importlib.import_module("srtoolbox.data.stores.opening")
    names = ["FolderStore", "HubStore", "LmdbStore", "Shape", "Store", "Window", "key_of", "open_folder", "open_store"]
    assert [name for name in names if not hasattr(module, name)] == []
