"""Plugins: files and modules with components, named by a config or on the command line."""

import sys

import pytest

from srtoolbox import plugins
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError
from srtoolbox.plugins import load_plugins
from srtoolbox.registry import LOSSES

PLUGIN = """from srtoolbox.registry import LOSSES

@LOSSES.register
class {name}:
    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
"""


def test_file_beside_the_config(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/my_loss.py").write_text(PLUGIN.format(name="LossBesideConfig"))
    (tmp_path / "sub/config.py").write_text("custom_imports = ['./my_loss.py']\n")
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile("sub/config.py")
    assert "LossBesideConfig" not in LOSSES, "loading a config imports nothing"
    load_plugins(config)
    assert LOSSES.build({"type": "LossBesideConfig", "weight": 2}).weight == 2


def test_file_beside_the_base_that_names_it(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "my_loss.py").write_text(PLUGIN.format(name="LossBesideBase"))
    (tmp_path / "base.py").write_text("custom_imports = ['./my_loss.py']\n")
    (tmp_path / "sub/config.py").write_text("_base_ = '../base.py'\n")
    load_plugins(Config.fromfile(tmp_path / "sub/config.py"))
    assert "LossBesideBase" in LOSSES


def test_a_saved_config_needs_no_plugin_option(tmp_path, monkeypatch):
    (tmp_path / "first.py").write_text(PLUGIN.format(name="LossOfFirst"))
    (tmp_path / "second.py").write_text(PLUGIN.format(name="LossOfSecond"))
    (tmp_path / "config.py").write_text("custom_imports = 'first.py'\n")
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile("config.py")
    load_plugins(config, ["second.py"])
    load_plugins(config, ["second.py"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.py").write_text(config.dump())
    saved = Config.fromfile("run/config.py")
    assert saved.custom_imports == [str(tmp_path / "first.py"), str(tmp_path / "second.py")]
    plugins._loaded.clear()
    LOSSES._entries.pop("LossOfFirst"), LOSSES._entries.pop("LossOfSecond")
    monkeypatch.chdir(tmp_path / "run")
    load_plugins(saved)
    assert {"LossOfFirst", "LossOfSecond"} <= set(LOSSES.names())


def test_file_on_the_command_line_once(tmp_path):
    path = tmp_path / "counted.py"
    path.write_text(
        "import builtins\nbuiltins.srtoolbox_test_count = getattr(builtins, 'srtoolbox_test_count', 0) + 1\n"
    )
    (tmp_path / "link.py").symlink_to(path)
    load_plugins(None, [path])
    load_plugins(None, [str(path), tmp_path / "link.py"])
    import builtins

    assert builtins.srtoolbox_test_count == 1
    del builtins.srtoolbox_test_count


def test_two_files_of_one_name(tmp_path):
    for folder, name in (("a", "LossOfA"), ("b", "LossOfB")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "loss.py").write_text(PLUGIN.format(name=name))
    load_plugins(None, [tmp_path / "a/loss.py", tmp_path / "b/loss.py"])
    assert {"LossOfA", "LossOfB"} <= set(LOSSES.names())


def test_module(tmp_path, monkeypatch):
    (tmp_path / "module_of_a_plugin_test.py").write_text(PLUGIN.format(name="LossOfModule"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "c.py").write_text("custom_imports = 'module_of_a_plugin_test'")
    load_plugins(Config.fromfile(tmp_path / "c.py"))
    assert "LossOfModule" in LOSSES
    del sys.modules["module_of_a_plugin_test"]


def test_never_for_a_config_without_a_file(tmp_path, monkeypatch):
    path = tmp_path / "trap.py"
    path.write_text("raise SystemExit('this must not run')")
    load_plugins(Config({"custom_imports": [str(path)]}))
    load_plugins(None)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise ValueError('broken on purpose')\n", r"bad\.py:2: ValueError: broken on purpose"),
        ("def f(:\n", r"bad\.py:1: SyntaxError"),
        ("import surely_not_a_module\n", r"bad\.py:1: ModuleNotFoundError"),
        (PLUGIN.format(name="L1Loss"), r"bad\.py:3: .*registers loss 'L1Loss', but srtoolbox"),
        ("raise SystemExit(3)\n", r"bad\.py:1: SystemExit"),
    ],
)
def test_failing_plugins_name_file_and_line(tmp_path, code, message):
    LOSSES.names()
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(ConfigError, match=r"^--plugin .*bad\.py: .*" + message):
        load_plugins(None, [tmp_path / "bad.py"])
    (tmp_path / "config.py").write_text("seed = 1\ncustom_imports = ['bad.py']")
    with pytest.raises(ConfigError, match=r"config\.py:2: custom_imports: '.*bad\.py': .*" + message):
        load_plugins(Config.fromfile(tmp_path / "config.py"))
    assert not [name for name in sys.modules if name.startswith("srtoolbox_plugin_bad")]


def test_missing_plugins(tmp_path):
    with pytest.raises(ConfigError, match=r"--plugin gone\.py: no such file"):
        load_plugins(None, ["gone.py"])
    (tmp_path / "config.py").write_text("custom_imports = ['./gone.py']")
    with pytest.raises(ConfigError, match=r"config\.py:1: custom_imports: '.*gone\.py': no such file \(.*gone\.py\)"):
        load_plugins(Config.fromfile(tmp_path / "config.py"))
    (tmp_path / "config.py").write_text("custom_imports = ['surely_not_a_module']")
    with pytest.raises(ConfigError, match=r"config\.py:1: .*No module named 'surely_not_a_module'"):
        load_plugins(Config.fromfile(tmp_path / "config.py"))
    (tmp_path / "config.py").write_text("custom_imports = dict(imports=['x'])")
    with pytest.raises(ConfigError, match=r"config\.py:1: custom_imports: a list of modules or files is needed"):
        load_plugins(Config.fromfile(tmp_path / "config.py"))


def test_entry_points(tmp_path, monkeypatch):
    (tmp_path / "entry_plugin_of_a_test.py").write_text(PLUGIN.format(name="LossOfEntryPoint"))
    info = tmp_path / "entry_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: entry-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[srtoolbox.plugins]\nmine = entry_plugin_of_a_test\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins(None)
    assert "LossOfEntryPoint" in LOSSES
    del sys.modules["entry_plugin_of_a_test"]
