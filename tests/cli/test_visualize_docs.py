"""docs/visualize.md is true: its commands parse, its configs have no fault, its images are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from srtoolbox.check import check
from srtoolbox.cli.visualize import parts
from srtoolbox.config import Config
from srtoolbox.engine.hooks import tensorboard
from srtoolbox.image import read_image

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "visualize.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python tools/visualize\.py (\w+) (.+?)(?: +#.*)?$", TEXT, re.M)
CONFIGS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.mark.parametrize(("part", "arguments"), COMMANDS, ids=[" ".join(command) for command in COMMANDS])
def test_its_commands_parse(part: str, arguments: str) -> None:
    parts()[part].build_parser().parse(shlex.split(arguments))


def test_every_part_is_shown() -> None:
    assert {part for part, _ in COMMANDS} == set(parts())


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_its_configs_have_no_fault(number: int, tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: object())
    path = tiny_config.with_name("documented.py")
    path.write_text("_base_ = ['tiny.py']\n" + CONFIGS[number])
    check(Config.fromfile(str(path), ["hooks.logger.tensorboard=True", "hooks.checkpoint.best=[]"]), mode="train")


@pytest.mark.parametrize("name", re.findall(r"\]\((img/.+?)\)", TEXT))
def test_its_images_are_there_and_small(name: str) -> None:
    assert (DOCS / name).stat().st_size < 150_000
    if not name.endswith(".gif"):
        assert read_image(DOCS / name).ndim == 3
