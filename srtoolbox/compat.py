"""Private names of other libraries, one function or alias each, with the reason why no public one does.

Only this file uses such names; `tests/test_compat.py` names each and fails first when a release drops one. Commands
import it for `--help`, so torch and other heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

OptionContainer = argparse._ActionsContainer
"""A parser or a group of one: their common class, the type of what options are added to, has no public name."""


def options_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.Action]:
    """Return the options of a parser, those of its groups included, by all their spellings.

    argparse lists them nowhere else, and they are needed to tell an option's value from an override, and to suggest
    the nearest option for a misspelt one.
    """
    return parser._option_string_actions
