"""Turn option files of BasicSR, Real-ESRGAN, traiNNer-redux, neosr, MMEditing and MMagic into configs.

What became of each key is printed, and written beside the config: what is mapped, what is
different here, and what has no counterpart and so is lost. Nothing in the file is executed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser
from srtoolbox.text import counted

SUMMARY = "turn option files of other projects into configs"
EXAMPLE = """example:
  python tools/import_config.py train_ESRGAN_x4.yml                       # what would become of it
  python tools/import_config.py train_ESRGAN_x4.yml -o esrgan.py          # esrgan.py, esrgan.import.txt
  python tools/import_config.py options -o configs/imported               # all files of a folder, with a table

the exit code is 0 if all came through, 1 if something has no counterpart (the report says what),
2 if the file is refused"""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 if nothing was lost, else 1."""
    parser = CommandParser("import_config", __doc__, EXAMPLE)
    parser.add_argument("file", metavar="FILE", help="a .yml, .yaml, .toml or .py of one of these, or a folder")
    parser.add_argument("-o", "--out", metavar="CONFIG.py", help="the config (or folder) to write; reports go beside")
    parser.add_argument("--overwrite", action="store_true", help="replace a config and report that are there")
    args = parser.parse(argv)
    from srtoolbox.logger import setup_logging

    setup_logging()
    with parser.option_errors():
        return _import_folder(args) if Path(args.file).is_dir() else _import_file(args)


def _import_file(args: argparse.Namespace) -> int:
    from srtoolbox.apps.import_config import import_config

    imported = import_config(args.file, args.out, overwrite=args.overwrite)
    print(imported.report, end="")
    if args.out:
        print(f"\n{args.file} -> {args.out}")
    return 0 if imported.is_whole else 1


def _import_folder(args: argparse.Namespace) -> int:
    """Print a line a file, then a table of projects; 0 if all of all files came through."""
    from srtoolbox.apps.import_config import import_folder
    from srtoolbox.apps.import_config.record import Fate

    table: dict[str, Counter[str]] = {}
    for attempt in import_folder(args.file, args.out, overwrite=args.overwrite):
        imported = attempt.imported
        if imported is None:
            fate, told = "refused", f"refused: {attempt.refusal}"
        elif imported.faults:
            fate, told = "faulty", f"check: {imported.faults[0]}"
        elif imported.is_whole:
            fate, told = "whole", "whole"
        else:
            lost = imported.record.of(Fate.LOST)
            fate, told = "with losses", f"{counted(len(lost), 'key')} lost, the first {lost[0].key}"
        print(f"{attempt.source}: {told}")
        table.setdefault(attempt.project or "not told", Counter())[fate] += 1
    if not table:
        print(f"{args.file}: no option files of these projects")
        return 2
    print(f"\n{'project':<16}{''.join(f'{fate:>13}' for fate in ('files', *FATES))}")
    for project, counts in sorted(table.items()):
        print(f"{project:<16}{sum(counts.values()):>13}{''.join(f'{counts[fate]:>13}' for fate in FATES)}")
    return 0 if all(set(counts) == {"whole"} for counts in table.values()) else 1


FATES = ("whole", "with losses", "faulty", "refused")
