"""The house rules of docs/design.md that can be counted hold in every file of the package."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tests.test_layering import FILES, tree_of

Script = Callable[[str], ModuleType]


def test_docstrings_open_with_a_verb_or_a_noun_phrase(script: Script) -> None:
    measure = script("measure_code")
    docstrings = [(file.name, text) for file in FILES for text in measure.docstrings_of(tree_of(file))]
    assert len(docstrings) > 3000
    assert [(file, text) for file, text in docstrings if measure.opens_with_a_relative_word(text)] == []


def test_functions_fit_a_screen(script: Script) -> None:
    measure = script("measure_code")
    sizes = [(file.name, size) for file in FILES for size in measure.function_sizes(tree_of(file))]
    assert [each for each in sizes if each[1] > measure.LONG_FUNCTION] == []
