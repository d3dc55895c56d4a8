"""Configs as TOML: values, the line of each key, what is refused."""

from pathlib import Path

import pytest

from srtoolbox.config import Config
from srtoolbox.errors import ConfigError

TEXT = """name = 'a'
[train.optim_g]
lr = 1e-3
betas = [
  0.9,
  0.99,
]

[[train.losses]]
type = 'x'
[[train.losses]]
"type" = 'y'
weight = 2
[val]
metrics.psnr.type = 'z'
"""


def test_each_key_knows_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(TEXT)
    config = Config.fromfile(path)
    losses = [{"type": "x"}, {"type": "y", "weight": 2}]
    assert config.to_dict() == {
        "name": "a",
        "train": {"optim_g": {"lr": 1e-3, "betas": [0.9, 0.99]}, "losses": losses},
        "val": {"metrics": {"psnr": {"type": "z"}}},
    }
    places = {"name": 1, "train.optim_g": 2, "train.optim_g.betas": 4, "train.losses.0.type": 10,
              "train.losses.1.type": 12, "train.losses.1.weight": 13, "val.metrics.psnr.type": 15}  # fmt: skip
    for key, line in places.items():
        origin = config.origin(key)
        assert origin and origin.line == line, key


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = 1\nb = \n", r"a\.toml:2: not valid TOML"),
        ("a = 1\na = 2\n", r"a\.toml:2: not valid TOML"),
        ("a = 2020-01-01", "a date is not a config value"),
        ("a = " + "[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("a" + ".a" * 5000 + " = 1", "nested"),
        ("a = '" + "x" * 200_000 + "'", "grows larger than"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        Config.fromfile(path)


def test_brackets_in_comments_and_strings_nest_nothing(tmp_path: Path) -> None:
    path, brackets = tmp_path / "a.toml", "[" * 40
    lines = ["# half open: [0, 1)"] * 40 + [f"a = '{brackets}'", f'b = "\\"{brackets}"', f'c = """\n{brackets}"""']
    path.write_text("\n".join(lines))
    assert Config.fromfile(path).to_dict() == {"a": brackets, "b": '"' + brackets, "c": brackets}
    path.write_text(f"a = '''\n'''\nb = [ # [\n{brackets}")
    with pytest.raises(ConfigError, match=r"a\.toml:4: nested deeper"):
        Config.fromfile(path)
