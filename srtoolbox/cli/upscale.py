"""Upscale images with a trained network."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from srtoolbox.apps.folder.naming import STREAM
from srtoolbox.cli.options import terminable
from srtoolbox.cli.upscale_options import build_parser, naming_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from srtoolbox.apps.folder.plan import Plan
    from srtoolbox.inference.upscaler import Upscaler


SUMMARY = "upscale images with a trained network"
TAKES_PATTERNS = True  # of folders, whose structure the results keep


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where some image failed."""
    parser = build_parser()
    args = parser.parse(argv)
    naming = naming_of(parser, args)
    from srtoolbox.apps.folder.plan import plan
    from srtoolbox.apps.folder.run import Options, Run
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging()
    load_plugins(None, args.plugin)
    console = _console(args.out)
    planned = plan(args.inputs, naming)
    jobs = [job for job in planned.jobs if not (args.skip_existing and job.target and job.target.exists())]
    _tell_left_out(planned, len(planned.jobs) - len(jobs), console)
    upscaler, alpha = upscalers(args)
    start = time.perf_counter()
    run = Run(upscaler, Options(args.quality, f".{args.ext or 'png'}", args.workers, alpha), console)
    with terminable():
        run(jobs)
    done, seconds = len(jobs) - len(run.failed), time.perf_counter() - start
    skipped = f", {len(planned.jobs) - len(jobs)} skipped" if args.skip_existing else ""
    console.print(f"{done} upscaled, {len(run.failed)} failed{skipped}, {seconds:.1f} s", highlight=False)
    return 1 if run.failed else 0


def upscalers(args: argparse.Namespace) -> tuple[Upscaler, Upscaler | None]:
    """For the colours, and for the transparency where that is another."""
    from srtoolbox.apps.networks import generator_of
    from srtoolbox.engine.device import select_device
    from srtoolbox.inference.upscaler import Upscaler
    from srtoolbox.registry import NETWORKS

    device = select_device(args.device)
    config = generator_of(args.config)
    network = load(args, config, device)
    tile = args.tile or None
    upscaler = Upscaler(
        network,
        device=device,
        tile=tile,
        ensemble=args.ensemble,
        dtype=args.dtype,
        outscale=args.outscale,
        overlap=args.overlap,
        batch=args.batch,
        patches=args.patches,
        wrap=args.wrap,
    )
    if args.transparency == "network":
        return upscaler, None
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": network.scale})
    return upscaler, Upscaler(bicubic, device=device, tile=tile, outscale=args.outscale, wrap=args.wrap)


def load(args: argparse.Namespace, config: Mapping[str, Any] | None, device: torch.device) -> nn.Module:
    """The network of the checkpoint, with another one mixed in where that is wanted."""
    from srtoolbox.weights.interpolate import Interpolator
    from srtoolbox.weights.load import load_network

    if args.blend is None:
        return load_network(args.checkpoint, config=config, scale=args.scale, trial=args.trial, device=device)
    interpolator = Interpolator([args.checkpoint, args.blend], config=config, scale=args.scale, trial=args.trial)
    return interpolator.network_at((1 - args.alpha, args.alpha), device)


def _tell_left_out(planned: Plan, existing: int, console: Any) -> None:  # noqa: ANN401 - rich's Console
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if planned.left_out:
        say(f"left out as results of an earlier run (-o takes them): {', '.join(planned.left_out)}")
    if planned.unread:
        say(planned.unread)
    if existing:
        say(f"{existing} skipped, which have a result already")


def _console(out: str | None) -> Any:  # noqa: ANN401 - rich's Console
    """Where messages go: not to standard output when an image goes there."""
    from rich.console import Console

    from srtoolbox.logger import CONSOLE

    return Console(stderr=True) if out == STREAM else CONSOLE
