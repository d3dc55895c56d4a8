"""The page for those who change the toolbox says what is there."""

import inspect
import re
from pathlib import Path

import pytest

from srtoolbox.engine import loop
from tests.test_layering import PACKAGE, ROOMS

TEXT = (Path(__file__).parents[1] / "docs/design.md").read_text(encoding="utf-8")


def test_the_iteration_that_it_reads_aloud_is_the_one_of_the_loop() -> None:
    source = inspect.getsource(loop.iterations)
    assert source in TEXT and len(source.splitlines()) <= 40


def test_its_rooms_are_those_of_the_imports_in_their_order() -> None:
    table = TEXT.partition("## Rooms")[2].partition("## Walks")[0]
    rows = [row.partition("|")[0] for row in re.findall(r"^\| (`.*)", table, flags=re.MULTILINE)]
    rooms = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert rooms == list(dict.fromkeys(room.partition(".")[0] for room in ROOMS))


def test_the_table_names_every_folder() -> None:
    table = TEXT.partition("## Rooms")[2].partition("## Walks")[0]
    folders = {part for file in PACKAGE.rglob("*.py") for part in file.relative_to(PACKAGE).parent.parts}
    inside = {"family", "mm", "projects"}  # of import_config, which has a section
    assert folders - inside - set(re.findall(r"`(\w+)`", table)) == set()


@pytest.mark.parametrize("name", re.findall(r"`((?:\w+/)+\w+\.py)`", TEXT))
def test_its_files_are_there(name: str) -> None:
    root = PACKAGE.parent
    assert any((place / name).exists() for place in (PACKAGE, root, PACKAGE / "inference", PACKAGE / "data"))
