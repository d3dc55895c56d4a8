"""Score checkpoints on test sets: a table per set, JSON and pictures on request."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser

if TYPE_CHECKING:
    import torch
    from rich.table import Table
    from torch import nn

    from srtoolbox.config import Config
    from srtoolbox.engine.evaluate import Picture, Scores
    from srtoolbox.visual.sheet_writer import SheetWriter

    Results = dict[str, dict[str, dict[str, Scores]]]  # network -> set -> picture

EXAMPLE = """example:
  python tools/test.py bicubic/bicubic_x3.py
  python tools/test.py espcn/espcn_x3_t91.py best.pth --datasets set5 --json scores.json"""


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("test", __doc__, EXAMPLE)
    add = parser.add_argument
    add("config", help="config with data.test (or data.val): its sets and metrics are used")
    add("checkpoints", nargs="*", default=[], metavar="CKPT", help="checkpoints to score")
    parser.add_overrides()
    add("--datasets", metavar="A,B", help="only these of the config's sets")
    add("--baseline", action="store_true", help="score bicubic beside the checkpoints")
    add("--json", metavar="FILE", help="write all scores, picture by picture")
    add("--out", metavar="DIR", help="write the upscaled pictures to DIR/<checkpoint>/<set>/")
    add("--best", type=int, metavar="N", help="with --out: only the N best and N worst pictures of each set")
    add("--sheets", metavar="DIR", help="write a comparison sheet per picture: input, bicubic, networks, truth")
    add("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    add("--plugin", action="append", default=[], metavar="FILE", help="Python file with components of yours")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    if args.best is not None and (args.best < 1 or not args.out):
        parser.error("--best N goes with --out DIR, and N is at least 1")
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
        report(score_all(config, args, device), args.json)
    except BaseException as error:
        dist.abort(error)
        raise
    dist.leave(0)
    return 0


def score_all(
    config: Config, args: argparse.Namespace, device: torch.device
) -> dict[str, dict[str, dict[str, Scores]]]:
    """`{network: {set: {picture: scores}}}`; writes pictures and sheets where they are wanted."""
    from srtoolbox import dist
    from srtoolbox.visual.sheet_writer import SheetWriter

    sets_and_metrics = test_parts(config, args.datasets)
    sheets = SheetWriter(args.sheets) if args.sheets else None
    networks = dict(load_all(config, args.checkpoints, device, baseline=args.baseline or sheets is not None))
    results = {}
    for name, network in networks.items():
        # the only network beside bicubic is better called ESPCN than best_set5_psnr
        title = type(network).__name__ if len(networks) <= 2 else name
        out = Path(args.out) / name if args.out else None
        results[name] = score_network(name, network, device, sets_and_metrics, Receiver(title, out, sheets))
    if sheets is not None:
        sheets.write()
    if args.best and dist.is_main():
        keep_extremes(Path(args.out), results, args.best)
    return results


class Receiver:
    """Takes one network's pictures as they are made: files in `out`, columns of the sheets."""

    def __init__(self, title: str, out: Path | None, sheets: SheetWriter | None) -> None:
        self.title, self.out, self.sheets = title, out, sheets

    def take(self, set_name: str, picture: Picture) -> None:
        """Write one picture where it is wanted."""
        from srtoolbox.image import to_image, write_image

        if self.out is not None:
            write_image(self.out / set_name / f"{picture.name}.png", to_image(picture.sr))
        if self.sheets is not None:
            name = f"{set_name}/{picture.name}"
            self.sheets.add(name, self.title, lq=picture.lq, gt=picture.gt, sr=picture.sr, scores=picture.scores)


def keep_extremes(folder: Path, results: Results, count: int) -> None:
    """Delete the written pictures but the best and the worst by the last network's first metric, the same of all."""
    *_, last = results.values()
    for set_name, scores in last.items():
        ranked = sorted(scores, key=lambda name: next(iter(scores[name].values())))
        for name in set(ranked) - {*ranked[:count], *ranked[-count:]}:
            for network in results:
                (folder / network / set_name / f"{name}.png").unlink()


def score_network(
    name: str,
    network: nn.Module,
    device: torch.device,
    sets_and_metrics: tuple[dict[str, Any], dict[str, Any]],
    receiver: Receiver,
) -> dict[str, dict[str, Scores]]:
    """Scores of one network on every set, with a progress bar."""
    from rich.progress import Progress

    from srtoolbox import dist
    from srtoolbox.engine.evaluate import evaluate
    from srtoolbox.errors import ConfigError
    from srtoolbox.logger import CONSOLE

    results = {}
    datasets, metrics = sets_and_metrics
    with Progress(console=CONSOLE, disable=not (dist.is_main() and CONSOLE.is_terminal), transient=True) as progress:
        for set_name, dataset in datasets.items():
            if dataset.scale != network.scale:
                raise ConfigError(f"{name} upscales x{network.scale}, set {set_name} is x{dataset.scale}")
            task = progress.add_task(f"{name} on {set_name}", total=-(-len(dataset) // dist.world_size()))

            def on_picture(picture: Picture, set_name: str = set_name, task: Any = task) -> None:  # noqa: ANN401
                progress.advance(task)
                receiver.take(set_name, picture)

            results[set_name] = evaluate(network, dataset, metrics, device=device, on_picture=on_picture)
    return results


def test_parts(config: Config, chosen: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The datasets (all, or those chosen by name) and metrics of `data.test`, over those of `data.val`."""
    from srtoolbox.engine.evaluate import build_eval_datasets, build_metrics
    from srtoolbox.errors import ConfigError, MissingDataError
    from srtoolbox.registry import did_you_mean

    data = config.get("data") or {}
    part = {**(data.get("val") or {}), **(data.get("test") or {})}
    sets = dict(part.get("datasets") or {})
    if not sets:
        raise ConfigError(f"{config.filename}: data.test.datasets names no set to test on")
    for name in chosen.split(",") if chosen else []:
        if name not in sets:
            raise ConfigError(f"--datasets: the config has no set {name!r}.{did_you_mean(name, sets, else_list=True)}")
    names = chosen.split(",") if chosen else list(sets)
    datasets = build_eval_datasets({name: sets[name] for name in names})
    if not datasets:
        raise MissingDataError("none of the test sets is there (see above for what is missing)")
    return datasets, build_metrics(part.get("metrics") or {})


def load_all(
    config: Config, checkpoints: Sequence[str], device: torch.device, *, baseline: bool
) -> Iterator[tuple[str, nn.Module]]:
    """`(name, network)` of each checkpoint; without one, the config's own network if it needs no weights.

    With `baseline`, bicubic comes first.
    """
    from srtoolbox.engine.checkpoint import load_network
    from srtoolbox.errors import ConfigError
    from srtoolbox.registry import NETWORKS

    generator = config["model"]["generator"]
    if not checkpoints:
        network = NETWORKS.build(generator)
        if next(network.parameters(), None) is not None:
            raise ConfigError(f"{generator['type']} has weights to load: test.py {config.filename} CHECKPOINT")
        yield generator["type"], network.to(device)
        return
    if baseline:
        yield "Bicubic", NETWORKS.build({"type": "Bicubic", "scale": generator["scale"]}).to(device)
    for name, path in distinct_names(checkpoints).items():
        yield name, load_network(path, config=generator, device=device)


def distinct_names(paths: Sequence[str]) -> dict[str, str]:
    """`{name: path}`: the file's stem, with as many of its folders before it as tell the checkpoints apart.

    Raises:
        ConfigError: one file given twice.
    """
    from srtoolbox.errors import ConfigError

    full = [Path(path).resolve() for path in paths]
    if len(set(full)) < len(full):
        raise ConfigError("a checkpoint is given twice")
    parts = [[part for part in path.with_suffix("").parts[1:] if part != "checkpoints"] for path in full]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["_".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    raise ConfigError("checkpoints of one name: rename one of them")


def report(results: Results, json_file: str | None) -> None:
    """Print the tables and write the JSON."""
    from srtoolbox import dist
    from srtoolbox.files import write_json

    if dist.is_main():
        print_tables(results)
        if json_file:
            write_json(json_file, {name: {s: with_means(i) for s, i in sets.items()} for name, sets in results.items()})


def with_means(images: dict[str, Scores]) -> dict[str, Any]:
    """`{"psnr": mean, ..., "images": {name: {...}}}`."""
    from srtoolbox.engine.evaluate import means

    return {**means(images), "images": images}


def print_tables(results: Results) -> None:
    """A table per set: a row per network, or where that is too wide a row per score."""
    from rich.console import Console
    from rich.measure import Measurement

    from srtoolbox.engine.evaluate import means
    from srtoolbox.logger import CONSOLE

    for set_name in next(iter(results.values())):
        rows = {name: means(sets[set_name]) for name, sets in results.items()}
        title = f"{set_name} ({len(next(iter(results.values()))[set_name])} pictures)"
        tables = [table_of(title, rows, across=across) for across in (False, True)]
        widths = [Measurement.get(CONSOLE, CONSOLE.options.update(max_width=10_000), table).maximum for table in tables]
        fitting = [number for number in (0, 1) if widths[number] <= CONSOLE.width]
        best = fitting[0] if fitting else widths.index(min(widths))
        if CONSOLE.is_terminal:  # which folds what is too wide; in a file there is room for all
            CONSOLE.print(tables[best])
        else:
            Console(file=CONSOLE.file, width=max(CONSOLE.width, widths[best])).print(tables[best])


def table_of(title: str, rows: dict[str, Scores], *, across: bool) -> Table:
    """Networks down and scores across the page, or with `across` the other way round."""
    from rich.table import Table

    table = Table(title=title)
    scores = {"s/picture" if key == "seconds" else key: key for key in next(iter(rows.values()))}
    table.add_column("" if across else "network", overflow="fold")  # two names may differ at the end only
    for name in rows if across else scores:
        table.add_column(name, justify="right", overflow="fold")
    if across:
        for title, key in scores.items():
            table.add_row(title, *(f"{row[key]:.4f}" for row in rows.values()))
    else:
        for name, row in rows.items():
            table.add_row(name, *(f"{value:.4f}" for value in row.values()))
    return table
