"""Check data before training on it: every image is decoded, pairs, sizes, duplicates and leaks are looked for.

Folders, LMDBs and data sets of the hub are checked by themselves or as a config names them. All faults are listed. The
exit code is 0 where there are none, 1 where there are some.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser, add_shard_options

SUMMARY = "find damaged images, wrong pairs, duplicates and leaks"
EXAMPLE = """examples:
  python tools/check_data.py datasets/T91 datasets/General100                       # damage, sizes, duplicates
  python tools/check_data.py datasets/DIV2K/HR --lq datasets/DIV2K/X4 --scale 4     # pairs
  python tools/check_data.py datasets/T91 --test datasets/Set5/HR datasets/Set14/HR # leaks
  python tools/check_data.py espcn/espcn_x3_t91.py data_root=datasets               # all sets of a config

kinds of faults (for --allow): stores, damaged, unpaired, sizes, content, identical, alike, leaks"""
CONFIGS = (".py", ".yml", ".yaml", ".json")


def main(argv: Sequence[str]) -> int:
    """Run the command, and return 1 where there are faults that count."""
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
    add_shard_options(parser, "decode nothing; make one report of what N pieces have kept, or say which are missing")
    add("--workers", type=int, metavar="N", help="images decoded at a time (default: one per CPU)")
    args = parser.parse(argv)
    from srtoolbox.config import Config
    from srtoolbox.data.audit.check import KINDS, check_data, check_piece
    from srtoolbox.data.audit.sets import DataPart, config_parts, training_parts
    from srtoolbox.io import files
    from srtoolbox.io.pieces import check_shard_options
    from srtoolbox.logger import progress_bar

    unknown = [kind for kind in args.allow if kind not in KINDS]
    if unknown:
        parser.error(f"--allow {unknown[0]}: the kinds are {', '.join(KINDS)}")
    configs = [text for text in args.inputs if Path(text).suffix in CONFIGS and not Path(text).is_dir()]
    stores = [text for text in args.inputs if text not in configs]
    if len(args.lq) not in (0, len(stores)):
        parser.error(f"--lq names {len(args.lq)} stores for {len(stores)}: give one for each, in the same order")
    if args.overrides and not configs:
        parser.error(f"{args.overrides[0]}: key=value goes with a config")
    parts = training_parts(stores, args.lq, args.scale, args.lq_name)
    for name in configs:
        parts += config_parts(Config.fromfile(name, args.overrides), name)
    parts += [DataPart(store, "test", store) for store in args.test]
    with parser.option_errors():
        shard = check_shard_options(args.shard, args.check_shards)
    if args.json is None and (shard or args.check_shards):
        parser.error("pieces need --json FILE, beside which they keep their record: FILE.pieces")
    record = f"{args.json}.pieces"
    with progress_bar("looking at images") as show:
        if shard is not None:
            done = check_piece(parts, shard, record, workers=args.workers, progress=show)
        else:
            checks, workers = args.check_shards, args.workers
            report = check_data(parts, record=record, check_shards=checks, workers=workers, progress=show)
    if shard is not None:
        print("\n".join(done.lines()))
        return 1 if done.faults else 0
    print("\n".join(report.lines(args.allow)))
    is_ok = report.number_of_faults(args.allow) == 0
    if args.json:
        files.write_json(args.json, {**report._asdict(), "allowed": args.allow, "ok": is_ok})
    return 0 if is_ok else 1
