"""Score checkpoints on test sets: a table per set, JSON and pictures on request."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import split_overrides

if TYPE_CHECKING:
    from torch import nn

    from srtoolbox.config import Config
    from srtoolbox.engine.evaluate import Picture, Scores

EXAMPLE = """example:
  python tools/test.py configs/bicubic/bicubic_x3.py
  python tools/test.py configs/espcn/espcn_x3_t91.py best.pth --json scores.json"""


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="test.py", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config with data.test (or data.val): its sets and metrics are used")
    parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="CKPT",
        help="checkpoints to score (none for a network without parameters); key=value changes config entries",
    )
    parser.add_argument("--datasets", metavar="A,B", help="only these of the config's sets")
    parser.add_argument("--baseline", action="store_true", help="score bicubic beside the checkpoints")
    parser.add_argument("--json", metavar="FILE", help="write all scores, picture by picture")
    parser.add_argument("--out", metavar="DIR", help="write the upscaled pictures to DIR/<checkpoint>/<set>/")
    parser.add_argument(
        "--best", type=int, metavar="N", help="with --out: only the N best and N worst pictures of each set"
    )
    parser.add_argument(
        "--sheets", metavar="DIR", help="write a comparison sheet per picture: input, bicubic, networks, truth"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="Python file with components of yours"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    args = build_parser().parse_intermixed_args(argv)
    args.checkpoints, overrides = split_overrides(args.checkpoints)
    from srtoolbox import dist
    from srtoolbox.check import check
    from srtoolbox.config import Config
    from srtoolbox.engine.runner import select_device
    from srtoolbox.files import write_json
    from srtoolbox.logger import setup_logging
    from srtoolbox.plugins import load_plugins

    setup_logging(main_process=dist.is_main_launch())
    config = Config.fromfile(args.config, overrides)
    load_plugins(config, args.plugin)
    check(config, mode="test")
    device = select_device(args.device or (config.get("runtime") or {}).get("device"))
    dist.init(device)
    results = {}
    datasets, metrics = test_parts(config, args.datasets)
    sheets = SheetWriter(args.sheets) if args.sheets else None
    networks = load_all(config, args.checkpoints, device, baseline=args.baseline or sheets is not None)
    for name, network in networks:
        # the only network beside bicubic is better called ESPCN than best_set5_psnr
        title = type(network).__name__ if len(networks) <= 2 else name
        results[name] = score_network(name, network, datasets, metrics, args, device, sheets, title)
    if sheets is not None:
        sheets.write()
    if dist.is_main():
        print_tables(results)
        if args.json:
            write_json(args.json, {name: {s: with_means(i) for s, i in sets.items()} for name, sets in results.items()})
    dist.shutdown()
    return 0


def test_parts(config: Config, chosen: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The datasets (all, or those chosen by name) and metrics of `data.test`, over those of `data.val`."""
    from srtoolbox.engine.evaluate import build_eval_datasets, build_metrics
    from srtoolbox.errors import ConfigError
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
    return build_eval_datasets({name: sets[name] for name in names}), build_metrics(part.get("metrics") or {})


def load_all(
    config: Config,
    checkpoints: Sequence[str],
    device: Any,  # noqa: ANN401
    *,
    baseline: bool,
) -> list[tuple[str, nn.Module]]:
    """`(name, network)` of each checkpoint; without one, the config's own network if it needs no weights.

    With `baseline`, bicubic comes first.
    """
    from srtoolbox.engine.checkpoint import load_network
    from srtoolbox.errors import ConfigError
    from srtoolbox.files import load_tensors
    from srtoolbox.registry import NETWORKS

    generator = config["model"]["generator"]
    if not checkpoints:
        network = NETWORKS.build(generator)
        if next(network.parameters(), None) is not None:
            raise ConfigError(f"{generator['type']} has weights to load: test.py {config.filename} CHECKPOINT")
        return [(generator["type"], network.to(device))]
    stems = [Path(path).stem for path in checkpoints]
    bicubic = {"type": "Bicubic", "scale": generator["scale"]}
    named = [("Bicubic", NETWORKS.build(bicubic).to(device))] if baseline else []
    for path, stem in zip(checkpoints, stems, strict=True):
        ours = "config" in load_tensors(path)
        network = load_network(path, config=None if ours else generator, device=device)
        named.append((stem if stems.count(stem) == 1 else path, network))
    return named


def score_network(
    name: str,
    network: nn.Module,
    datasets: dict[str, Any],
    metrics: dict[str, Any],
    args: argparse.Namespace,
    device: Any,  # noqa: ANN401
    sheets: SheetWriter | None,
    title: str,
) -> dict[str, dict[str, Scores]]:
    """Scores of one network on every set, with a progress bar; hands the pictures on where they are wanted."""
    from rich.progress import Progress

    from srtoolbox import dist
    from srtoolbox.engine.evaluate import evaluate
    from srtoolbox.errors import ConfigError
    from srtoolbox.logger import CONSOLE

    results = {}
    with Progress(console=CONSOLE, disable=not (dist.is_main() and CONSOLE.is_terminal), transient=True) as progress:
        for set_name, dataset in datasets.items():
            if dataset.scale != network.scale:
                raise ConfigError(f"{name} upscales x{network.scale}, set {set_name} is x{dataset.scale}")
            mine = len(range(dist.rank(), len(dataset), dist.world_size()))
            task = progress.add_task(f"{name} on {set_name}", total=mine)
            folder = Path(args.out) / name / set_name if args.out else None

            def on_picture(
                picture: Picture,
                task: Any = task,  # noqa: ANN401
                folder: Path | None = folder,
                set_name: str = set_name,
            ) -> None:
                progress.advance(task)
                if folder is not None:
                    write_picture(folder, picture)
                if sheets is not None:
                    sheets.add(set_name, title, picture)

            results[set_name] = evaluate(network, dataset, metrics, device=device, on_picture=on_picture)
            if folder is not None and args.best and dist.is_main():
                keep_extremes(folder, results[set_name], args.best)
    return results


def size_of(image: Any) -> str:  # noqa: ANN401 - an array
    """'150 x 100' of an HWC picture 150 px wide."""
    return f"{image.shape[1]} x {image.shape[0]}"


def caption(scores: Scores) -> str:
    """'PSNR 33.45  SSIM 0.8742' for people; the first two metrics."""
    shown = [(name, value) for name, value in scores.items() if name != "seconds"][:2]
    return "  ".join(f"{name.upper()} {value:.{2 if value > 2 else 4}f}" for name, value in shown)


def write_picture(folder: Path, picture: Picture) -> None:
    """The upscaled picture as 8-bit PNG."""
    from srtoolbox.image import to_image, write_image

    write_image(folder / f"{picture.name}.png", to_image(picture.sr))


class SheetWriter:
    """Collects what every network made of each picture and writes `sheet_<set>_<picture>.png`."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.columns: dict[tuple[str, str], list[tuple[str, Any, str]]] = {}
        self.truths: dict[tuple[str, str], Any] = {}

    def add(self, set_name: str, title: str, picture: Picture) -> None:
        """Take one network's version of one picture."""
        from srtoolbox.image import to_image, to_uint8

        key = (set_name, picture.name)
        columns = self.columns.setdefault(key, [("input", to_uint8(picture.lq), size_of(picture.lq))])
        columns.append((title, to_image(picture.sr), caption(picture.scores)))
        self.truths[key] = to_uint8(picture.gt)

    def write(self) -> None:
        """Write the sheets of all pictures."""
        from srtoolbox.image import write_image
        from srtoolbox.visual.sheet import comparison_sheet

        for (set_name, picture), columns in self.columns.items():
            truth = self.truths[set_name, picture]
            sheet = comparison_sheet([*columns, ("truth", truth, size_of(truth))])
            write_image(self.folder / f"sheet_{set_name}_{picture.replace('/', '_')}.png", sheet)


def keep_extremes(folder: Path, scores: dict[str, Scores], count: int) -> None:
    """Keep the pictures with the `count` best and worst scores, by the first metric, and delete the others."""
    ranked = sorted(scores, key=lambda name: next(iter(scores[name].values())))
    for name in set(ranked) - {*ranked[:count], *ranked[-count:]}:
        (folder / f"{name}.png").unlink()


def with_means(images: dict[str, Scores]) -> dict[str, Any]:
    """`{"psnr": mean, ..., "images": {name: {...}}}`."""
    from srtoolbox.engine.evaluate import means

    return {**means(images), "images": images}


def print_tables(results: dict[str, dict[str, dict[str, Scores]]]) -> None:
    """A table per set, a row per network."""
    from rich.table import Table

    from srtoolbox.engine.evaluate import means
    from srtoolbox.logger import CONSOLE

    for set_name in next(iter(results.values())):
        rows = {name: means(sets[set_name]) for name, sets in results.items()}
        pictures = len(next(iter(results.values()))[set_name])
        table = Table(title=f"{set_name} ({pictures} pictures)")
        table.add_column("network")
        for metric in next(iter(rows.values())):
            table.add_column("s/picture" if metric == "seconds" else metric, justify="right")
        for name, row in rows.items():
            table.add_row(name, *(f"{value:.4f}" for value in row.values()))
        CONSOLE.print(table)
