"""Config: loading, bases, origins, attribute access, copies, dumping, finding packaged configs."""

import copy
import math
import pickle

import pytest

from srtoolbox.config import Config, Origin, resolve_config
from srtoolbox.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def write(**files):
        """`write(a_py="...")` writes a.py; returns the path of the first."""
        paths = []
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            paths.append(tmp_path / f"{stem}.{suffix}")
            paths[-1].write_text(text, encoding="utf-8")
        return paths[0]

    return write


BASE = """scale = 4
model = dict(
    type='Restorer',
    generator=dict(type='ESPCN',
                   scale=scale),
    losses=dict(pixel=dict(type='L1Loss'), edge=dict(type='MSELoss')),
)
steps = [dict(type='A', p=1), dict(type='B')]
"""
CHILD = """_base_ = ['base.py']
model = dict(generator=dict(kernels=[5, 3, 3]))
_base_.model.losses.edge.weight = 0.5
extra = dict(**_base_.steps[0],
             q=2)
"""


def test_every_key_knows_where_it_was_written(write, tmp_path):
    config = Config.fromfile(write(child_py=CHILD, base_py=BASE))
    base, child = str(tmp_path / "base.py"), str(tmp_path / "child.py")
    for path, origin in {
        "scale": (base, 1),
        "model": (child, 2),
        "model.type": (base, 3),
        "model.generator.scale": (base, 5),
        "model.generator.kernels": (child, 2),
        "model.losses.pixel": (base, 6),
        "model.losses.edge.type": (base, 6),
        "model.losses.edge.weight": (child, 3),
        "steps.1.type": (base, 8),
        "extra.p": (base, 8),
        "extra.q": (child, 5),
    }.items():
        assert config.origin(path) == Origin(*origin), path
    assert str(config.origin("scale")) == f"{base}:1"
    assert config.origin("model.generator.absent") == config.origin("model.generator"), "the parent's, for messages"
    assert config.origin("absent") is None


def test_overrides_and_loops_have_origins(write, tmp_path):
    path = write(a_py="a = dict(b=1)\nfor i in range(2):\n    a['c'] = i\na.update(d=1)\n")
    config = Config.fromfile(path, ["a.e.f=1", "a.b=2"])
    assert [config.origin(f"a.{key}").line for key in "cd"] == [3, 4]
    assert config.origin("a.e.f") == config.origin("a.b") == Origin("command line", None)
    assert str(config.origin("a.b")) == "command line"


def test_yaml_lines_and_json_file(write, tmp_path):
    config = Config.fromfile(write(a_yaml="x: 1\nm:\n  k: [1, {d: 2}]\n"))
    assert config.origin("m.k") == Origin(str(tmp_path / "a.yaml"), 3)
    assert config.origin("m.k.1.d").line == 3
    assert config.to_dict() == {"x": 1, "m": {"k": [1, {"d": 2}]}}
    text = '{"x": {"y": "a \\": {", "z": []},\n "l": [\n{"k:": 1, "d": {}, "k:":\n 2}],\n"last" : "x:"}'
    config = Config.fromfile(write(b_json=text))
    lines = {path: config.origin(path).line for path in ("x", "x.y", "x.z", "l", "l.0.k:", "l.0.d", "last")}
    assert lines == {"x": 1, "x.y": 1, "x.z": 1, "l": 2, "l.0.k:": 3, "l.0.d": 3, "last": 5}
    assert config.origin("last").file == str(tmp_path / "b.json")
    assert config.to_dict()["l"] == [{"k:": 2, "d": {}}]


def test_attribute_access(write):
    config = Config.fromfile(write(a_py=BASE))
    assert config.model.generator.scale == config["model"]["generator"]["scale"] == 4
    assert config.get("absent", 7) == 7 and "model" in config and "absent" not in config
    assert config.steps[0].type == "A"
    with pytest.raises(AttributeError, match="Did you mean 'generator'"):
        config.model.genrator  # noqa: B018
    with pytest.raises(KeyError, match="Did you mean 'scale'"):
        config["scal"]
    config.model.generator = {"type": "SRCNN", "options": [{"a": 1}]}
    assert config.model.generator.options[0].a == 1


def test_copies_are_independent_and_keep_origins(write):
    config = Config.fromfile(write(a_py=BASE))
    for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin.to_dict() == config.to_dict() and twin.origin("model.type") == config.origin("model.type")
        assert twin.filename == config.filename
        twin.model.generator.scale = 2
        twin.steps.append(1)
        assert config.model.generator.scale == 4 and len(config.steps) == 2


def test_to_dict_is_plain_and_a_copy(write):
    config = Config.fromfile(write(a_py=BASE))
    plain = config.to_dict()
    assert {type(plain), type(plain["model"]), type(plain["steps"][0])} == {dict}
    plain["model"]["generator"]["scale"] = 2
    assert config.model.generator.scale == 4


def test_values_of_one_name_are_separate_in_the_result(write):
    config = Config.fromfile(write(a_py="shared = dict(n=1)\na = dict(part=shared)\nb = dict(part=shared)\n"))
    config.a.part.n = 2
    assert config.b.part.n == 1


def test_dump_keeps_what_python_text_makes_hard():
    values = {
        "nan_free": [math.inf, -math.inf, 1e-300, -0.0],
        "text": "{{ fileBasename }} and {{ _base_.x }} '\"\\\n\u00e9",
        "odd_keys": {"a-b": 1, "class": 2, 3: 4, (1, "x"): 5, None: 6, 1.5: 7},
        "empty": [{}, [], (), (1,)],
        "dict": "shadows the function",
        "long": {f"key_{i}": [i] * 10 for i in range(10)},
        "none": None,
        "flags": {True, False},
    }
    config = Config(values)
    assert eval_dump(config.dump()) == values


def eval_dump(text, tmp=None):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dumped.py")
        path.write_text(text, encoding="utf-8")
        return Config.fromfile(path).to_dict()


def test_dump_refuses_a_key_that_is_no_name():
    with pytest.raises(ConfigError, match="'a-b' cannot be written as a Python name"):
        Config({"a-b": 1}).dump()


def test_two_bases_with_one_key(write, tmp_path):
    path = write(a_py="_base_ = ['b.py', 'c.py']", b_py="x = 1", c_py="y = 1\nx = 2")
    with pytest.raises(ConfigError, match=r"a\.py:1: two bases define 'x': .*b\.py:1 and .*c\.py:2"):
        Config.fromfile(path)


def test_dict_over_something_else(write):
    path = write(a_py="_base_ = 'b.py'\nx = dict(y=dict(z=1))", b_py="x = dict(y=3)")
    with pytest.raises(ConfigError, match=r"a\.py:2: x\.y: a dict cannot be merged into the int set at .*b\.py:1"):
        Config.fromfile(path)
    path = write(a_py="_base_ = 'b.py'\nx = dict(y=dict(_delete_=True, z=1))", b_py="x = dict(y=3)")
    assert Config.fromfile(path).to_dict() == {"x": {"y": {"z": 1}}}


def test_dict_over_none_puts_an_entry_back(write):
    path = write(a_py="_base_ = 'b.py'\nx = dict(y=dict(z=1))", b_py="x = dict(y=None, v=2)")
    config = Config.fromfile(path)
    assert config.to_dict() == {"x": {"y": {"z": 1}, "v": 2}} and str(config.origin("x.y")).endswith("a.py:2")


@pytest.mark.parametrize("item", ["x.z[0]", "x.z[1][_base_.x.n]", "x['z'][-1]", "x.z[:1]"])
def test_an_item_set_in_a_list_of_the_base_has_the_line_that_set_it(write, item):
    value = "[None]" if ":" in item else "None"
    path = write(a_py=f"_base_ = 'b.py'\n\n_base_.{item} = {value}", b_py="x = dict(z=[1, [2], dict(w=3)],\n    n=0)")
    config = Config.fromfile(path)
    assert str(config.origin("x.z.0")).endswith("a.py:3") and str(config.origin("x.n")).endswith("b.py:2")
    path = write(c_py="_base_ = 'b.py'\n\n_base_.x.get('z')[0] = dict(v=1)\n_base_.x.get('z')[1] = 5")
    config = Config.fromfile(path)
    assert str(config.origin("x.z.0.v")).endswith("c.py:3") and str(config.origin("x")).endswith("b.py:1")


@pytest.mark.parametrize("is_first", [True, False])
def test_delete_drops_what_a_file_between_or_the_same_file_appended(write, is_first):
    lines = ["_base_.x.y.z += [3]", "x = dict(y=dict(_delete_=True, w=1))"]
    own = "\n".join(["_base_ = 'b.py'", *(lines if is_first else lines[::-1])])
    between = write(a_py="_base_ = 'c.py'\nx = dict(y=dict(_delete_=True, w=1))", c_py="_base_ = 'b.py'\n" + lines[0])
    for path in (write(d_py=own, b_py="x = dict(y=dict(z=[1, 2]), v=5)"), between):
        assert Config.fromfile(path).to_dict() == {"x": {"y": {"w": 1}, "v": 5}}


def test_delete_never_stays(write):
    text = "_base_ = 'b.py'\nx = dict(_delete_=True, a=dict(_delete_=True, n=1))\n"
    text += "new = dict(_delete_=True, m=[dict(_delete_=1)])"
    config = Config.fromfile(write(a_py=text, b_py="x = dict(gone=1, a=dict(gone=2))"))
    assert config.to_dict() == {"x": {"a": {"n": 1}}, "new": {"m": [{}]}}


def test_missing_base_names_the_config_and_line(write):
    with pytest.raises(ConfigError, match=r"a\.py:2: _base_ file 'gone\.py' not found \(looked for .*gone\.py,"):
        Config.fromfile(write(a_py="x = 1\n_base_ = ['gone.py']"))
    with pytest.raises(ConfigError, match=r"a\.yaml:2: _base_ file 'gone\.py' not found"):
        Config.fromfile(write(a_yaml="x: 1\n_base_: gone.py"))
    with pytest.raises(ConfigError, match=r"a\.py:1: _base_ 'mmdet::x\.py' is in another package"):
        Config.fromfile(write(a_py="_base_ = 'mmdet::x.py'"))


def test_wrong_base_statements(write):
    for text, message in (
        ("_base_ = 3", r"a\.py:1: _base_ is a file name or a list"),
        ("_base_ = []\n_base_ = []", r"a\.py:2: _base_ is assigned a second time"),
        ("if True:\n    _base_ = []", r"a\.py:2: _base_ is assigned once, at the top level"),
        ("x = 'a {{ _base_.y }}'", r"a\.py:1: a \{\{ _base_.x \}\} template cannot stand inside a string"),
        ("x = '{{$SRTOOLBOX_SURELY_UNSET:}}'", "the environment variable SRTOOLBOX_SURELY_UNSET is not set"),
        ("x = _base_.model.type", r"a\.py:1: no key 'model'"),
        ("assert 1 > 2, 'one is less'", r"a\.py:1: assertion failed: one is less"),
    ):
        with pytest.raises(ConfigError, match=message):
            Config.fromfile(write(a_py=text))


def test_data_root_is_bound_but_no_key(write, monkeypatch):
    path = write(a_py="gt = f'{data_root}/Set5'")
    monkeypatch.delenv("SRTOOLBOX_DATA", raising=False)
    assert Config.fromfile(path).to_dict() == {"gt": "data/Set5"}
    monkeypatch.setenv("SRTOOLBOX_DATA", "/sets")
    assert Config.fromfile(path).to_dict() == {"gt": "/sets/Set5"}
    assert Config.fromfile(path, ["data_root=/mine"]).to_dict() == {"gt": "/mine/Set5"}
    own = write(a_py="data_root = 'own'\ngt = f'{data_root}/Set5'")
    assert Config.fromfile(own).to_dict() == {"data_root": "own", "gt": "own/Set5"}
    assert Config.fromfile(own, ["data_root=/mine"]).to_dict() == {"data_root": "/mine", "gt": "/mine/Set5"}


def test_used_names(write):
    path = write(a_py="_base_ = 'b.py'\nx = 1 + _base_.inherited", b_py="helper = 1\ninherited = helper\nunread = 2")
    config = Config.fromfile(path)
    assert {"helper", "inherited"} <= config.used and not {"unread", "x"} & config.used


def test_mixed_formats_as_bases(write):
    config = Config.fromfile(write(a_py="_base_ = ['b.yaml', 'c.json']\nx = _base_.m.k * 2", b_yaml="m: {k: 2}",
                                   c_json='{"n": [1, {"d": null}]}'))  # fmt: skip
    assert config.to_dict() == {"m": {"k": 2}, "n": [1, {"d": None}], "x": 4}


def test_packaged_configs_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("quickstart/espcn_x3_photos.py", "configs/quickstart/espcn_x3_photos.py", "espcn_x3_photos"):
        assert Config.fromfile(name).model.generator.type == "ESPCN"
    with pytest.raises(ConfigError, match=r"no such config file.*Did you mean 'quickstart/espcn_x3_photos\.py'"):
        Config.fromfile("quickstart/espcn_x3_photo.py")
    with pytest.raises(ConfigError, match=r"a config is a \.py, \.yaml"):
        (tmp_path / "x.ini").write_text("a = 1")
        Config.fromfile("x.ini")


def test_relative_paths_in_messages(write, tmp_path, monkeypatch):
    write(a_py="_base_ = '../up.py'\nx = 1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.py").rename(tmp_path / "sub/a.py")
    (tmp_path / "up.py").write_text("y = 1")
    monkeypatch.chdir(tmp_path)
    assert str(Config.fromfile("sub/a.py").origin("y")) == "up.py:1"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = len()", r"len\(\): missing a required argument"),
        ("x = max([1], key=1)", r"max\(\): got an unexpected keyword argument 'key'"),
        ("x = ','.join()", "the method 'join' needs 1 argument, got 0"),
        ("x = dict().pop()", "the method 'pop' needs 1 argument, got 0"),
        ("x = 'a'()", "calling a value is not allowed"),
        ("with open('x'): pass", "`with` is not allowed in a config"),
        ("del x", "name 'x' is not defined"),
        ("del dict(scale=1)['scal']", "no key 'scal'. Did you mean 'scale'"),
    ],
)
def test_the_right_word(write, code, message):
    with pytest.raises(ConfigError, match=r"a\.py:2: " + message):
        Config.fromfile(write(a_py="\n" + code))


def test_a_byte_order_mark_is_no_part_of_the_text(write):
    for files in ({"a_py": "\ufeffx = 1"}, {"a_json": '\ufeff{"x": 1}'}, {"a_yaml": "\ufeffx: 1"}):
        assert Config.fromfile(write(**files)).to_dict() == {"x": 1}


def test_a_packaged_config_is_a_base_by_name(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    child = write(a_py="_base_ = ['espcn/espcn_x3_t91.py']\nmax_iters = 7\n")
    config = Config.fromfile(child)
    assert config.max_iters == 7 and config.model.generator.type == "ESPCN"
    assert config.origin("model").file.endswith("configs/espcn/espcn_x3_t91.py")
    (tmp_path / "espcn").mkdir()
    (tmp_path / "espcn/espcn_x3_t91.py").write_text("mine = 1\n")
    assert Config.fromfile(child).to_dict() == {"mine": 1, "max_iters": 7}, "a file beside the config goes first"
    (tmp_path / "espcn/espcn_x3_t91.py").write_text("_base_ = ['espcn/espcn_x3_t91.py']\nmine = 1\n")
    assert Config.fromfile(child).model.generator.type == "ESPCN", "a namesake inherits from the packaged one"


@pytest.mark.parametrize("name", ["espcn/espcn_x3_t92.py", "./espcn/espcn_x3_t91.py", "espcn_x3_t91.py", "espcn"])
def test_a_base_that_is_nowhere(write, name):
    with pytest.raises(ConfigError, match=r"a\.py:1: _base_ file .* not found \(looked for .*among the packaged"):
        Config.fromfile(write(a_py=f"_base_ = [{name!r}]"))


def test_a_misspelt_packaged_base_is_answered(write):
    with pytest.raises(ConfigError, match=r"Did you mean 'espcn/espcn_x3_t91\.py'\?"):
        Config.fromfile(write(a_py="_base_ = ['espcn/espcn_x3_t19.py']"))


def test_plugin_files_are_found_from_wherever_the_config_is_saved(tmp_path, monkeypatch):
    for name in ("base", "child", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "base/base.py").write_text("custom_imports = ['./b.py', 'my_package.losses']\n")
    (tmp_path / "child/child.py").write_text(
        "_base_ = '../base/base.py'\ncustom_imports = [*_base_.custom_imports, 'c.py', '../d.py']\n"
    )
    monkeypatch.chdir(tmp_path / "child")
    config = Config.fromfile("child.py")
    files = [f"{tmp_path}/base/b.py", "my_package.losses", f"{tmp_path}/child/c.py", f"{tmp_path}/d.py"]
    assert config.custom_imports == files and config.origin("custom_imports") == Origin("child.py", 2)
    (tmp_path / "elsewhere/config.py").write_text(config.dump())
    assert Config.fromfile(tmp_path / "elsewhere/config.py").custom_imports == files
    assert Config.fromfile("child.py", ["custom_imports=./e.py"]).custom_imports == f"{tmp_path}/child/e.py"
    (tmp_path / "child/wrong.py").write_text("custom_imports = 3\n")
    assert Config.fromfile("wrong.py").custom_imports == 3, "a wrong kind is left to the check"


@pytest.mark.parametrize("before", [None, {"threads": 1}, {"device": "cuda"}])
def test_an_entry_goes_into_a_section_whatever_the_file_says_of_it(tmp_path, before):
    path = tmp_path / "c.py"
    path.write_text(f"seed = 1\nthird = 3 * seed\nruntime = {before}\n", encoding="utf-8")
    entries = {"runtime.device": "cpu", "seed": 2, "load_from": None}
    runtime = {**(before or {}), "device": "cpu"}
    assert resolve_config(path, entries=entries).to_dict() == {"seed": 2, "third": 6, "runtime": runtime}
    assert resolve_config(Config.fromfile(path), entries=entries).runtime == runtime
