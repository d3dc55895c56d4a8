"""Check data before training on it: every image is decoded, pairs, sizes, duplicates and leaks are looked for.

Folders, LMDBs and data sets of the hub are checked by themselves or as a config names them. All faults are listed. The
exit code is 0 where there are none, 1 where there are some.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser
from srtoolbox.text import counted

if TYPE_CHECKING:
    from srtoolbox.data.audit.check import DataPart, Report

SUMMARY = "find damaged images, wrong pairs, duplicates and leaks"
EXAMPLE = """examples:
  python tools/check_data.py datasets/T91 datasets/General100                       # damage, sizes, duplicates
  python tools/check_data.py datasets/DIV2K/HR --lq datasets/DIV2K/X4 --scale 4     # pairs
  python tools/check_data.py datasets/T91 --test datasets/Set5/HR datasets/Set14/HR # leaks
  python tools/check_data.py espcn/espcn_x3_t91.py data_root=datasets               # all sets of a config

kinds of faults (for --allow): stores, damaged, unpaired, sizes, content, identical, alike, leaks"""
CONFIGS = (".py", ".yml", ".yaml", ".json")


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("check_data", __doc__, EXAMPLE)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="STORE_OR_CONFIG", help="folders and LMDBs of training images, or configs")
    parser.add_overrides("entries to change in the configs")
    add("--lq", nargs="+", default=[], metavar="STORE", help="the LQ of each store, in the same order")
    add("--test", nargs="+", default=[], metavar="STORE", help="stores of test images, looked for in the others")
    add("--scale", type=int, metavar="N", help="GT size over LQ size (default: what most pairs have)")
    add("--lq-name", metavar="'{}x4'", help="how LQ files are named after GT files, if in no usual way")
    add("--allow", nargs="+", default=[], metavar="KIND", help="kinds of faults that do not count, see below")
    add("--json", metavar="FILE", help="write the report as JSON too")
    add("--workers", type=int, metavar="N", help="images decoded at a time (default: one per CPU)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; 1 where there are faults that count."""
    parser = build_parser()
    args = parser.parse(argv)
    from srtoolbox.data.audit.check import KINDS
    from srtoolbox.io import files

    unknown = [kind for kind in args.allow if kind not in KINDS]
    if unknown:
        parser.error(f"--allow {unknown[0]}: the kinds are {', '.join(KINDS)}")
    configs = [text for text in args.inputs if Path(text).suffix in CONFIGS and not Path(text).is_dir()]
    stores = [text for text in args.inputs if text not in configs]
    if len(args.lq) not in (0, len(stores)):
        parser.error(f"--lq names {len(args.lq)} stores for {len(stores)}: give one for each, in the same order")
    if args.overrides and not configs:
        parser.error(f"{args.overrides[0]}: key=value goes with a config")
    report = _checked(_parts(args, stores, configs), args.workers)
    counting = sum(len(faults) for kind, faults in report.faults.items() if kind not in args.allow)
    _print(report, args.allow)
    if args.json:
        files.write_json(args.json, {**report._asdict(), "allowed": args.allow, "ok": counting == 0})
    return 1 if counting else 0


def _parts(args: argparse.Namespace, stores: Sequence[str], configs: Sequence[str]) -> list[DataPart]:
    from srtoolbox.config import Config
    from srtoolbox.data.audit.check import DataPart
    from srtoolbox.data.audit.config_sets import config_parts

    parts = []
    for number, store in enumerate(stores):
        lq = args.lq[number] if args.lq else None
        parts.append(DataPart(store, "train", store, lq, args.scale, args.lq_name))
    for name in configs:
        parts += config_parts(Config.fromfile(name, args.overrides), name)
    return parts + [DataPart(store, "test", store) for store in args.test]


def _checked(parts: Sequence[DataPart], workers: int | None) -> Report:
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from srtoolbox.data.audit.check import check_data
    from srtoolbox.logger import CONSOLE

    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as bar:
        task = bar.add_task("looking at images", total=None)
        return check_data(
            parts, workers=workers, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def _print(report: Report, allowed: Sequence[str]) -> None:
    from srtoolbox.data.audit.check import KINDS

    for each in report.sets:
        for role in ("gt", "lq"):
            if role in each:
                print(_line(each, role))
    for note in report.notes:
        print(f"note: {note}")
    for kind, faults in report.faults.items():
        print(f"\n{KINDS[kind]} ({kind}{', allowed' if kind in allowed else ''}): {len(faults)}")
        for fault in faults:
            print("  " + fault.replace("\n", "\n  "))
    images = sum(store["pictures"] for store in _stores(report).values())
    faults = sum(map(len, report.faults.values()))
    told = f"{faults} fault{'s' if faults != 1 else ''}" if faults else "no faults"
    print(f"\n{counted(images, 'image')} in {counted(len(_stores(report)), 'store')}: {told}")


def _stores(report: Report) -> dict[str, dict[str, Any]]:
    return {each[role]["path"]: each[role] for each in report.sets for role in ("gt", "lq") if role in each}


def _line(each: dict[str, Any], role: str) -> str:
    store = each[role]
    text = f"{each['role']:5} {role} {store['path']}: {store['pictures']} images"
    if "width" not in store:
        return text
    sides = [f"{name} {s['min']} / {s['median']} / {s['max']}" for name in ("width", "height") if (s := store[name])]
    channels = " and ".join(f"{n} {'gray' if c == 1 else 'colour'}" for c, n in store["channels"].items())
    bits = " and ".join(f"{b} bit" for b in store["bits"])
    return f"{text}, {', '.join(sides)} (least / median / most), {channels}, {bits}"
