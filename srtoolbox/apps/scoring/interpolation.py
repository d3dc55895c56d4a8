"""Interpolated networks: as checkpoints, and scored and shown over alpha."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress, TaskID

from srtoolbox.apps.report.contents import protocol_of
from srtoolbox.apps.report.planes import planes_of
from srtoolbox.apps.scoring.score import PART, sets_and_metrics
from srtoolbox.apps.scoring.tables import Results, as_json, print_tables
from srtoolbox.config import Config
from srtoolbox.data.datasets.gt_only import ImageFiles
from srtoolbox.engine.evaluate import EvaluatedImage, Scores, build_metrics, evaluate, means, unique_names
from srtoolbox.errors import ConfigError, ImageError
from srtoolbox.image import read_image, to_uint8, write_image
from srtoolbox.image.file_types import scan_folder, unread_sentence
from srtoolbox.inference.upscaler import upscale
from srtoolbox.interfaces import facts_of
from srtoolbox.io.files import write_json
from srtoolbox.logger import CONSOLE, LOGGER
from srtoolbox.plots.charts import plot_alpha
from srtoolbox.plots.plane import plot_planes
from srtoolbox.plots.sheet import SheetWriter, comparison_sheet
from srtoolbox.text import counted
from srtoolbox.weights.interpolate import Interpolation, Interpolator

Paths = Sequence[str | os.PathLike]
MAX_COUNT = 201
"""Networks of one sweep."""


def parse_sweep(text: str) -> list[float]:
    """Return [0.0, 0.25, 0.5, 0.75, 1.0] for '0:1:0.25'.

    The last value is among them where the steps meet it.

    Raises:
        ConfigError: not of that form.
    """
    try:
        first, last, step = (float(word) for word in text.split(":"))
        count = math.floor((last - first) / step + 1e-6) + 1
        if step <= 0 or count < 1:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ConfigError(f"--sweep is FIRST:LAST:STEP, such as 0:1:0.1, got {text!r}") from None
    if count > MAX_COUNT:
        raise ConfigError(f"--sweep {text} asks for {count} networks, at most {MAX_COUNT} are made")
    return [round(first + number * step, 9) for number in range(count)]


def interpolations_over(alphas: Sequence[float], checkpoints: Paths) -> list[Interpolation]:
    """Return the interpolations of two checkpoints in the order of alpha, the share of the second.

    Raises:
        ConfigError: alphas outside [0, 1], or another number of checkpoints.
    """
    if len(checkpoints) != 2:
        count = f"got {len(checkpoints)}; --weights takes any number"
        raise ConfigError(f"alpha interpolates two checkpoints, {count}")
    outside = [f"{alpha:g}" for alpha in alphas if not 0 <= alpha <= 1]
    if outside:
        raise ConfigError(
            f"alpha lies in [0, 1], got {', '.join(outside)}: beyond the two networks the weights "
            "(BatchNorm's variances above all) were never trained to work"
        )
    return [Interpolation(f"alpha {alpha:g}", (1 - alpha, alpha)) for alpha in sorted(set(alphas))]


def weighted_interpolation(weights: Sequence[float], checkpoints: Paths) -> Interpolation:
    """Return the interpolation of several checkpoints, the weights scaled to sum 1.

    Raises:
        ConfigError: another number of weights than of checkpoints, or weights that are no shares.
    """
    if len(weights) != len(checkpoints) or len(checkpoints) < 2:
        counts = f"{counted(len(checkpoints), 'checkpoint')}, {counted(len(weights), 'weight')}"
        raise ConfigError(f"--weights: {counts}")
    total = sum(weights)
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not total:
        raise ConfigError("--weights are 0 or more, and not all 0")
    shares = tuple(weight / total for weight in weights)
    return Interpolation(" + ".join(f"{share:.3g}" for share in shares), shares)


def output_paths(out: str | os.PathLike, interpolations: Sequence[Interpolation], checkpoints: Paths) -> list[Path]:
    """Return a file for each interpolation: `out`, of several with the name before the suffix.

    Raises:
        ConfigError: an output that is an input, or a suffix that is no checkpoint's.
    """
    out = Path(out)
    if out.suffix != ".pth":
        hint = "convert_checkpoint writes other formats"
        raise ConfigError(f"-o {out}: a checkpoint's name ends in .pth; {hint}")
    names = ["", *(f"_{interpolation.name.replace(' ', '')}" for interpolation in interpolations)]
    names = names[:1] if len(interpolations) == 1 else names[1:]
    paths = [out.with_name(f"{out.stem}{name}{out.suffix}") for name in names]
    sources = [Path(source) for source in checkpoints if Path(source).exists()]
    for path in paths:
        if path.exists() and any(path.samefile(source) for source in sources):
            fault = "is one of the checkpoints to interpolate"
            raise ConfigError(f"-o {path} {fault}; give another name")
    return paths


def image_files(paths: Paths) -> list[Path]:
    """Return image files, and those in folders; what of a folder is not read is logged.

    Raises:
        ImageError: one that is not there.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ImageError(f"{path}: no such image or folder")
        if not path.is_dir():
            files.append(path)
            continue
        listing = scan_folder(path)
        files += [path / name for name in listing.images]
        if listing.unread:
            LOGGER.warning("%s: %s", path, unread_sentence(listing.unread))
    return files


class InterpolationReport:
    """Sheets, a table of scores, scores.json, curve and plane of interpolated networks.

    Args:
        interpolator: the networks.
        folder: where the files go; None: `work_dirs/interp/<A>_<B>`.
        images: true images: reduced, restored, scored and shown.
        inputs: low-resolution images, only shown.
        config: its `data.test` has the metrics, and the sets where some are chosen; None: that of
            the first checkpoint for the sets, and PSNR and SSIM on luma, crop = scale, as metrics.
        datasets: names of sets, 'set5,set14'.
        device: where the networks run.

    Raises:
        ConfigError: a set of another scale, or none of this name.
    """

    def __init__(
        self,
        interpolator: Interpolator,
        folder: str | os.PathLike | None = None,
        *,
        images: Sequence[Path] = (),
        inputs: Sequence[Path] = (),
        config: Config | None = None,
        datasets: str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.interpolator, self.inputs, self.device = interpolator, inputs, device
        self.stems = [Path(file.source).stem for file in interpolator.files]
        self.folder = Path(folder or Path("work_dirs/interp", "_".join(self.stems)))
        scale = facts_of(interpolator.network).scale
        self.sets, self.metrics = _sets_and_metrics(interpolator, config, datasets)
        if images:
            self.sets = {"images": ImageFiles(images, scale), **self.sets}
        self.sheets = SheetWriter(self.folder)

    def write(self, interpolations: Sequence[Interpolation]) -> None:
        """Run all networks, image by image in parts; the files lie in `folder` afterwards."""
        results: Results = {each.name: {name: {} for name in self.sets} for each in interpolations}
        steps = len(interpolations) * (sum(map(len, self.sets.values())) + len(self.inputs))
        with Progress(console=CONSOLE, disable=not CONSOLE.is_terminal, transient=True) as progress:
            task = progress.add_task("interpolating", total=steps)
            for name, dataset in self.sets.items():
                size = PART if name == "images" else len(dataset) or 1  # a set is scored, not shown
                for start in range(0, len(dataset), size):
                    part = range(start, min(start + size, len(dataset)))
                    for each in interpolations:
                        results[each.name][name] |= self._score(each, name, part, progress, task)
                    self.sheets.write()
            self._show_inputs(interpolations, progress, task)
        if self.sets:
            is_better = {name: metric.higher_is_better for name, metric in self.metrics.items()}
            print_tables(results, is_better, ranked=False)
            write_json(self.folder / "scores.json", as_json(results))
            if len(interpolations) > 1:
                self._plot(results, interpolations)

    def _score(
        self, each: Interpolation, set_name: str, part: range, progress: Progress, task: TaskID
    ) -> dict[str, Scores]:
        def on_picture(image: EvaluatedImage) -> None:
            progress.advance(task)
            if set_name == "images":
                self.sheets.add(image.name, each.name, image.lq, image.gt, image.sr, image.scores)

        network = self.interpolator.network_at(each.shares, self.device)
        score = partial(evaluate, device=self.device, on_picture=on_picture, only=part)
        return score(network, self.sets[set_name], self.metrics)

    def _show_inputs(self, interpolations: Sequence[Interpolation], progress: Progress, task: TaskID) -> None:
        taken = unique_names(self.sets["images"].keys()) if "images" in self.sets else []
        names = unique_names([*taken, *(path.stem for path in self.inputs)])[len(taken) :]
        for name, path in zip(names, self.inputs, strict=True):
            image = read_image(path)
            columns = [("input", to_uint8(image), "")]
            for each in interpolations:
                network = self.interpolator.network_at(each.shares, self.device)
                result = upscale(network, image, device=self.device)
                columns.append((each.name, to_uint8(result), ""))
                progress.advance(task)
            write_image(self.folder / f"sheet_{name}.png", comparison_sheet(columns))

    def _plot(self, results: Results, interpolations: Sequence[Interpolation]) -> None:
        curves: dict[str, dict[str, list[float]]] = {}
        for each in interpolations:
            for name, images in results[each.name].items():
                for metric, value in means(images).items():
                    curves.setdefault(metric, {}).setdefault(name, []).append(value)
        panels = {metric: sets for metric, sets in curves.items() if metric != "seconds"}
        alphas = [each.shares[1] for each in interpolations]
        plot_alpha(self.folder / "curve.png", alphas, panels, ends=(self.stems[0], self.stems[1]))
        facts = {name: protocol_of(metric) for name, metric in self.metrics.items()}
        rows = {name: {each: means(sets[name]) for each, sets in results.items()} for name in self.sets}
        planes = [plane for name in self.sets for plane in planes_of(name, rows[name], facts)]
        if planes:
            plot_planes(self.folder / "plane.png", planes, [[each.name for each in interpolations]])


def _sets_and_metrics(
    interpolator: Interpolator, config: Config | None, datasets: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    scale = facts_of(interpolator.network).scale
    if datasets:
        first = interpolator.files[0]
        config = config or Config(first.run_config, filename=first.source)
        sets, metrics = sets_and_metrics(config, datasets)
        for name, dataset in sets.items():
            if dataset.scale != scale:
                raise ConfigError(f"the networks upscale x{scale}, set {name} is x{dataset.scale}")
        return sets, metrics
    data: Mapping[str, Any] = (config.get("data") if config is not None else None) or {}
    own = {**(data.get("val") or {}), **(data.get("test") or {})}.get("metrics")
    usual = {f"{name.lower()}_y": {"type": name, "crop_border": scale} for name in ("PSNR", "SSIM")}
    return {}, build_metrics(own or usual)
