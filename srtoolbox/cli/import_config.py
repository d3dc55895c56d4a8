"""Turn option files of BasicSR, Real-ESRGAN, traiNNer-redux, neosr, MMEditing and MMagic into configs.

What became of each key is printed, and written beside the config: what is mapped, what is
different here, and what has no counterpart and so is lost. Nothing in the file is executed.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser

SUMMARY = "turn option files of other projects into configs"
EXAMPLE = """example:
  python tools/import_config.py train_ESRGAN_x4.yml                       # what would become of it
  python tools/import_config.py train_ESRGAN_x4.yml -o esrgan.py          # esrgan.py, esrgan.import.txt

the exit code is 0 if all came through, 1 if something has no counterpart (the report says what),
2 if the file is refused"""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 if nothing was lost, else 1."""
    parser = CommandParser("import_config", __doc__, EXAMPLE)
    parser.add_argument("file", metavar="FILE", help="a .yml, .yaml, .toml or .py of one of these projects")
    parser.add_argument("-o", "--out", metavar="CONFIG.py", help="the config to write; its report goes beside it")
    parser.add_argument("--overwrite", action="store_true", help="replace a config and report that are there")
    args = parser.parse(argv)
    from srtoolbox.apps.import_config import import_config
    from srtoolbox.logger import setup_logging

    setup_logging()
    with parser.option_errors():
        imported = import_config(args.file, args.out, overwrite=args.overwrite)
    print(imported.report, end="")
    if args.out:
        print(f"\n{args.file} -> {args.out}")
    return 0 if imported.is_whole else 1
