"""Private names of other libraries, one function or alias each, with the reason for it.

Only this room uses such names; `tests/test_compat.py` names each and fails first when a release
drops one. Commands import this module for `--help`, so those of PyTorch are in a module of their
own, `compat.pytorch`.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Mapping

OptionContainer = argparse._ActionsContainer
"""A parser or a group of one, to which options are added: the common class has no public name."""


def options_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.Action]:
    """Return the options of a parser, those of its groups included, by all their spellings.

    argparse lists them nowhere else, and they are needed to tell an option's value from an
    override, and to suggest the nearest option for a misspelt one.
    """
    return parser._option_string_actions


def is_starting_process() -> bool:
    """True while a new process that was not forked imports the main module again.

    The standard library tells it nowhere else, and only then a script without `if __name__ ==
    "__main__":` can be told from one that starts worker processes on purpose.
    """
    return getattr(multiprocessing.current_process(), "_inheriting", False)
