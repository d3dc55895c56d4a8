"""Networks scored on test sets: tables, JSON, images, sheets and a page to look at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import nn

from srtoolbox import dist
from srtoolbox.apps.networks import distinct_names, load_all, torch_device
from srtoolbox.apps.report.contents import RunFacts, run_facts, title_of
from srtoolbox.apps.scoring.outputs import Outputs
from srtoolbox.apps.scoring.paper import TableFiles
from srtoolbox.apps.scoring.significance import Comparison, sentences
from srtoolbox.apps.scoring.summary import plan_rows, summarise
from srtoolbox.apps.scoring.tables import Results, as_json, print_tables
from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.engine.evaluate import EvaluatedImage, Scores, build_eval_datasets, build_metrics, evaluate, means
from srtoolbox.errors import ConfigError, MissingDataError, OptionError
from srtoolbox.interfaces import Metric
from srtoolbox.io.files import write_json
from srtoolbox.logger import CONSOLE, logging_restored, progress_bar, setup_logging
from srtoolbox.plugins import load_config
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
    names, groups = _names_of(checkpoints, seeds)
    outputs, tables = Outputs(out, best, sheets, report, report_images), TableFiles(latex, markdown, csv)
    request = _Request(names, groups, baseline, trial, device, outputs, tables, json, significance, overrides, console)
    with logging_restored():
        setup_logging(main_process=dist.is_main_launch())
        loaded = with_network_of_file(load_config(config, overrides, plugins=plugins))
        check(loaded, mode="test")
        with _ranks_joined(loaded, device) as place:
            return _score(request, loaded, *sets_and_metrics(loaded, datasets), place)


# pytest would take an imported function of this name for a test
test.__test__ = False  # type: ignore[attr-defined]


class _Request(NamedTuple):
    """The networks to score, and what to make of their scores; the arguments of `test`."""

    names: list[str]
    """Of all checkpoints, those of several trainings last."""
    groups: dict[str, list[str]]
    """Checkpoints of several trainings by the name of their row."""
    baseline: bool
    trial: bool
    device: str | None
    outputs: Outputs
    tables: TableFiles
    json: str | os.PathLike[str] | None
    significance: bool
    overrides: Sequence[str]
    console: Console


def _names_of(
    checkpoints: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    seeds: Mapping[str, Sequence[str | os.PathLike[str]]] | None,
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of all checkpoints, and of those in groups."""
    paths = [checkpoints] if isinstance(checkpoints, str | os.PathLike) else checkpoints
    groups = {name: [os.fspath(path) for path in members] for name, members in (seeds or {}).items()}
    return [*(os.fspath(path) for path in paths), *(path for members in groups.values() for path in members)], groups


def _score(
    request: _Request, config: Config, sets: Mapping[str, Any], metrics: Mapping[str, Metric], place: torch.device
) -> NetworkScores:
    """Load the networks, score them, print and write what is asked for."""
    with request.outputs as outputs:
        named = request.device or (config.get("runtime") or {}).get("device")
        baseline = request.baseline or outputs.has_baseline
        loading = load_all(config, request.names, place, baseline=baseline, trial=request.trial, named=named)
        networks = dict(loading)
        refuse_other_scales(networks, sets)
        files = distinct_names(request.names)
        rows = plan_rows(networks, request.groups, files, significance=request.significance)
        results = _score_all(networks, sets, metrics, place, outputs)
        if not dist.is_main():
            return NetworkScores(results)
        print_tables(results, _directions(metrics), console=request.console)
        if request.json:
            write_json(request.json, as_json(results))
        facts = cache(partial(run_facts, config, request.overrides, networks, files, sets, metrics, place))
        comparisons = _summarise(request, results, networks, rows, facts)
        return NetworkScores(results, outputs.write_page(facts, results, request.console), comparisons)


def _summarise(
    request: _Request,
    results: Results,
    networks: Mapping[str, nn.Module],
    rows: Mapping[str, Sequence[str]],
    facts: Callable[[], RunFacts],
) -> Sequence[Comparison]:
    """Write the tables for papers, print spreads and comparisons, and return the latter."""
    tables, significance = request.tables, request.significance
    if not (tables or request.groups or significance):
        return []
    summary = summarise(results, networks, rows, facts(), multi_adds=bool(tables), significance=significance)
    for line in (*summary.spreads(), *sentences(summary.comparisons)):
        request.console.print(line, markup=False, highlight=False, soft_wrap=True)
    tables.write(summary)
    return summary.comparisons


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
