"""`key=value` overrides: values, derived values, named maps, lists."""

import pytest

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
