"""Print what makes a shell complete commands, options, configs and runs behind Tab.

Needs the extra `completion`: pip install 'srtoolbox[completion]'.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser
from srtoolbox.errors import SrtoolboxError

SUMMARY = "print what makes a shell complete names behind Tab"
EXAMPLE = """example:
  eval "$(srtoolbox completion bash)"                     # a line for ~/.bashrc
  eval "$(srtoolbox completion zsh)"                      # for ~/.zshrc, below compinit
  srtoolbox completion fish > ~/.config/fish/completions/srtoolbox.fish
  srtoolbox completion powershell >> $PROFILE"""
PROGRAM = "srtoolbox"


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("completion", __doc__, EXAMPLE)
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"), help="the shell that is to complete")
    args = parser.parse(argv)
    try:
        import argcomplete
    except ImportError as error:
        raise SrtoolboxError("completion needs argcomplete: pip install 'srtoolbox[completion]'") from error
    print(argcomplete.shellcode([PROGRAM], shell=args.shell))
    return 0
