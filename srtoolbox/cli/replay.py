"""Look into the fault that ended a training: repeat its step from the dump. Exits with 1 while the fault is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srtoolbox.cli.options import CommandParser, add_plugin
from srtoolbox.text import counted, reason_of

SUMMARY = "look into the fault that ended a training"
EXAMPLE = """example:
  python tools/replay.py work_dirs/espcn_x3_t91/faults/iter_000123
  python tools/replay.py work_dirs/espcn_x3_t91/faults/iter_000123 runtime.amp=None"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where the fault is there again, 0 where it is not."""
    parser = CommandParser("replay", __doc__, EXAMPLE)
    parser.add_argument("dump", help="folder faults/iter_... of the run")
    parser.add_overrides()
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: the config's)")
    add_plugin(parser)
    args = parser.parse(argv)
    from srtoolbox.config import Config
    from srtoolbox.engine.halt import replay
    from srtoolbox.engine.run import Run
    from srtoolbox.errors import RunError
    from srtoolbox.io.files import read_json
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins
    from srtoolbox.weights.checkpoint import load_checkpoint

    setup_logging()
    folder = Path(args.dump)
    try:
        report = read_json(folder / "report.json")
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no dump of a fault (report.json cannot be read: {reason_of(error)})") from error
    device = [f"runtime.device={args.device!r}"] if args.device else []
    config = Config.fromfile(folder / "config.py", [*args.overrides, *device])
    load_plugins(config, args.plugins)
    state = load_checkpoint(folder / "state.pth")
    run = Run(config, folder, resume=state, resumed_from=folder / "state.pth")
    rank, found = replay(run, state, report)
    tell(report, rank, found)
    return 0 if found["rank"]["finite"] else 1


def tell(report: dict[str, Any], rank: int, found: dict[str, Any]) -> None:
    """Print loss terms and gradient norms, the worst first, and whether the fault is there."""
    batch = found["rank"]
    skipped = counted(report["skipped_in_a_row"], "step")
    print(f"iteration {report['iteration']}, rank {rank} of {report['world']}, {skipped} left out in a row")
    print("batch: " + ", ".join(batch["keys"]))
    for terms in batch["terms"]:
        print("terms: " + "  ".join(f"{name} {value:.6g}" for name, value in terms.items()))
    for network, norms in found["gradient_norms"].items():
        bad = [name for name, value in norms.items() if not math.isfinite(value)]
        largest = sorted(set(norms) - set(bad), key=norms.__getitem__, reverse=True)[:5]
        print(f"{network}: gradients not finite in {len(bad)} of {len(norms)} parameters {' '.join(bad[:5])}")
        print("  largest finite norms: " + "  ".join(f"{name} {norms[name]:.4g}" for name in largest))
    print("all is finite: the fault is gone" if batch["finite"] else "the fault is there")
