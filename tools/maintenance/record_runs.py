"""Record the behaviour of a checkout in about fifteen small runs, so that a refactoring can be shown to change nothing.

    python tools/maintenance/record_runs.py before.json                    this checkout
    python tools/maintenance/record_runs.py after.json --tree ../other     another one
    python tools/maintenance/record_runs.py --compare before.json after.json

Only commands are run (`python -m srtoolbox COMMAND`), so the same script records trees whose insides differ. A record
holds losses and scores as they are written, exit codes, names of files, and digests of tensors, pixels, frames and LMDB
values: nothing that depends on time, so two records of one tree are equal. What is printed is kept apart, in "texts",
times and paths masked. `--compare` prints what differs and exits with 1 where that is more than texts. Records of
different machines or versions of PyTorch differ in the last bits. Takes two to four minutes on two cores.
"""

from __future__ import annotations

import argparse
import difflib
import json
import platform
import re
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recorded_runs import RUNS, Run
from workbench import Workbench

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "pillow", "av", "scikit-image")
_CODE = re.compile(r"(^|/)exits?(/|$)|^fault$")


def main(argv: Sequence[str] | None = None) -> int:
    """Record or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", metavar="OUT.json", help="the record to write")
    parser.add_argument("--compare", nargs=2, metavar=("A.json", "B.json"), help="print the differences of two records")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout whose srtoolbox runs (default: this one)")
    parser.add_argument("--only", metavar="A,B", help="only these runs; they need those of the rows above them in RUNS")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="run in this empty folder and keep it")
    args = parser.parse_args(argv)
    if (args.out is None) == (args.compare is None):
        parser.error("either OUT.json or --compare A.json B.json")
    if args.compare:
        records = [json.loads(Path(path).read_text(encoding="utf-8")) for path in args.compare]
        lines, is_failing = compare(*records)
        print("\n".join(lines))
        return int(is_failing)
    if args.keep and args.keep.exists() and any(args.keep.iterdir()):
        parser.error(f"--keep {args.keep}: this folder is not empty")
    record = record_of(args.tree, chosen(args.only, parser), args.jobs, args.keep)
    Path(args.out).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


def chosen(only: str | None, parser: argparse.ArgumentParser) -> list[list[Run]]:
    """Return the rows of runs that `--only` names, or all; an unknown name is an error of the parser."""
    names = [run.__name__ for row in RUNS for run in row]
    wanted = only.split(",") if only else names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"--only: no run is called {', '.join(unknown)}; there are {', '.join(names)}")
    return [[run for run in row if run.__name__ in wanted] for row in RUNS]


def record_of(tree: Path, rows: Sequence[Sequence[Run]], jobs: int, keep: Path | None = None) -> dict[str, Any]:
    """Run everything in a folder that goes afterwards, or in `keep`; returns the record."""
    with tempfile.TemporaryDirectory(prefix="record_") as scratch, ThreadPoolExecutor(jobs) as pool:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Workbench(tree, folder)
        facts: dict[str, Any] = {}
        for row in rows:
            facts.update(
                zip((run.__name__ for run in row), pool.map(lambda run: facts_of(run, bench), row), strict=True)
            )
    return {"format": 1, "machine": machine(), "runs": facts, "texts": bench.texts}


def facts_of(run: Run, bench: Workbench) -> dict[str, Any]:
    """Return what a run gives; one whose files are missing says so and stops no other."""
    print(f"{run.__name__} ...", file=sys.stderr, flush=True)
    try:
        facts = run(bench)
    except OSError as error:
        facts = {"fault": f"{type(error).__name__}: {str(error).replace(str(bench.folder), '<folder>')}"}
    codes = {path: code for path, code in leaves(facts).items() if _CODE.search(path) and code}
    if codes:
        print(
            f"{run.__name__}: {codes}{' (the first one: stopped on purpose)' if 'exits/0' in codes else ''}",
            file=sys.stderr,
        )
    return facts


def machine() -> dict[str, str]:
    """Return what else may change the last bits: versions and the processor."""
    facts = {"python": platform.python_version(), "system": platform.platform(), "processor": platform.machine()}
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def compare(first: dict[str, Any], second: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the differences as lines, and True where they are more than texts."""
    lines = []
    for name in sorted(first["machine"].keys() | second["machine"].keys()):
        versions = [record["machine"].get(name, "?") for record in (first, second)]
        if versions[0] != versions[1]:
            lines.append(f"other machine or version: {name} {versions[0]} -> {versions[1]}")
    runs = [leaves(record["runs"]) for record in (first, second)]
    paths = list(dict.fromkeys([*runs[0], *runs[1]]))
    faults = [path for path in paths if runs[0].get(path, "missing") != runs[1].get(path, "missing")]
    lines += [f"{path}: {runs[0].get(path, 'missing')} -> {runs[1].get(path, 'missing')}" for path in faults]
    texts = text_differences(first["texts"], second["texts"])
    lines += texts
    lines.append(f"{len(faults)} of {len(paths)} recorded values differ; {len(texts)} lines about texts")
    return lines, bool(faults)


def text_differences(first: dict[str, list[str]], second: dict[str, list[str]]) -> list[str]:
    """Return the changed lines of what was printed, as of a diff without context."""
    lines = []
    for name in sorted(first.keys() | second.keys()):
        changes = list(difflib.unified_diff(first.get(name, []), second.get(name, []), lineterm="", n=0))[2:]
        lines += [f"texts of {name}: {line}" for line in changes if not line.startswith("@@")]
    return lines


def leaves(entry: object, path: str = "") -> dict[str, object]:
    """Return a record's values by their paths: {'espcn/scores/0/iter': 20}."""
    if not isinstance(entry, dict | list) or not entry:
        return {path: entry}
    pairs = entry.items() if isinstance(entry, dict) else enumerate(entry)
    found: dict[str, object] = {}
    for key, part in pairs:
        found.update(leaves(part, f"{path}/{key}" if path else str(key)))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
