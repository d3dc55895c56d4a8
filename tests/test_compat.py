"""The private names of other libraries that srtoolbox uses: each test fails when a release has dropped its name."""

import argparse
import subprocess
import sys

import pytest

from srtoolbox import compat

GONE = "this release of {} has no {}; srtoolbox.compat.{} needs another way"


def require(owner: object, name: str, library: str, ours: str) -> None:
    """Fail with a clear sentence where a private name is gone."""
    if not hasattr(owner, name):
        pytest.fail(GONE.format(library, name, ours))


def test_importing_it_imports_no_torch():
    code = "import sys, srtoolbox.compat\nassert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_argparse_has_the_class_of_parsers_and_groups():
    require(argparse, "_ActionsContainer", "argparse", "OptionContainer")
    parser = argparse.ArgumentParser()
    assert isinstance(parser, compat.OptionContainer)
    assert isinstance(parser.add_argument_group("results"), compat.OptionContainer)


def test_argparse_lists_the_options_of_a_parser_and_its_groups():
    parser = argparse.ArgumentParser()
    require(parser, "_option_string_actions", "argparse", "options_of")
    parser.add_argument("-o", "--out")
    parser.add_argument_group("results").add_argument("--force", action="store_true")
    options = compat.options_of(parser)
    assert options["-o"] is options["--out"] and options["--force"].nargs == 0
