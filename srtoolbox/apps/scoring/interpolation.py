"""What blends do to pictures: sheets, a table of scores, scores.json and the curve over alpha."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from srtoolbox.apps.scoring.networks import PART, test_parts
from srtoolbox.apps.scoring.tables import as_json, print_tables
from srtoolbox.config import Config
from srtoolbox.data.datasets.image_files import PictureFiles
from srtoolbox.engine.evaluate import Picture, Scores, build_metrics, evaluate, means, unique_names
from srtoolbox.errors import ConfigError
from srtoolbox.image import read_image, to_uint8, write_image
from srtoolbox.inference.upscaler import upscale
from srtoolbox.io.files import write_json
from srtoolbox.logger import CONSOLE
from srtoolbox.plots.score_charts import plot_alpha
from srtoolbox.plots.sheet import SheetWriter, comparison_sheet
from srtoolbox.weights.interpolate import Interpolation, Interpolator

Results = dict[str, dict[str, dict[str, Scores]]]
"""Blend -> set -> picture -> scores."""


class Report:
    """Runs every blend over all pictures and writes sheets, the table, scores.json and the curve."""

    def __init__(self, args: argparse.Namespace, interpolator: Interpolator, config: Any, device: torch.device) -> None:  # noqa: ANN401
        self.args, self.interpolator, self.device = args, interpolator, device
        stems = "_".join(Path(path).stem for path in args.checkpoints)
        self.folder = Path(args.report or Path("work_dirs/interp", stems))
        self.sets, self.metrics = _sets_and_metrics(args, interpolator, config)
        if args.images:
            self.sets = {"images": PictureFiles(args.images, interpolator.network.scale), **self.sets}
        self.sheets = SheetWriter(self.folder)

    def write(self, blends: Sequence[Interpolation]) -> None:
        """Run all blends, image by image in parts; the files lie in `folder` afterwards."""
        results: Results = {blend.name: {set_name: {} for set_name in self.sets} for blend in blends}
        steps = len(blends) * (sum(map(len, self.sets.values())) + len(self.args.inputs))
        with Progress(console=CONSOLE, disable=not CONSOLE.is_terminal, transient=True) as progress:
            task = progress.add_task("interpolating", total=steps)
            for set_name, dataset in self.sets.items():
                size = PART if set_name == "images" else len(dataset) or 1  # a set is scored, not shown
                for start in range(0, len(dataset), size):
                    part = range(start, min(start + size, len(dataset)))
                    for blend in blends:
                        scores = self._score(blend, set_name, part, lambda: progress.advance(task))
                        results[blend.name][set_name].update(scores)
                    self.sheets.write()
            self._show_inputs(blends, lambda: progress.advance(task))
        if self.sets:
            print_tables(results, {name: m.higher_is_better for name, m in self.metrics.items()}, ranked=False)
            write_json(self.folder / "scores.json", as_json(results))
            self._plot(results, blends)

    def _score(
        self, blend: Interpolation, set_name: str, part: range, advance: Callable[[], None]
    ) -> dict[str, Scores]:
        def on_picture(picture: Picture) -> None:
            advance()
            if set_name == "images":
                more = {"lq": picture.lq, "gt": picture.gt, "sr": picture.sr, "scores": picture.scores}
                self.sheets.add(picture.name, blend.name, **more)

        network = self.interpolator.network_at(blend.shares, self.device)
        dataset = self.sets[set_name]
        return evaluate(network, dataset, self.metrics, device=self.device, on_picture=on_picture, only=part)

    def _show_inputs(self, blends: Sequence[Interpolation], advance: Callable[[], None]) -> None:
        taken = unique_names(self.sets["images"].keys()) if "images" in self.sets else []
        names = unique_names([*taken, *(path.stem for path in self.args.inputs)])[len(taken) :]
        for name, path in zip(names, self.args.inputs, strict=True):
            image = read_image(path)
            columns = [("input", to_uint8(image), "")]
            for blend in blends:
                network = self.interpolator.network_at(blend.shares, self.device)
                columns.append((blend.name, to_uint8(upscale(network, image, device=self.device)), ""))
                advance()
            write_image(self.folder / f"sheet_{name}.png", comparison_sheet(columns))

    def _plot(self, results: Results, blends: Sequence[Interpolation]) -> None:
        if self.args.weights or len(blends) < 2:
            return
        rows = [{name: means(images) for name, images in results[blend.name].items()} for blend in blends]
        metrics = [name for name in next(iter(rows[0].values())) if name != "seconds"]
        panels = {metric: {name: [row[name][metric] for row in rows] for name in self.sets} for metric in metrics}
        ends = tuple(Path(path).stem for path in self.args.checkpoints)
        plot_alpha(self.folder / "curve.png", [blend.shares[1] for blend in blends], panels, ends=ends)


def _sets_and_metrics(
    args: argparse.Namespace, interpolator: Interpolator, config: Config | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The chosen sets, and the config's metrics; without a config PSNR and SSIM on luma, crop = scale."""
    scale = interpolator.network.scale
    if args.datasets:
        first = interpolator.files[0]
        config = config or Config(first.run_config, filename=first.source)
        sets, metrics = test_parts(config, args.datasets)
        for name, dataset in sets.items():
            if dataset.scale != scale:
                raise ConfigError(f"the networks upscale x{scale}, set {name} is x{dataset.scale}")
        return sets, metrics
    data = (config or {}).get("data") or {}
    chosen = {**(data.get("val") or {}), **(data.get("test") or {})}.get("metrics")
    metrics = chosen or {f"{name.lower()}_y": {"type": name, "crop_border": scale} for name in ("PSNR", "SSIM")}
    return {}, build_metrics(metrics)
