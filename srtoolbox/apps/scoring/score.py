"""Networks scored on test sets: tables, JSON, images, sheets and a page to look at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from srtoolbox import dist
from srtoolbox.apps.networks import distinct_names, load_all, torch_device
from srtoolbox.apps.report import ReportWriter
from srtoolbox.apps.report.contents import RunFacts, run_facts, title_of
from srtoolbox.apps.report.crops import choose_images
from srtoolbox.apps.report.writer import decisive_metric
from srtoolbox.apps.scoring.paper import TableFiles
from srtoolbox.apps.scoring.significance import Comparison, sentences
from srtoolbox.apps.scoring.summary import plan_rows, summarise
from srtoolbox.apps.scoring.tables import Results, as_json, print_tables
from srtoolbox.check import check
from srtoolbox.config import Config, resolve_config
from srtoolbox.engine.evaluate import EvaluatedImage, Scores, build_eval_datasets, build_metrics, evaluate, means
from srtoolbox.errors import ConfigError, MissingDataError, OptionError
from srtoolbox.image import to_image, write_image
from srtoolbox.interfaces import Metric
from srtoolbox.io.files import Claims, write_json
from srtoolbox.logger import CONSOLE, logging_restored, progress_bar, setup_logging
from srtoolbox.plots.sheet import SheetWriter
from srtoolbox.plugins import load_plugins
from srtoolbox.text import did_you_mean
from srtoolbox.weights.of_config import with_network_of_file

PART = 8
"""Images per process that are scored by all networks before the next are read."""


@dataclass(frozen=True)
class NetworkScores:
    """Scores of networks on test sets.

    Attributes:
        images: `{network: {set: {image: {'psnr': 32.6, ..., 'seconds': 0.1}}}}`.
        page: the report's, where one was asked for.
        comparisons: of all pairs of networks, where `significance` was asked for.
    """

    images: Results
    page: Path | None = None
    comparisons: Sequence[Comparison] = ()

    def __repr__(self) -> str:
        """Return the means: the images one by one would fill a notebook's cell."""
        return f"NetworkScores(means={self.means}, page={self.page})"

    @property
    def means(self) -> dict[str, dict[str, Scores]]:
        """`{network: {set: {'psnr': mean, ...}}}`."""
        return {
            network: {name: means(images) for name, images in sets.items()} for network, sets in self.images.items()
        }


def test(
    config: Config | Mapping[str, Any] | str | os.PathLike[str],
    checkpoints: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    datasets: str | Sequence[str] | None = None,
    baseline: bool = False,
    json: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    best: int | None = None,
    sheets: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    report_images: int | None = None,
    latex: str | os.PathLike[str] | None = None,
    markdown: str | os.PathLike[str] | None = None,
    csv: str | os.PathLike[str] | None = None,
    seeds: Mapping[str, Sequence[str | os.PathLike[str]]] | None = None,
    significance: bool = False,
    trial: bool = True,
    device: str | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    console: Console = CONSOLE,
) -> NetworkScores:
    """Score checkpoints on the test sets of a config, and print a table per set.

    Args:
        config: a file, the name of a packaged config, a `Config` or a plain dict, with data.test.
        checkpoints: to score; none scores a network that needs no weights.
        datasets: only these of the config's sets, as ['set5', 'set14'] or 'set5,set14'.
        baseline: score bicubic beside the checkpoints.
        json: the file for all scores, image by image.
        out, best, sheets, report, report_images: see `Outputs`.
        latex, markdown, csv: files for one table of all sets, as papers have it.
        seeds: `{name: checkpoints}` of networks that were trained several times; in the table they
            are one row, by this name, with mean and standard deviation.
        significance: test by the images of each set which networks differ.
        trial: try other projects' weights on a photograph first.
        device: 'cpu', 'cuda', 'cuda:1' (default: the config's).
        overrides: 'key.sub=value' texts that change a config that is a file.
        plugins: Python files with components of yours.
        console: where the tables go.

    Raises:
        SrtoolboxError: faults of the config, of a checkpoint, or of a folder to write.
    """
    outputs = Outputs(out, best, sheets, report, report_images)
    paths = [checkpoints] if isinstance(checkpoints, str | os.PathLike) else checkpoints
    groups = {name: [os.fspath(path) for path in members] for name, members in (seeds or {}).items()}
    names = [*(os.fspath(path) for path in paths), *(path for members in groups.values() for path in members)]
    tables = TableFiles(latex, markdown, csv)
    with logging_restored():
        setup_logging(main_process=dist.is_main_launch())
        loaded = resolve_config(config, overrides)
        load_plugins(loaded, plugins)
        loaded = with_network_of_file(loaded)
        check(loaded, mode="test")
        with _ranks_joined(loaded, device) as place:
            sets, metrics = sets_and_metrics(loaded, datasets)
            with outputs:
                baseline = baseline or outputs.has_baseline
                named = device or (loaded.get("runtime") or {}).get("device")
                networks = dict(load_all(loaded, names, place, baseline=baseline, trial=trial, named=named))
                refuse_other_scales(networks, sets)
                files = distinct_names(names)
                rows = plan_rows(networks, groups, files)
                results = _score_all(networks, sets, metrics, place, outputs)
                if not dist.is_main():
                    return NetworkScores(results)
                print_tables(results, _directions(metrics), console=console)
                if json:
                    write_json(json, as_json(results))
                facts = cache(partial(run_facts, loaded, overrides, networks, files, sets, metrics, place))
                comparisons = []
                if tables or groups or significance:
                    summary = summarise(
                        results, networks, rows, facts(), multi_adds=bool(tables), significance=significance
                    )
                    comparisons = summary.comparisons
                    for line in (*summary.spreads(), *sentences(comparisons)):
                        console.print(line, markup=False, highlight=False, soft_wrap=True)
                    tables.write(summary)
                return NetworkScores(results, outputs.write_page(facts, results, console), comparisons)


# pytest would take an imported function of this name for a test
test.__test__ = False  # type: ignore[attr-defined]


def _directions(metrics: Mapping[str, Metric]) -> dict[str, bool | None]:
    return {name: metric.higher_is_better for name, metric in metrics.items()}


class UnknownSetError(OptionError, ConfigError):
    """A name of a test set that the config does not have."""


def sets_and_metrics(config: Config, names: str | Sequence[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sets, all or those named, and metrics of `data.test`, else of `data.val`."""
    if isinstance(names, str) and names:
        names = names.split(",")
    data = config.get("data") or {}
    part = {**(data.get("val") or {}), **(data.get("test") or {})}
    sets = dict(part.get("datasets") or {})
    if not sets:
        raise ConfigError(f"{config.filename}: data.test.datasets names no set to test on")
    for name in names or ():
        if name not in sets:
            hint = did_you_mean(name, sets, else_list=True)
            raise UnknownSetError(f"datasets: the config has no set {name!r}.{hint}")
    datasets = build_eval_datasets({name: sets[name] for name in names or sets})
    if not datasets:
        raise MissingDataError("none of the test sets is there (see above for what is missing)")
    return datasets, build_metrics(part.get("metrics") or {})


def refuse_other_scales(networks: Mapping[str, nn.Module], datasets: Mapping[str, Any]) -> None:
    """Refuse networks of several scales, or of another than a set's, before any is scored.

    Raises:
        ConfigError: names the network and the set.
    """
    (first, scale), *others = ((name, network.scale) for name, network in networks.items())
    for set_name, dataset in datasets.items():
        for name, own in ((first, scale), *others):
            if dataset.scale not in (None, own):  # None: images without truth fit any scale
                raise ConfigError(f"{name} upscales x{own}, set {set_name} is x{dataset.scale}")
    for name, own in others:
        if own != scale:
            raise ConfigError(f"{name} upscales x{own}, {first} x{scale}: one test is of one scale")


@contextlib.contextmanager
def _ranks_joined(config: Config, device: str | None) -> Iterator[torch.device]:
    """Join the processes of a launch, which end together; yields where this one computes."""
    runtime = config.get("runtime") or {}
    place = torch_device(device or runtime.get("device"))
    dist.init(place, runtime.get("dist_timeout", dist.TIMEOUT))
    dist.enter("evaluate", 0)
    try:
        yield place
    except BaseException as error:
        dist.abort(error)
        raise


class Outputs:
    """Files of upscaled images beside the scores, which are written inside the context.

    Args:
        out: the folder of the upscaled images, `out/<checkpoint>/<set>/`.
        best: only so many of the best and of the worst images of each set stay in `out`.
        sheets: the folder of comparison sheets, one per image.
        report: the folder of a page to look at in a browser; new, empty, or an earlier report.
        report_images: images of each set in the report (default: 20).

    Raises:
        OptionError: arguments that do not go together.
    """

    def __init__(
        self,
        out: str | os.PathLike[str] | None = None,
        best: int | None = None,
        sheets: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
        report_images: int | None = None,
    ) -> None:
        if best is not None and (best < 1 or not out):
            raise OptionError("best N goes with --out DIR, and N is at least 1")
        if report_images is not None and (report_images < 1 or not report):
            raise OptionError("report-images N goes with --report DIR, and N is at least 1")
        self._out, self._best = Path(out) if out else None, best
        self._sheets = SheetWriter(os.fspath(sheets)) if sheets else None
        self._report = os.fspath(report) if report else None, report_images
        self.page: ReportWriter | None = None
        self.titles: dict[str, str] = {}
        """Names of the networks on sheets."""
        self._claims = Claims()

    def __enter__(self) -> Outputs:
        folder, images = self._report
        if folder is not None:
            self.page = ReportWriter(folder, images)
        return self

    def __exit__(self, *error: object) -> None:
        if self.page is not None:
            self.page.discard()

    @property
    def has_baseline(self) -> bool:
        """True if bicubic is shown beside the networks."""
        return self._sheets is not None or self._report[0] is not None

    @property
    def looks_at_images(self) -> bool:
        """True if more than scores is written."""
        return self._out is not None or self._sheets is not None or self.page is not None

    def take(self, network: str, set_name: str, image: EvaluatedImage) -> None:
        """Write one network's version of one image."""
        name = f"{set_name}/{image.name}"
        if self._out is not None:
            path = self._out / network / set_name / f"{image.name}.png"
            write_image(self._claims.claim(path, name), to_image(image.sr))
        if self._sheets is not None:
            title = self.titles[network]
            lq, gt, sr = image.lq, image.gt, image.sr
            self._sheets.add(name, title, lq=lq, gt=gt, sr=sr, scores=image.scores)
        if self.page is not None:
            self.page.add(set_name, image.name, network, lq=image.lq, gt=image.gt, sr=image.sr)

    def write_page(self, facts: Callable[[], RunFacts], results: Results, console: Console) -> Path | None:
        """Write the report, if there is one, and print where it is."""
        if self.page is None:
            return None
        path = self.page.write(facts(), results)
        console.print(f"open {path}", markup=False, highlight=False, soft_wrap=True)
        return path

    def finish_part(self, set_name: str, results: Results, metrics: Mapping[str, Any]) -> None:
        """Write the sheets of a part of a set, and delete images that none of the outputs keeps."""
        if self._sheets is not None:
            self._sheets.write()
        if dist.is_main() and self._out is not None and self._best:
            keep_extremes(self._out, results, metrics, self._best)
        if dist.is_main() and self.page is not None:
            self.page.keep_chosen(set_name, [*results.values()][-1][set_name], metrics)


def _score_all(
    networks: Mapping[str, nn.Module],
    sets: Mapping[str, Any],
    metrics: Mapping[str, Any],
    device: torch.device,
    outputs: Outputs,
) -> Results:
    """Score all networks on all sets, and write the images and sheets that are asked for."""
    outputs.titles = {name: title_of(name, network, len(networks)) for name, network in networks.items()}
    results: Results = {name: {set_name: {} for set_name in sets} for name in networks}
    take = outputs.take if outputs.looks_at_images else None
    for set_name in score_parts(networks, sets, metrics, device, results, take):
        outputs.finish_part(set_name, results, metrics)
    return results


def score_parts(
    networks: Mapping[str, nn.Module],
    datasets: Mapping[str, Any],
    metrics: Mapping[str, Any],
    device: torch.device,
    results: Results,
    take: Callable[[str, str, EvaluatedImage], None] | None,
) -> Iterator[str]:
    """Score every set part by part, each part by all networks, with a progress bar.

    After a part all versions of its images are there, so that nobody needs to keep more than a
    part.

    Args:
        results: gets the scores.
        take: called with (network, set, image) for each image of this rank; None: nobody looks at
            them, so that a GPU need not be waited for after each.

    Yields:
        the set after each part.
    """
    world = dist.world_size()
    for set_name, dataset in datasets.items():
        total = -(-len(dataset) // world) * len(networks)
        with progress_bar(set_name) if dist.is_main() else contextlib.nullcontext(_ignore) as show:
            numbers = count()

            def next_begins() -> bool:
                show(next(numbers), total)  # noqa: B023 - called at once
                return False

            for start in range(0, len(dataset), PART * world):
                part = range(start, min(start + PART * world, len(dataset)))
                for name, network in networks.items():
                    scores = evaluate(
                        network,
                        dataset,
                        metrics,
                        device=device,
                        on_picture=take and partial(take, name, set_name),
                        interrupted=next_begins,
                        only=part,
                    )
                    results[name][set_name].update(scores)
                yield set_name


def _ignore(done: int, total: int) -> None:
    pass


def keep_extremes(folder: Path, results: Results, metrics: Mapping[str, Any], count: int) -> None:
    """Delete written images but the best and worst by the last network's first metric.

    Of a set without truth all are kept. It may be called after every part of a set: what is among
    the best or worst of all is so in every part.
    """
    *_, last = results.values()
    for set_name, images in last.items():
        metric = decisive_metric(images, metrics)
        if metric is None:
            continue
        kept = choose_images(images, metric, metrics[metric].higher_is_better, 2 * count)
        for name in set(images) - set(kept):
            for network in results:
                (folder / network / set_name / f"{name}.png").unlink(missing_ok=True)
