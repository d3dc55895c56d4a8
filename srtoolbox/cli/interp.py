"""Interpolate networks, (1 - alpha) A + alpha B: as checkpoints, sheets and curves of scores."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_trial

SUMMARY = "interpolate networks: files, sheets and curves over alpha"
EXAMPLE = """example:
  python tools/interp.py psnr.pth gan.pth --alpha 0.8 -o between.pth
  python tools/interp.py psnr.pth gan.pth --alpha 0.2 0.8 -o between.pth  # between_alpha0.2.pth, ...
  python tools/interp.py psnr.pth gan.pth --sweep 0:1:0.1 --images HR/a.png HR/b.png --report sweep
  python tools/interp.py psnr.pth gan.pth --sweep 0:1:0.25 --config x.py --datasets set5,set14
  python tools/interp.py a.pth b.pth c.pth --weights 2 1 1 -o between.pth

The networks must be of one architecture; they need not be of one project. alpha lies in [0, 1]."""


def build_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = CommandParser("interp", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoints", nargs="+", metavar="CKPT", help="two, A and B (any number with --weights)")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--alpha", nargs="+", type=float, metavar="A", help="shares of B, in [0, 1]")
    how.add_argument("--sweep", metavar="FIRST:LAST:STEP", help="many alphas, e.g. 0:1:0.1")
    how.add_argument("--weights", nargs="+", type=float, metavar="W", help="shares, scaled to sum 1")
    add("-o", "--out", metavar="FILE", help="what to write; several get _alpha<value> before the suffix")
    add("--images", nargs="+", default=[], metavar="IMAGE", help="true ones: scored, shown")
    add("--inputs", nargs="+", default=[], metavar="IMAGE", help="LR ones: only shown")
    add("--config", help="has sets and metrics in data.test, and a network for weights that say none")
    add("--datasets", metavar="A,B", help="score on these sets of --config, or of A's own config")
    add("--report", metavar="DIR", help="for sheets, curve, scores (default: work_dirs/interp/<A>_<B>)")
    add("--scale", type=int, metavar="N", help="for weights that fit any (SRCNN, FSRCNN, VDSR)")
    add("--raw", action="store_true", help="take trained weights where there are averaged ones, too")
    add_trial(parser)
    add_device(parser)
    add_plugin(parser)
    parser.add_overrides()
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if not (args.out or args.images or args.inputs or args.datasets):
        hint = "-o FILE writes a checkpoint, --images, --inputs or --datasets show what it does"
        parser.error(f"nothing to do: {hint}")
    if args.overrides and not args.config:
        parser.error(f"{args.overrides[0]!r} changes an entry of --config, which is not given")
    from srtoolbox.apps.networks import generator_in
    from srtoolbox.apps.scoring import interpolation
    from srtoolbox.config import Config
    from srtoolbox.engine.device import select_device
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins
    from srtoolbox.weights.interpolate import Interpolator
    from srtoolbox.weights.of_config import with_network_of_file

    if args.weights:
        points = [interpolation.weighted_interpolation(args.weights, args.checkpoints)]
    else:
        alphas = args.alpha or interpolation.parse_sweep(args.sweep)
        points = interpolation.interpolations_over(alphas, args.checkpoints)
    images, inputs = interpolation.image_files(args.images), interpolation.image_files(args.inputs)
    paths = interpolation.output_paths(args.out, points, args.checkpoints) if args.out else []
    setup_logging()
    config = Config.fromfile(args.config, args.overrides) if args.config else None
    load_plugins(config, args.plugins)
    device = select_device(args.device)
    generator = generator_in(with_network_of_file(config)) if config is not None else None
    interpolator = Interpolator(
        args.checkpoints, config=generator, weights="raw" if args.raw else "ema", scale=args.scale, trial=args.trial
    )
    for point, path in zip(points, paths, strict=False):
        interpolator.save(path, point.shares)
        print(f"{point.name} -> {path}")
    if images or inputs or args.datasets:
        how = {"config": config, "datasets": args.datasets, "device": device}
        with parser.option_errors():
            report = interpolation.InterpolationReport(interpolator, args.report, images=images, inputs=inputs, **how)
        report.write(points)
        print(f"see {report.folder}")
    return 0
