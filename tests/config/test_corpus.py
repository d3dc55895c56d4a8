"""Configs written as MMEditing's and MMagic's are evaluate to what MMEngine makes of them (corpus/regenerate.py)."""

import importlib.util
import json
from pathlib import Path

import pytest

from srtoolbox.config import Config

CORPUS = Path(__file__).parent / "corpus"
EXPECTED = sorted(CORPUS.glob("*_expected.json"))


def encoded(value):
    """The same encoding as in corpus/regenerate.py, which cannot be imported without MMEngine."""
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: encoded(item) for key, item in value.items()}
        return {"<items>": [[encoded(key), encoded(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"<tuple>": [encoded(item) for item in value]}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    return value.replace(str(CORPUS), "<corpus>") if isinstance(value, str) else value


def config_of(expected: Path) -> Path:
    stem, _, suffix = expected.name.removesuffix("_expected.json").rpartition("_")
    return CORPUS / f"{stem}.{suffix}"


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: config_of(path).name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_evaluates_as_in_mmengine(expected):
    got = encoded(Config.fromfile(config_of(expected)).to_dict())
    wanted = json.loads(expected.read_text(encoding="utf-8"))
    assert set(got) == set(wanted)
    for key in wanted:
        assert got[key] == wanted[key], key
    # `True == 1` and `1.0 == 1`: the types must agree too
    assert json.dumps(got, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def test_every_config_has_an_expectation():
    configs = {path.name for path in CORPUS.glob("*.py")} | {"settings.yaml", "settings.json", "settings_parent.json"}
    assert configs - {"regenerate.py"} == {config_of(path).name for path in EXPECTED}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: config_of(path).name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dump_loads_to_the_same(expected, tmp_path):
    config = Config.fromfile(config_of(expected))
    again = tmp_path / "again.py"
    again.write_text(config.dump(), encoding="utf-8")
    assert repr(sorted(Config.fromfile(again).to_dict().items())) == repr(sorted(config.to_dict().items()))


@pytest.mark.skipif(importlib.util.find_spec("mmengine") is None, reason="needs MMEngine, to compare with it directly")
@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: config_of(path).name)
def test_expectation_is_current(expected):
    from mmengine.config import Config as Theirs

    assert encoded(Theirs.fromfile(config_of(expected)).to_dict()) == json.loads(expected.read_text(encoding="utf-8"))
