"""Score checkpoints on test sets: a table per set; JSON, images, sheets and a page to look at on request."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_trial

if TYPE_CHECKING:
    import torch
    from torch import nn

    from srtoolbox.apps.report import ReportWriter
    from srtoolbox.config import Config
    from srtoolbox.engine.evaluate import Picture, Scores
    from srtoolbox.plots.sheet import SheetWriter

    Results = dict[str, dict[str, dict[str, Scores]]]  # network -> set -> image

SUMMARY = "score checkpoints, or bicubic, on test sets"
EXAMPLE = """example:
  python tools/test.py bicubic/bicubic_x3.py
  python tools/test.py espcn/espcn_x3_t91.py best.pth --datasets set5 --json scores.json
  python tools/test.py espcn/espcn_x3_t91.py a.pth b.pth --report report     (open report/index.html)"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("test", __doc__, EXAMPLE)
    add = parser.add_argument
    add("config", help="config with data.test (or data.val): its sets and metrics are used")
    add("checkpoints", nargs="*", default=[], metavar="CKPT", help="checkpoints to score")
    parser.add_overrides()
    add("--datasets", metavar="A,B", help="only these of the config's sets")
    add("--baseline", action="store_true", help="score bicubic beside the checkpoints")
    add("--json", metavar="FILE", help="write all scores, image by image")
    add("--out", metavar="DIR", help="write the upscaled images to DIR/<checkpoint>/<set>/")
    add("--best", type=int, metavar="N", help="with --out: only the N best and N worst images of each set")
    add("--sheets", metavar="DIR", help="write a comparison sheet per image: input, bicubic, networks, truth")
    add("--report", metavar="DIR", help="write a page to look at in a browser, DIR/index.html: scores and images")
    add("--report-images", type=int, metavar="N", help="with --report: images of each set in it (default 20)")
    add_trial(parser)
    add_device(parser)
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.best is not None and (args.best < 1 or not args.out):
        parser.error("--best N goes with --out DIR, and N is at least 1")
    if args.report_images is not None and (args.report_images < 1 or not args.report):
        parser.error("--report-images N goes with --report DIR, and N is at least 1")
    from srtoolbox import dist
    from srtoolbox.check import check
    from srtoolbox.config import Config
    from srtoolbox.engine.device import select_device
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging(main_process=dist.is_main_launch())
    config = Config.fromfile(args.config, args.overrides)
    load_plugins(config, args.plugin)
    check(config, mode="test")
    device = select_device(args.device or (config.get("runtime") or {}).get("device"))
    dist.init(device, (config.get("runtime") or {}).get("dist_timeout", dist.TIMEOUT))
    dist.enter("evaluate", 0)
    try:
        score_all(config, args, device)
    except BaseException as error:
        dist.abort(error)
        raise
    dist.leave(0)
    return 0


def score_all(config: Config, args: argparse.Namespace, device: torch.device) -> None:
    """Score all networks, print the tables, write what is wanted."""
    from srtoolbox import dist
    from srtoolbox.apps.report import ReportWriter
    from srtoolbox.apps.scoring.networks import check_scales, load_all, test_parts
    from srtoolbox.apps.scoring.report import run_facts
    from srtoolbox.apps.scoring.tables import as_json, print_tables
    from srtoolbox.io.files import write_json
    from srtoolbox.plots.sheet import SheetWriter

    datasets, metrics = test_parts(config, args.datasets)
    sheets = SheetWriter(args.sheets) if args.sheets else None
    with ReportWriter(args.report, args.report_images) if args.report else contextlib.nullcontext() as page:
        baseline = args.baseline or sheets is not None or page is not None
        networks = dict(load_all(config, args.checkpoints, device, baseline=baseline, trial=args.trial))
        check_scales(networks, datasets)
        # the only network beside bicubic is better called ESPCN than best_set5_psnr
        titles = {name: type(network).__name__ if len(networks) <= 2 else name for name, network in networks.items()}
        receivers = {
            name: Receiver(name, titles[name], Path(args.out) / name if args.out else None, sheets, page)
            for name in networks
        }
        results: Results = {name: {set_name: {} for set_name in datasets} for name in networks}
        for set_name, _ in score_parts(networks, datasets, metrics, device, receivers, results):
            if sheets is not None:
                sheets.write()
            if dist.is_main() and args.best:
                keep_extremes(Path(args.out), results, metrics, args.best)
            if dist.is_main() and page is not None:
                page.keep_chosen(set_name, [*results.values()][-1][set_name], metrics)
        if dist.is_main():
            print_tables(results, {name: metric.higher_is_better for name, metric in metrics.items()})
            if args.json:
                write_json(args.json, as_json(results))
            if page is not None:
                print(f"open {page.write(run_facts(config, args, networks, datasets, metrics, device), results)}")


class Receiver:
    """Takes one network's images as they are made: files in `out`, columns of the sheets, images of the report."""

    def __init__(
        self, name: str, title: str, out: Path | None, sheets: SheetWriter | None, page: ReportWriter | None
    ) -> None:
        from srtoolbox.io.file_names import Claims

        self.name, self.title, self.out, self.sheets, self.page = name, title, out, sheets, page
        self._claims = Claims()

    def take(self, set_name: str, image: Picture) -> None:
        """Write one image where it is wanted."""
        from srtoolbox.image import to_image, write_image

        if self.out is not None:
            path = self.out / set_name / f"{image.name}.png"
            write_image(self._claims.claim(path, f"{set_name}/{image.name}"), to_image(image.sr))
        if self.sheets is not None:
            name = f"{set_name}/{image.name}"
            self.sheets.add(name, self.title, lq=image.lq, gt=image.gt, sr=image.sr, scores=image.scores)
        if self.page is not None:
            self.page.add(set_name, image.name, self.name, lq=image.lq, gt=image.gt, sr=image.sr)


def keep_extremes(folder: Path, results: Results, metrics: Mapping[str, Any], count: int) -> None:
    """Delete the written images but the best and the worst by the last network's first metric, the same of all.

    Of a set without truth all are kept. It may be called after every part of a set: what is among the best or worst
    of all is so in every part.
    """
    from srtoolbox.apps.report.selection import choose_images
    from srtoolbox.apps.report.writer import decisive_metric

    *_, last = results.values()
    for set_name, images in last.items():
        metric = decisive_metric(images, metrics)
        if metric is None:
            continue
        kept = choose_images(images, metric, metrics[metric].higher_is_better, 2 * count)
        for name in set(images) - set(kept):
            for network in results:
                (folder / network / set_name / f"{name}.png").unlink(missing_ok=True)


def score_parts(
    networks: Mapping[str, nn.Module],
    datasets: Mapping[str, Any],
    metrics: Mapping[str, Any],
    device: torch.device,
    receivers: Mapping[str, Receiver],
    results: Results,
) -> Iterator[tuple[str, range]]:
    """Score every set part by part, each part by all networks, with a progress bar.

    Whoever needs all versions of an image has them after a part, and keeps no more than a part.

    Args:
        receivers: take the images of each network.
        results: gets the scores.

    Yields:
        (set, numbers of the images) after each part.
    """
    from rich.progress import Progress

    from srtoolbox import dist
    from srtoolbox.apps.scoring.networks import PART
    from srtoolbox.engine.evaluate import evaluate
    from srtoolbox.logger import CONSOLE

    world = dist.world_size()
    with Progress(console=CONSOLE, disable=not (dist.is_main() and CONSOLE.is_terminal), transient=True) as progress:
        for set_name, dataset in datasets.items():
            total = -(-len(dataset) // world) * len(networks)
            task = progress.add_task(set_name, total=total)
            for start in range(0, len(dataset), PART * world):
                part = range(start, min(start + PART * world, len(dataset)))
                for name, network in networks.items():
                    progress.update(task, description=f"{name} on {set_name}")

                    def on_picture(image: Picture, name: str = name, set_name: str = set_name) -> None:
                        progress.advance(task)  # noqa: B023 - called at once
                        receivers[name].take(set_name, image)

                    scores = evaluate(network, dataset, metrics, device=device, on_picture=on_picture, only=part)
                    results[name][set_name].update(scores)
                yield set_name, part
