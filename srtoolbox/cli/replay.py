"""Look into the fault that ended a training: repeat its step from the dump. Exits with 1 while the fault is there."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_plugin

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
    from srtoolbox.engine.halt import replay_dump
    from srtoolbox.logger import setup_logging

    setup_logging()
    is_gone, lines = replay_dump(args.dump, args.overrides, device=args.device, plugins=args.plugins)
    print("\n".join(lines))
    return 0 if is_gone else 1
