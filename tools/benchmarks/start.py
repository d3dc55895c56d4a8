"""Where the time of a start goes: from the start of Python to the end of the first iteration of ESPCN.

A process of its own for each round, on raw LMDBs made on the spot; the config is checked as `train` checks it. Printed
are CPU seconds by phase, the least of all rounds, in which other work of the machine counts least; then the imports by
library, of rounds of their own: what a library's own files take, without others that they import. (`-X importtime`,
which tells them, makes them slower.)

    python tools/benchmarks/start.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

CONFIG, OVERRIDES = "quickstart/espcn_x3_photos.py", ("max_iters=2", "data.val.interval=2", "hooks.patches=None")
COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.fx", "sympy")
LEAST = 0.01  # of all imports: libraries with less are not listed


def start(folder: Path, work_dir: Path) -> dict[str, float]:
    """Start a training in this process, which has imported nothing; return the CPU seconds of each phase."""
    ends = {"Python": time.process_time()}
    import torch

    ends["import torch"] = time.process_time()
    from srtoolbox import registry
    from srtoolbox.check import check
    from srtoolbox.config import Config
    from srtoolbox.engine.job import job  # noqa: F401 - what `train` imports
    from srtoolbox.engine.loop import iterations
    from srtoolbox.engine.run import Run

    for kind in (registry.NETWORKS, registry.DATASETS, registry.LOSSES, registry.METRICS, registry.HOOKS):
        kind.names()
    ends["import srtoolbox"] = time.process_time()
    torch.set_num_threads(1)
    config = Config.fromfile(CONFIG, [f"photos={folder}", *OVERRIDES])
    check(config)
    ends["read and check the config"] = time.process_time()
    run = Run(config, work_dir)
    ends["build the run"] = time.process_time()
    next(iterations(run))
    ends["first iteration"] = time.process_time()
    values = [0.0, *ends.values()]
    return {name: after - before for name, before, after in zip(ends, values, values[1:], strict=False)}


def measure(folder: Path, *options: str) -> tuple[dict[str, float], Counter[str]]:
    """`start` in a process of its own: CPU seconds by phase; by library, seconds of imports, if Python tells them."""
    with tempfile.TemporaryDirectory(dir=folder) as work_dir:
        command = [sys.executable, *options, __file__, "--start", str(folder), work_dir]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    imports: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        own, *_, module = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and own.strip().isdigit():
            imports[library_of(module.strip())] += int(own) / 1e6
    return json.loads(done.stdout.splitlines()[-1]), imports


def library_of(module: str) -> str:
    """Return the library of a module; torch's compiler, which an optimizer imports, is one of its own."""
    if module.startswith(COMPILER):
        return "torch's compiler"
    root = module.partition(".")[0]
    return "Python's own" if root in sys.stdlib_module_names else root


def main() -> None:
    """Parse the options, and print the tables; or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--start", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.start:
        print("\n" + json.dumps(start(*args.start)))
        return
    from srtoolbox.apps.quickstart import write_photos
    from srtoolbox.data.prepare.convert import convert

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        convert(folder / "train", folder / "train_lmdb", scale=3)
        phases, imports = [], []
        for _ in range(args.rounds):
            phases.append(measure(folder)[0])
            imports.append(measure(folder, "-X", "importtime")[1])
    least = {phase: min(each[phase] for each in phases) for phase in phases[0]}
    print("| phase | CPU s |\n|---|--:|")
    for phase, seconds in [*least.items(), ("all", min(sum(each.values()) for each in phases))]:
        print(f"| {phase} | {seconds:.2f} |")
    by_library = Counter({library: min(each[library] for each in imports) for library in imports[0]})
    print("\n| imports | s | share |\n|---|--:|--:|")
    for library, seconds in by_library.most_common():
        if seconds >= LEAST * by_library.total():
            print(f"| {library} | {seconds:.2f} | {seconds / by_library.total():.0%} |")


if __name__ == "__main__":
    main()
