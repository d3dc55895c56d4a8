"""ConfigDict does on a loaded config what MMEngine's does, and what a plain dict does in a config file."""

from __future__ import annotations

import copy
import operator
import pickle

import addict
import pytest

from srtoolbox.config import Config, ConfigDict, Origin

TEXT = """model = dict(
    type='Restorer',
    generator=dict(type='ESPCN', scale=3),
    stages=[dict(depth=1), (dict(depth=2),)],
)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(TEXT)
    return Config.fromfile(path)


def line_of(node: ConfigDict, key: str) -> int | None:
    origin = node.origin_of(key)
    return origin and origin.line


def test_missing_names_raise_with_the_nearest(config):
    for read in (
        lambda: config.model.generatr,
        lambda: config.modle,
        lambda: delattr(config.model, "generatr"),
        lambda: config.model["generatr"],
        lambda: config.model.__delitem__("generatr"),
    ):
        with pytest.raises((AttributeError, KeyError), match=r"Did you mean '(generator|model)'"):
            read()
    assert not hasattr(config.model, "depth") and "depth" not in config.model


def test_update_merges_dicts_and_keeps_origins(config):
    config.model.update(generator=dict(scale=4), extra=dict(a=1))
    assert config.model.generator.to_dict() == {"type": "ESPCN", "scale": 4}
    assert config.model.extra.a == 1
    assert line_of(config.model.generator, "type") == 3 and line_of(config.model, "generator") == 3
    other = ConfigDict.at(Origin("b.py", 7))
    other.put("depth", 5, Origin("b.py", 8))
    config.model.update({"generator": other, "other": other})
    assert str(config.origin("model.generator.depth")) == "b.py:8"
    assert str(config.origin("model.other.depth")) == "b.py:8"
    config.update([("seed", 1)])
    assert config.seed == 1
    with pytest.raises(ValueError):
        config.model.update(3 * [(1,)])


@pytest.mark.parametrize("is_first", [True, False])
def test_a_union_is_new_and_merges(config, is_first):
    generator = config.model.generator
    more = {"model": {"generator": {"scale": 2, "kernels": [3]}}}
    whole = ConfigDict(model=config.model)
    union = whole | more if is_first else more | whole
    assert type(union) is ConfigDict and type(union.model.generator) is ConfigDict
    expected = {"type": "ESPCN", "scale": 2 if is_first else 3, "kernels": [3]}
    assert union.model.generator == expected and generator == {"type": "ESPCN", "scale": 3}
    assert line_of(union.model.generator, "type") == 3
    assert more == {"model": {"generator": {"scale": 2, "kernels": [3]}}}


def test_a_union_in_place(config):
    generator = config.model.generator
    generator |= {"scale": 2}
    assert config.model.generator is generator and generator.scale == 2
    assert line_of(generator, "type") == 3
    with pytest.raises(TypeError):
        generator | 3


def test_setdefault_and_pop(config):
    assert config.model.setdefault("type", "x") == "Restorer"
    config.model.setdefault("hook", {})["depth"] = 3
    assert config.model.hook.depth == 3
    assert config.model.pop("generator").scale == 3 and "generator" not in config.model
    assert config.model.pop("generator") is None and config.model.pop("generator", 5) == 5
    config.model.generator = 1
    assert line_of(config.model, "generator") == 1, "the place of the dict, not of the entry before"


def test_a_name_of_a_method_is_the_method(config):
    config.model["copy"] = config["copy"] = 3
    assert callable(config.model.copy) and config.model["copy"] == config["copy"] == 3
    for holder in (config.model, config):
        with pytest.raises(AttributeError, match=r"set such a key by cfg\['update'\] = \.\.\."):
            holder.update = 1
    config.model["freeze"] = 5
    config.model.freeze()
    with pytest.raises(KeyError):
        config.model["another"] = 1
    assert config.model["freeze"] == 5 and config.model.generator.to_dict()["scale"] == 3
    config.model.unfreeze()
    with pytest.raises(AttributeError, match="'freeze' is a name of the class itself"):
        config.model.freeze = 1
    with pytest.raises(AttributeError, match="'filename' is a name of Config itself"):
        config.filename = "x.py"


def test_plain_data_copies_and_pickles(config):
    data = config.model.to_dict()
    assert data["stages"] == [{"depth": 1}, ({"depth": 2},)]
    assert {type(data["generator"]), type(data["stages"][0]), type(data["stages"][1][0])} == {dict}
    for make in (copy.copy, copy.deepcopy, lambda node: pickle.loads(pickle.dumps(node))):
        again = make(config.model)
        assert type(again) is ConfigDict and again == config.model
        assert line_of(again, "generator") == 3 and line_of(again.generator, "scale") == 3
    deep = copy.deepcopy(config.model)
    deep.generator.scale = 9
    assert config.model.generator.scale == 3


def test_it_is_an_addict_dict(config):
    assert issubclass(ConfigDict, addict.Dict) and isinstance(config.model.generator, addict.Dict)
    deep = config.model.deepcopy()
    deep.stages[0].depth = 9
    assert config.model.stages[0].depth == 1 and line_of(deep, "stages") == 4
    with pytest.raises(TypeError):
        operator.add(ConfigDict(), [1])


def test_made_of_mappings_pairs_and_names():
    node = ConfigDict({"a": {"b": 1}}, [("c", [{"d": 2}])], e={"f": 3})
    assert (node.a.b, node.c[0].d, node.e.f) == (1, 2, 3)
    assert ConfigDict(None) == {}


def test_in_a_file_an_own_dict_is_plain_and_an_inherited_one_merges(tmp_path):
    (tmp_path / "base.py").write_text("net = dict(a=dict(b=1, c=2))\n")
    path = tmp_path / "own.py"
    path.write_text(
        "_base_ = 'base.py'\n"
        "own = dict(a=dict(b=1, c=2))\n"
        "more = dict(a=dict(b=3))\n"
        "plain_union, merged_union, reflected = own | more, _base_.net | more, more | _base_.net\n"
        "own.update(more)\n"
        "x = own.setdefault('z', 4)\n"
    )
    config = Config.fromfile(path)
    assert config.plain_union == config.more == {"a": {"b": 3}}
    assert config.own == {"a": {"b": 3}, "z": 4}
    assert config.merged_union == {"a": {"b": 3, "c": 2}} and config.net == {"a": {"b": 1, "c": 2}}
    assert config.reflected == {"a": {"b": 1, "c": 2}}
    assert str(config.origin("merged_union.a.b")).endswith("own.py:3")
    assert str(config.origin("merged_union.a.c")).endswith("base.py:1")
    path.write_text("own = dict(a=1)\nown.pop('b')\n")
    with pytest.raises(Exception, match=r"own.py:2: no key 'b'"):
        Config.fromfile(path)
    path.write_text("own = dict() + [1]\n")
    with pytest.raises(Exception, match=r"own.py:1: TypeError"):
        Config.fromfile(path)
