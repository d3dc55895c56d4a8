"""`key=value` overrides: values, derived values, named maps, lists."""

import pytest

from srtoolbox.cli.options import is_override
from srtoolbox.config import Config
from srtoolbox.config.overrides import parse_override
from srtoolbox.errors import ConfigError

FILES = {
    "base.py": "scale = 4\nroot = 'data'\ndata = dict(lq=f'{root}/X{scale}', size=32 * scale)\n",
    "child.py": """_base_ = 'base.py'
size = 48 * _base_.scale
model = dict(type='R', blocks=2, losses=dict(a=dict(type='L1'), b=dict(type='L2')))
wide = model['blocks'] * 10
steps = [dict(type='A'), dict(type='B', p=1)]
hooks = dict(ema=dict(type='EMA'), log=dict(type='Log'))
if True:
    conditional = 1
after = conditional + 1
""",
}


@pytest.fixture
def load(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return lambda *overrides: Config.fromfile(tmp_path / "child.py", overrides)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("-1", -1),
        ("1_000", 1000),
        ("None", None),
        ("none", None),
        ("True", True),
        ("false", False),
        ("[1, 2]", [1, 2]),
        ("1,2", (1, 2)),
        ("{'a': 1}", {"a": 1}),
        ("dict(type='L1Loss', weight=1.0)", {"type": "L1Loss", "weight": 1.0}),
        ("'3'", "3"),
        ("L1Loss", "L1Loss"),
        ("work_dirs/x3", "work_dirs/x3"),
        ("/data/set (1)/x", "/data/set (1)/x"),
        ("a=b", "a=b"),
        ("0001", "0001"),
        ("2024-01-01", "2024-01-01"),
        ("range(3)", "range(3)"),
        ("__import__('os')", "__import__('os')"),
        ("9**9**9", "9**9**9"),
        ("", ""),
        ("len", "len"),
    ],
)
def test_values(text, value):
    got = parse_override(f"key={text}").value
    assert (got == value and type(got) is type(value)) or (isinstance(value, dict) and got == value)


@pytest.mark.parametrize("text", ["novalue", "=3", "a..b=3", ".a=1"])
def test_malformed(text):
    with pytest.raises(ConfigError, match=r"not of the form key\.sub=value"):
        parse_override(text)


def test_derived_values_follow_through_bases(load):
    config = load("scale=2", "root=/sets")
    assert config.to_dict()["data"] == {"lq": "/sets/X2", "size": 64}
    assert (config.scale, config.size) == (2, 96)


def test_derived_values_follow_nested_keys(load):
    assert load("model.blocks=5").wide == 50
    assert load("data.size=7").data.size == 7


def test_a_name_bound_in_an_if_is_set_at_the_end(load):
    config = load("conditional=5")
    assert (config.conditional, config.after) == (5, 2)


def test_new_keys_and_merging(load):
    config = load("model.new.deep=1", "model=dict(type='S')", "runtime.device=cpu")
    assert config.model.new.deep == 1 and config.model.type == "S" and config.model.blocks == 2
    assert config.runtime == {"device": "cpu"}
    assert load("model=dict(_delete_=True, blocks=1)").to_dict()["model"] == {"blocks": 1}


def test_named_maps_lose_entries(load):
    config = load("hooks.ema=None", "model.losses.b=none")
    assert list(config.hooks) == ["log"] and list(config.model.losses) == ["a"]
    assert load("model.type=None").model.type is None, "elsewhere None is a value"
    with pytest.raises(ConfigError, match=r"hooks has no 'emma' to remove\. Did you mean 'ema'"):
        load("hooks.emma=None")


def test_list_elements(load):
    config = load("steps.1.p=5", "steps.0=dict(q=1)")
    assert config.steps == [{"type": "A", "q": 1}, {"type": "B", "p": 5}]
    with pytest.raises(ConfigError, match=r"'steps\.2\.p=5': steps is a list of 2 items, it has no item '2'"):
        load("steps.2.p=5")
    with pytest.raises(ConfigError, match="it has no item 'p'"):
        load("steps.p=5")


@pytest.mark.parametrize(
    "text", ["steps[1].p=5", "steps[-1].p=5", "steps.-1.p=5", "steps['1']['p']=5", "steps[ 1 ][p]=5"]
)
def test_brackets_are_dots(load, text):
    assert load(text).steps == load("steps.1.p=5").steps
    assert is_override(text)


def test_brackets_reach_into_everything(load, tmp_path):
    assert load("hooks[log].interval=3").hooks.log.interval == 3
    (tmp_path / "deep.py").write_text("a = [[1, 2], [3, [4]]]\n")
    assert Config.fromfile(tmp_path / "deep.py", ["a[1][1][0]=7", "a[0]=[9]"]).a == [[9], [3, [7]]]
    for text, missing in (("steps[2].p=5", "'2'"), ("steps[-3].p=5", "'-3'"), ("steps[p]=5", "'p'")):
        with pytest.raises(ConfigError, match=rf"steps is a list of 2 items, it has no item {missing}"):
            load(text)


@pytest.mark.parametrize("text", ["steps[1.p=5", "steps[]=5", "steps[1]]=5", "[1]=5", "steps[a b]=1", "steps[1+]=5"])
def test_malformed_brackets(text):
    with pytest.raises(ConfigError, match=r"not of the form key\.sub=value, key\[0\]\.sub=value"):
        parse_override(text)


def test_items_are_appended(load):
    config = load("steps+=[dict(type='C'), dict(type='D', p=2)]", "steps[2].p=7")
    assert config.steps == [{"type": "A"}, {"type": "B", "p": 1}, {"type": "C", "p": 7}, {"type": "D", "p": 2}]
    assert str(config.origin("steps.2.p")) == "command line"
    assert load("fresh+=[1]", "model.deep.list += [2]").fresh == [1] and is_override("model.deep.list+=[2]")
    assert load("model.deep.list += [2]").model.deep.list == [2]
    assert load("steps=[1]", "steps+=[2]", "steps+=[2]").steps == [1, 2, 2]
    assert load("steps+=[2]", "steps=[1]").steps == [1]
    with pytest.raises(ConfigError, match=r"'model\+=\[1\]': .* model is a map, .*: model\.NAME=\.\.\."):
        load("model+=[1]")
    with pytest.raises(ConfigError, match=r"'scale\+=\[1\]': \+= appends to a list, but scale is 4"):
        load("scale+=[1]")
    with pytest.raises(ConfigError, match=r"\+= appends the items of a list: steps\+=\[dict\(type='C'\)\]"):
        load("steps+=dict(type='C')")


@pytest.mark.parametrize(
    ("override", "path", "is_base"),
    [
        ("steps[0]=None", "steps.0", False),
        ("steps[-1]=7", "steps.1", False),
        ("steps[0]=None", "steps.1.p", True),
        ("steps[0]=dict(p=2)", "steps.0.p", False),
        ("steps[0]=dict(p=2)", "steps.0.type", True),
        ("steps[0]=dict(p=2)", "steps", True),
        ("model.betas[1]=5", "model.betas.1", False),
        ("model.betas[1]=5", "model.type", True),
        ("model.grid[0][1]=5", "model.grid.0.1", False),
    ],
)
def test_an_item_of_a_list_is_of_the_command_line_where_that_set_it(load, tmp_path, override, path, is_base):
    with open(tmp_path / "child.py", "a") as file:
        file.write("model.update(betas=[0.9, 0.99], grid=[[1, 2], [3, 4]])\n")
    assert str(load(override).origin(path)).startswith(str(tmp_path) if is_base else "command line")


CHAIN = {
    "first.py": """flips, sizes, pair = [dict(type='H')], [1], (1,)
data = dict(transforms=flips, sizes=sizes + [0])
""",
    "keeps.py": "_base_ = 'first.py'\ndata = dict(workers=2)\nown = _base_.flips\n",
    "adds.py": """_base_ = 'first.py'
_base_.data.transforms += [dict(type='V')]
flips = _base_.flips + [dict(type='V')]
""",
    "binds.py": """_base_ = 'first.py'
flips, sizes = [dict(type='X'), dict(type='T')], [3]
data = dict(transforms=flips)
""",
}


def types(entries) -> str:
    return "".join(entry["type"] for entry in entries)


@pytest.mark.parametrize(
    ("name", "override", "names", "used"),
    [
        ("first.py", "flips+=[dict(type='T')]", "HT", "HT"),
        ("first.py", "data.transforms+=[dict(type='T')]", "H", "HT"),
        ("keeps.py", "flips+=[dict(type='T')]", "HT", "HT"),
        ("keeps.py", "data.transforms+=[dict(type='T')]", "H", "HT"),
        ("adds.py", "flips+=[dict(type='T')]", "HVT", "HTV"),
        ("adds.py", "data.transforms+=[dict(type='T')]", "HV", "HVT"),
        ("binds.py", "flips+=[dict(type='T')]", "XTT", "XTT"),
        ("binds.py", "data.transforms+=[dict(type='T')]", "XT", "XTT"),
    ],
)
def test_what_is_appended_stands_once_and_derived_values_follow(tmp_path, name, override, names, used):
    for file, text in CHAIN.items():
        (tmp_path / file).write_text(text)
    config = Config.fromfile(tmp_path / name, [override])
    assert (types(config.flips), types(config.data.transforms)) == (names, used)
    numbers = Config.fromfile(tmp_path / name, ["sizes+=[5, 6]", "pair+=[2]"])
    assert numbers.sizes == ([3, 5, 6] if name == "binds.py" else [1, 5, 6]) and numbers.pair == (1, 2)
    assert numbers.data.sizes == [1, 5, 6, 0]


def test_plugins_are_added_to_those_of_the_base(tmp_path):
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases/a.py").write_text("custom_imports = ['./mine.py']\n")
    (tmp_path / "b.py").write_text("_base_ = 'bases/a.py'\n")
    config = Config.fromfile(tmp_path / "b.py", ["custom_imports+=['./more.py']"])
    assert config.custom_imports == [str(tmp_path / "bases/mine.py"), str(tmp_path / "more.py")]


def test_a_printed_config_with_appended_entries_is_the_same_again(load, tmp_path):
    config = load("steps+=[dict(type='C')]")
    (tmp_path / "again.py").write_text(config.dump())
    assert Config.fromfile(tmp_path / "again.py").to_dict() == config.to_dict()


def test_impossible_paths(load):
    with pytest.raises(ConfigError, match=r"command line: 'scale\.x=1': scale is 4"):
        load("scale.x=1")
    with pytest.raises(ConfigError, match=r"model\.type is 'R'"):
        load("model.type.x.y=1")


def test_the_last_of_two_wins(load):
    assert load("scale=2", "scale=3").data.size == 96


def test_integer_keys(tmp_path):
    (tmp_path / "a.py").write_text("x = {1: 'one', 'k': 2}")
    assert Config.fromfile(tmp_path / "a.py", ["x.1=uno"]).to_dict() == {"x": {1: "uno", "k": 2}}


def test_a_value_given_twice_is_not_shared(load):
    config = load("a=[1]", "b.c=dict(d=[1])")
    config.a.append(2)
    assert load("a=[1]").a == [1]


def test_names_bound_to_one_value_are_changed_apart(tmp_path):
    (tmp_path / "a.py").write_text("train = [dict(p=1)]\ntest = train\n")
    config = Config.fromfile(tmp_path / "a.py", ["test.0.p=5"])
    assert config.to_dict() == {"train": [{"p": 1}], "test": [{"p": 5}]}


@pytest.mark.parametrize("statement", ["a = b = 3", "b = a = 3", "a: int = 3"])
def test_derived_values_follow_every_kind_of_assignment(tmp_path, statement):
    (tmp_path / "a.py").write_text(f"{statement}\nc = a * 2")
    assert Config.fromfile(tmp_path / "a.py", ["a=5"]).c == 10


def test_parts_of_tuples_and_odd_digits(tmp_path):
    (tmp_path / "a.py").write_text("b = (1, (2, 3))\nc = [1]")
    for override in ("b.0=5", "b.1.0=5"):
        with pytest.raises(ConfigError, match=r"command line: .*: b is a tuple, which is given as a whole"):
            Config.fromfile(tmp_path / "a.py", [override])
    with pytest.raises(ConfigError, match="it has no item '\u00b2'"):
        Config.fromfile(tmp_path / "a.py", ["c.\u00b2=5"])


@pytest.mark.parametrize("binding", ["a, b = 10, 2", "[a, b] = [10, 2]", "(a, *_), b = (10, 0), 2"])
def test_names_bound_together_are_overridden_where_they_are_bound(tmp_path, binding):
    (tmp_path / "pair.py").write_text(f"{binding}\nproduct = a * b\n")
    config = Config.fromfile(tmp_path / "pair.py", ["a=3"])
    assert (config["a"], config["b"], config["product"]) == (3, 2, 6)


@pytest.mark.parametrize(
    ("override", "a", "read"),
    [
        ("a.b=dict(_delete_=True)", {"b": {}, "z": 3}, {}),
        ("a.b=dict(_delete_=True, w=1)", {"b": {"w": 1}, "z": 3}, {"w": 1}),
        ("a=dict(b=dict(_delete_=True, w=1))", {"b": {"w": 1}, "z": 3}, {"w": 1}),
        ("a=dict(_delete_=True, b=dict(x=7))", {"b": {"x": 7}}, {"x": 7}),
        ("a.b.x=dict(_delete_=True, w=1)", {"b": {"x": {"w": 1}, "y": 2, "u": 9}, "z": 3}, {"x": {"w": 1}, "y": 2}),
    ],
)
def test_delete_replaces_where_a_name_is_bound_and_in_the_end(tmp_path, override, a, read):
    (tmp_path / "base.py").write_text("a = dict(b=dict(x=1, y=2), z=3)\nn = dict(taken=a.b)\n")
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\na = dict(b=dict(u=9))\nm = dict(taken=_base_.a.b)\n")
    config = Config.fromfile(tmp_path / "child.py", [override]).to_dict()
    assert config == {"a": a, "n": {"taken": read}, "m": {"taken": read}}


def test_an_entry_is_removed_from_the_finished_config_alone(tmp_path):
    (tmp_path / "base.py").write_text("hooks = dict(ema=dict(decay=0.9), log=dict(interval=5))\nn = hooks.ema.decay\n")
    child = "_base_ = 'base.py'\nm = _base_.hooks.ema.decay\n"
    for text in (child, child + "hooks = dict(ema=None)\n"):  # a file may have removed it as well
        (tmp_path / "child.py").write_text(text)
        config = Config.fromfile(tmp_path / "child.py", ["hooks.ema=None"])
        assert config.to_dict() == {"hooks": {"log": {"interval": 5}}, "n": 0.9, "m": 0.9}


@pytest.mark.parametrize("hook", ["ema", "logger"])
def test_a_hook_is_taken_out_of_the_finished_config(tmp_path, hook):
    (tmp_path / "base.py").write_text(
        f"hooks = dict({hook}=dict(type='A', x=2), z=dict(type='Z'))\nn = hooks.{hook}.x\n"
    )
    (tmp_path / "child.py").write_text(
        f"_base_ = 'base.py'\nhooks = dict({hook}=dict(y=1))\nm = _base_.hooks.{hook}.x\n"
    )
    left = {"z": {"type": "Z"}} | ({"logger": None} if hook == "logger" else {})
    config = Config.fromfile(tmp_path / "child.py", [f"hooks.{hook}=None"])
    assert config.to_dict() == {"hooks": left, "n": 2, "m": 2}
    with open(tmp_path / "child.py", "a") as file:
        file.write(f"del _base_.hooks.{hook}\nhooks = dict(z=dict(w=1))\n")
    assert Config.fromfile(tmp_path / "child.py", [f"hooks.{hook}=None"]).hooks.z == {"type": "Z", "w": 1}


def test_what_takes_a_map_from_its_name_loses_the_same_entry(tmp_path):
    (tmp_path / "a.py").write_text(
        "losses = dict(a=dict(type='L1'), b=dict(type='L2'))\ntrainer = dict(losses=losses)\n"
    )
    assert list(Config.fromfile(tmp_path / "a.py", ["losses.b=None"]).trainer.losses) == ["a"]
