"""The house rules of docs/design.md that can be counted hold in every file of the package."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Script = Callable[[str], ModuleType]
PACKAGE = Path(__file__).parents[2] / "srtoolbox"


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """The syntax trees of the package's files by their paths."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def test_docstrings_open_with_a_verb_or_a_noun_phrase(script: Script, trees: dict[str, ast.Module]) -> None:
    opening = script("measure_code").opens_with_a_relative_word
    docstrings = [(file, text) for file, tree in trees.items() for text in script("measure_code").docstrings_of(tree)]
    assert len(docstrings) > 3000
    assert [(file, text.splitlines()[0]) for file, text in docstrings if opening(text)] == []
