"""Blend networks: (1 - alpha) A + alpha B over all weights, as checkpoints, comparison sheets and curves of scores."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_trial
from srtoolbox.text import counted

if TYPE_CHECKING:
    from srtoolbox.weights.interpolate import Interpolation

SUMMARY = "blend networks: files, sheets and curves over alpha"
EXAMPLE = """example:
  python tools/interp.py psnr.pth gan.pth --alpha 0.8 -o blend.pth
  python tools/interp.py psnr.pth gan.pth --alpha 0.2 0.5 0.8 -o blend.pth      # blend_alpha0.2.pth, ...
  python tools/interp.py psnr.pth gan.pth --sweep 0:1:0.1 --images HR/a.png HR/b.png --report sweep
  python tools/interp.py psnr.pth gan.pth --sweep 0:1:0.25 --config x.py --datasets set5,set14 --report sweep
  python tools/interp.py a.pth b.pth c.pth --weights 2 1 1 -o blend.pth

The networks must be of one architecture; they need not be of one project. alpha lies in [0, 1]."""
MAX_BLENDS = 201


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("interp", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoints", nargs="+", metavar="CKPT", help="two checkpoints A B (any number with --weights)")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--alpha", nargs="+", type=float, metavar="A", help="shares of B, in [0, 1]")
    how.add_argument("--sweep", metavar="FIRST:LAST:STEP", help="many alphas, e.g. 0:1:0.1")
    how.add_argument("--weights", nargs="+", type=float, metavar="W", help="a share per checkpoint, scaled to sum 1")
    add("-o", "--out", metavar="FILE", help="the checkpoint to write; several get _alpha<value> before the suffix")
    add("--images", nargs="+", default=[], metavar="PICTURE", help="true pictures: reduced, restored, scored, shown")
    add("--inputs", nargs="+", default=[], metavar="PICTURE", help="low-resolution pictures: only shown")
    add("--config", help="its data.test sets and metrics are used; and its network for weights that say no other")
    add("--datasets", metavar="A,B", help="score on these sets of --config, or of the first checkpoint's own config")
    add("--report", metavar="DIR", help="where sheets, curve and scores go (default: work_dirs/interp/<A>_<B>)")
    add("--scale", type=int, metavar="N", help="the scale of weights that fit any (SRCNN, FSRCNN, VDSR)")
    add("--raw", action="store_true", help="blend the trained weights where there are averaged (EMA) ones too")
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
        parser.error("nothing to do: -o FILE writes the blend, --images, --inputs or --datasets show what it does")
    if args.overrides and not args.config:
        parser.error(f"{args.overrides[0]!r} changes an entry of --config, which is not given")
    blends = plan_blends(args)
    args.images, args.inputs = pictures(args.images), pictures(args.inputs)
    targets = plan_outputs(args, blends)
    from srtoolbox.apps.networks import generator_in
    from srtoolbox.config import Config
    from srtoolbox.engine.device import select_device
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins
    from srtoolbox.weights.interpolate import Interpolator

    setup_logging()
    config = Config.fromfile(args.config, args.overrides) if args.config else None
    load_plugins(config, args.plugin)
    device = select_device(args.device)
    generator = generator_in(config) if config is not None else None
    which = "raw" if args.raw else "ema"
    interpolator = Interpolator(args.checkpoints, config=generator, weights=which, scale=args.scale, trial=args.trial)
    for blend, target in zip(blends, targets, strict=False):
        interpolator.save(target, blend.shares)
        print(f"{blend.name} -> {target}")
    if args.images or args.inputs or args.datasets:
        from srtoolbox.apps.scoring.interpolation import Report

        report = Report(args, interpolator, config, device)
        report.write(blends)
        print(f"see {report.folder}")
    return 0


# ---- what is asked for


def plan_blends(args: argparse.Namespace) -> list[Interpolation]:
    """List the blends, in the order of alpha, which is that of tables, sheets and curves.

    Raises:
        ConfigError: alphas outside [0, 1], a sweep that is none, another number of networks than the option is for.
    """
    from srtoolbox.errors import ConfigError
    from srtoolbox.weights.interpolate import Interpolation

    if args.weights:
        if len(args.weights) != len(args.checkpoints) or len(args.checkpoints) < 2:
            raise ConfigError(
                f"--weights: {counted(len(args.checkpoints), 'checkpoint')}, {counted(len(args.weights), 'weight')}"
            )
        total = sum(args.weights)
        if not all(math.isfinite(weight) and weight >= 0 for weight in args.weights) or not total:
            raise ConfigError("--weights are 0 or more, and not all 0")
        shares = tuple(weight / total for weight in args.weights)
        return [Interpolation(" + ".join(f"{share:.3g}" for share in shares), shares)]
    if len(args.checkpoints) != 2:
        raise ConfigError(f"alpha blends two checkpoints, got {len(args.checkpoints)}; --weights takes any number")
    alphas = args.alpha or parse_sweep(args.sweep)
    wrong = [f"{alpha:g}" for alpha in alphas if not 0 <= alpha <= 1]
    if wrong:
        raise ConfigError(
            f"alpha lies in [0, 1], got {', '.join(wrong)}: beyond the two networks the weights (BatchNorm's variances "
            "above all) were never trained to work"
        )
    return [Interpolation(f"alpha {alpha:g}", (1 - alpha, alpha)) for alpha in sorted(set(alphas))]


def parse_sweep(text: str) -> list[float]:
    """'0:1:0.25' -> [0.0, 0.25, 0.5, 0.75, 1.0]; the last value is among them where the steps meet it.

    Raises:
        ConfigError: not of that form.
    """
    from srtoolbox.errors import ConfigError

    try:
        first, last, step = (float(word) for word in text.split(":"))
        count = math.floor((last - first) / step + 1e-6) + 1
        if step <= 0 or count < 1:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ConfigError(f"--sweep is FIRST:LAST:STEP, such as 0:1:0.1, got {text!r}") from None
    if count > MAX_BLENDS:
        raise ConfigError(f"--sweep {text} asks for {count} blends, at most {MAX_BLENDS} are made")
    return [round(first + number * step, 9) for number in range(count)]


def pictures(texts: Sequence[str]) -> list[Path]:
    """Picture files, and those in folders.

    Raises:
        ImageError: one that is not there.
    """
    from srtoolbox.errors import ImageError
    from srtoolbox.image import scan_folder, unread_sentence
    from srtoolbox.logger import LOGGER

    found: list[Path] = []
    for path in map(Path, texts):
        if not path.exists():
            raise ImageError(f"{path}: no such picture or folder")
        if not path.is_dir():
            found.append(path)
            continue
        listing = scan_folder(path)
        found += [path / name for name in listing.images]
        if listing.unread:
            LOGGER.warning("%s: %s", path, unread_sentence(listing.unread))
    return found


def plan_outputs(args: argparse.Namespace, blends: Sequence[Interpolation]) -> list[Path]:
    """A file for each blend; none without --out.

    Raises:
        ConfigError: an output that is an input, or a suffix that is no checkpoint's.
    """
    from srtoolbox.errors import ConfigError

    if not args.out:
        return []
    out = Path(args.out)
    if out.suffix != ".pth":
        raise ConfigError(f"-o {out}: a checkpoint's name ends in .pth; convert_checkpoint writes other formats")
    names = [out] if len(blends) == 1 else [_named(out, blend) for blend in blends]
    for path in names:
        if path.exists() and any(Path(source).exists() and path.samefile(source) for source in args.checkpoints):
            raise ConfigError(f"-o {path} is one of the checkpoints to blend; give another name")
    return names


def _named(out: Path, blend: Interpolation) -> Path:
    return out.with_name(f"{out.stem}_{blend.name.replace(' ', '')}{out.suffix}")
