"""`_variables_`: what a config gives the names of its bases, from which they compute."""

from __future__ import annotations

from pathlib import Path

import pytest

from srtoolbox.config import Config
from srtoolbox.errors import ConfigError

BASE = "scale = 3\nepochs, batch = 4, 2\nmodel = dict(scale=scale, path=f'X{scale}')\niters = epochs * 100 // batch\n"
SHIPPED = Path(__file__).parents[2] / "configs"


@pytest.fixture
def write(tmp_path: Path):
    (tmp_path / "base.py").write_text(BASE)

    def _write(text: str, name: str = "own.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return _write


def test_a_base_computes_from_them(write) -> None:
    text = "_base_ = 'base.py'\n_variables_ = dict(scale=2 * 2, batch=8)\nown = _base_.scale\n"
    config = Config.fromfile(write(text))
    own = {"scale": 4, "epochs": 4, "batch": 8, "iters": 50, "own": 4}
    assert config.to_dict() == {**own, "model": {"scale": 4, "path": "X4"}}
    assert str(config.origin_of("scale")).endswith("own.py:2")


def test_the_outermost_wins_and_the_command_line_over_all(write) -> None:
    write("_base_ = 'base.py'\n_variables_ = dict(scale=2)\n", "middle.py")
    outer = write("_base_ = 'middle.py'\n_variables_ = dict(scale=8)\n")
    assert Config.fromfile(outer)["model"]["path"] == "X8"
    assert Config.fromfile(outer, ["scale=5"])["model"]["path"] == "X5"
    assert Config.fromfile(outer.with_name("middle.py"))["model"]["path"] == "X2"


def test_they_end_with_the_bases_they_are_for(write) -> None:
    write("_base_ = 'base.py'\n_variables_ = dict(scale=2)\nscale = 6\n", "first.py")
    write("scale2 = 1\nother = scale2\n", "second.py")
    config = Config.fromfile(write("_base_ = ['first.py', 'second.py']\n"))
    assert (config["scale"], config["model"]["scale"], config["other"]) == (6, 2, 1)


def test_yaml_has_them_too(write) -> None:
    config = Config.fromfile(write("_base_: base.py\n_variables_: {scale: 2}\n", "own.yaml"))
    assert config["model"] == {"scale": 2, "path": "X2"} and "_variables_" not in config


def test_yaml_without_a_dict_is_refused(write) -> None:
    with pytest.raises(ConfigError, match=r"own.yaml:2: _variables_ is a dict"):
        Config.fromfile(write("_base_: base.py\n_variables_: 4\n", "own.yaml"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("dict(scal=2)", r"own.py:2: _variables_: no base sets 'scal'\. Did you mean 'scale'\?"),
        ("4", r"own.py:2: _variables_ is a dict such as dict\(scale=4\), got 4"),
    ],
)
def test_what_is_none_is_refused(write, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.fromfile(write(f"_base_ = 'base.py'\n_variables_ = {value}\n"))


@pytest.mark.parametrize(
    ("thin", "full", "scale"),
    [
        ("espcn/espcn_x4_t91.py", "espcn/espcn_x3_t91.py", 4),
        ("srcnn/srcnn_x2_915_t91.py", "srcnn/srcnn_x3_915_t91.py", 2),
        ("bicubic/bicubic_x4.py", "bicubic/bicubic_x3.py", 4),
    ],
)
def test_a_family_differs_in_its_scale_alone(thin: str, full: str, scale: int) -> None:
    config = Config.fromfile(SHIPPED / thin)
    assert config.to_dict() == Config.fromfile(SHIPPED / full, [f"scale={scale}"]).to_dict()
    assert f"/HR/X{scale}" in config["data"]["test"]["datasets"]["set5"]["gt"]
