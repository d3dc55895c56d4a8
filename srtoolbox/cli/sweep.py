"""Train a config with many values, one run after the other, and compare the runs.

key=[a,b] is one run for each value, several such keys all combinations of their values; key=value
holds in all runs. The same command again goes on with what was stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_comparison_options, add_device, add_plugin, positive

SUMMARY = "train a config with many values, and compare the runs"
EXAMPLE = """examples:
  python tools/sweep.py CONFIG "optim.generator.optimizer.lr=[1e-3,3e-4]" "data.train.batch_size=[8,16]"
  python tools/sweep.py CONFIG "optim.generator.milestones=[[100,200],[300]]"  (values that are lists)
  python tools/sweep.py CONFIG "seed=[0,1,2]" --shard 2/3     (the second of three calls that share the runs)
  python tools/sweep.py CONFIG "seed=[0,1,2]" --stop-worse set5/psnr=25@1000  (end those below 25 dB from then on)
  python tools/sweep.py CONFIG "optim.generator.optimizer.lr=log(1e-5,1e-2)" --trials 20 --by set5/psnr  (a search)"""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("sweep", __doc__, EXAMPLE)
    add = parser.add_argument
    add("config", help="config file, or the name of one that travels with the package")
    parser.add_overrides("key=[a,b,...]: a run for each value; key=value: an entry to change in all runs")
    add("--work-dir", help="the folder of all runs (default: work_dirs/<config name>_sweep)")
    add("--shard", metavar="I/N", help="train the I-th of N shares, from 1 to N; all may use one folder")
    rule = "end runs whose score is worse than VALUE at an evaluation from that iteration on, as set5/psnr=25@1000"
    add("--stop-worse", action="append", default=[], metavar="KEY=VALUE@ITER", help=rule)
    retry = "try again what failed or halted, from its newest checkpoint, or diverged, anew"
    add("--retry", action="store_true", help=retry)
    trials = "search: so many runs, whose values are drawn from lists, log(a,b), uniform(a,b) and int(a,b); needs --by"
    add("--trials", type=positive, metavar="N", help=trials)
    add("--search-seed", type=int, default=0, metavar="N", help="of what a search draws (default: 0)")
    add("--dry-run", action="store_true", help="print names and commands, train nothing")
    launcher = "what starts -m srtoolbox train, as 'torchrun --nproc-per-node 2' (default: this Python)"
    add("--launcher", metavar="TEXT", help=launcher)
    add_comparison_options(parser)
    add_device(parser)
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where some run failed or was stopped."""
    parser = build_parser()
    args = parser.parse(argv)
    parser.prepare(args)
    from srtoolbox.apps.sweep.sweep import sweep
    from srtoolbox.engine.stop import Interrupted

    try:
        with parser.option_errors():
            result = sweep(**vars(args))
    except Interrupted as stop:
        return stop.exit_code
    return 1 if result.unfinished else 0
