"""Parameters, FLOPs, receptive field, time and memory of networks of configs or checkpoints.

Of an image or a video that was upscaled: the weights, network, scale, version and options it was made by.
"""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin

SUMMARY = "count a network's parameters and FLOPs, measure its time and memory"
EXAMPLE = """example:
  python tools/model_info.py srresnet/srresnet_x4_mse_div2k_1000k.py
  python tools/model_info.py model.pth --gt 720 1280 --device cuda      # the size papers count Multi-Adds for
  python tools/model_info.py espcn/espcn_x3_t91.py model.generator.channels=[32,16] --json cost.json
  python tools/model_info.py photo_sr.png                               # what made this result"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("model_info", __doc__, EXAMPLE)
    add = parser.add_argument
    source = "a config, a checkpoint (.pth, .pt, .ckpt, .safetensors), or an image or a video made by one"
    add("source", metavar="CONFIG_OR_CKPT", help=source)
    parser.add_overrides()
    size = parser.add_mutually_exclusive_group()
    lq, gt = "of the low-resolution image (default: 64 64)", "of the upscaled image instead"
    size.add_argument("--size", nargs=2, type=int, metavar=("H", "W"), help=lq)
    size.add_argument("--gt", nargs=2, type=int, metavar=("H", "W"), help=gt)
    add("--batch", type=int, default=1, metavar="N", help="images at once (default: 1)")
    runs = "passes that are timed; the median counts (default: 10)"
    add("--runs", type=int, default=10, metavar="N", help=runs)
    add("--threads", type=int, metavar="N", help="threads of the CPU (default: torch's)")
    add_device(parser)
    add("--json", metavar="FILE", help="write the figures")
    add_plugin(parser)
    args = parser.parse(argv)
    sides = [*(args.size or ()), *(args.gt or ())]
    if min(args.batch, args.runs, args.threads or 1, *sides) < 1:
        parser.error("sizes, --batch, --runs and --threads are at least 1")
    from srtoolbox.apps.results import in_words, is_result, read_steps
    from srtoolbox.io.files import write_json
    from srtoolbox.logger import CONSOLE

    file = vars(args).pop("json")
    if is_result(args.source):
        if args.overrides:
            parser.error(
                f"{args.overrides[0]} changes a config; {args.source} is a result, of which nothing is measured"
            )
        steps = read_steps(args.source)
        print("\n".join([args.source, *in_words(steps)]))
        if file:
            write_json(file, {"source": args.source, "steps": steps})
        return 0
    from srtoolbox.apps.cost import measure_networks

    costs = measure_networks(**vars(args))
    print(f"{args.source}\non {costs.setting}")
    CONSOLE.print(costs.table())
    if file:
        write_json(file, costs.as_json())
    return 0
