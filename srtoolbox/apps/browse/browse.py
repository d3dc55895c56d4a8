"""From a config to a page and a sheet of what its training gives the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from srtoolbox.apps.browse.contents import Browsed
from srtoolbox.apps.browse.feed import Feed, SeenSample
from srtoolbox.apps.browse.likeness import Photos, compare, measure, measure_all
from srtoolbox.apps.browse.makers import Job, make_all
from srtoolbox.apps.browse.page import render
from srtoolbox.apps.browse.severity import anew, climb
from srtoolbox.apps.browse.sheet import draw_sheet
from srtoolbox.check import check_training_data
from srtoolbox.config import Config
from srtoolbox.engine.device import select_device
from srtoolbox.errors import OptionError
from srtoolbox.image import to_uint8, write_image
from srtoolbox.io.files import make_folder, write_errors, write_text
from srtoolbox.logger import logging_restored, progress_bar, setup_logging
from srtoolbox.plugins import load_config
from srtoolbox.registry import NETWORKS, parameters_of
from srtoolbox.text import did_you_mean

COUNT, WHOLE_COUNT = 16, 4
"""Samples on a page: crops, whole images."""
SAMPLES = 1000
"""Samples that are measured."""
LADDERS = 4
"""Crops under the slider."""
PHOTOS = 8
"""Crops of photographs on the page."""
SEVERITY = 100
"""Draws for each of them."""


def browse_data(
    config: Config | Mapping[str, Any] | str | os.PathLike[str],
    out: str | os.PathLike[str] = "browse.html",
    *,
    count: int | None = None,
    seed: int | None = None,
    draw: int = 0,
    only: Sequence[str] = (),
    whole: bool = False,
    samples: int = SAMPLES,
    severity: int = SEVERITY,
    like: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    workers: int | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> Browsed:
    """Show what the training of a config gives its network: a page to open in a browser, and a sheet beside it.

    Nothing but the data is built: no network, no loss.

    Args:
        config: a file, the name of a packaged config, a `Config` or a plain dict, with data.train.
        out: the HTML file to write, the page; the sheet of `data.html` is `data_sheet.png`.
        count: samples to show; None: 16, or 4 whole images.
        seed: instead of the config's.
        draw: number of the first sample in the run.
        only: show these images alone, by their keys.
        whole: show whole images in the place of crops.
        samples: measure so many, from the same draw on, of all images; 0: none.
        severity: draw the degradations of each crop under the slider so often; 0: no slider.
        like: a folder (or store) of photographs to compare their statistics with.
        device: where `model.preprocess` computes: 'cpu', 'cuda'.
        workers: processes that make what is measured and what is under the slider, on the CPU; None:
            as many as the config's training has, 0: this one.
        overrides: 'key.sub=value' texts that change a config that is a file.
        plugins: Python files with components of yours.

    Raises:
        SrtoolboxError: faults of the config or the arguments, data that is missing, a page that cannot be written.
    """
    page = _page_path(out)
    _refuse_impossible(like, count=count, draw=draw, samples=samples, severity=severity, seed=seed, workers=workers)
    with logging_restored():
        setup_logging()
        loaded = load_config(config, overrides, plugins=plugins)
        check_training_data(loaded)
        feed = Feed(loaded, seed=seed, device=select_device(device))
        wanted = _known(only, feed)
        photos = None if like is None else _photos(like, feed, draw, samples)  # faults come before the work
        _make_folder(page)
        shown = _first(_whole(feed, seed) if whole else feed, draw, wanted, count or (WHOLE_COUNT if whole else COUNT))
        sheet = draw_sheet(shown)
        browsed = Browsed(page, page.with_name(f"{page.stem}_sheet.png"), feed.seed, draw, shown, untold=feed.untold)
        browsed.is_luma = _colour_of(loaded) == "y"
        browsed.tries = severity if feed.varies else None
        _fill(browsed, feed, wanted, samples, workers, photos)
        write_text(page, render(browsed, name=_name_of(loaded), whole=whole))
        write_image(browsed.sheet, sheet)
        return browsed


def _make_folder(page: Path) -> None:
    with write_errors(page.parent):
        make_folder(page.parent)


def _whole(feed: Feed, seed: int | None) -> Feed:
    """Return what makes samples of whole images."""
    return Feed(feed.config, seed=seed, whole=True, device=feed.device)


def _first(feed: Feed, draw: int, only: set[str] | None, count: int) -> list[SeenSample]:
    return list(islice(feed.samples(draw, only), count))


def _refuse_impossible(like: str | os.PathLike[str] | None, **numbers: int | None) -> None:
    """Raise OptionError for a number below 0, a count of 0, or photographs with nothing to compare."""
    for name, value in numbers.items():
        least = int(name == "count")
        if value is not None and value < least:
            raise OptionError(f"{name} is a whole number from {least} up, got {value}")
    if like is not None and not numbers["samples"]:
        raise OptionError("like compares statistics of samples: samples=0 leaves nothing to compare with")


def _page_path(out: str | os.PathLike[str]) -> Path:
    path = Path(out)
    if path.suffix == "" and path.name.strip("."):
        path = path.with_suffix(".html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise OptionError(f"out is the page, an .html file (the sheet goes beside it as .png), got {os.fspath(out)}")
    if path.is_dir():
        raise OptionError(f"out is the page, an .html file, but {os.fspath(out)} is a folder")
    return path


def _name_of(config: Config) -> str:
    return Path(config.filename).as_posix() if config.filename else "a config without a file"


def _colour_of(config: Config) -> str | None:
    """Return what the generator takes, 'y' or 'rgb', as its config or its class says; None: neither does."""
    generator = (config.get("model") or {}).get("generator")
    kind = generator.get("type") if isinstance(generator, Mapping) else None
    if not isinstance(generator, Mapping) or not isinstance(kind, str) or kind not in NETWORKS:
        return None
    parameter = parameters_of(NETWORKS.get(kind)).get("colour")
    return generator.get("colour", parameter.default if parameter is not None else None)


def _known(only: Sequence[str], feed: Feed) -> set[str] | None:
    """Return the keys of the images to show, None for all. Raises OptionError for one that is not there."""
    keys = set(feed.dataset.keys()) if only else set()
    for key in only:
        if key not in keys:
            raise OptionError(f"only: the training set has no image {key!r}.{did_you_mean(key, keys)}")
    return set(only) or None


def _photos(like: str | os.PathLike[str], feed: Feed, draw: int, samples: int) -> Photos:
    """Return crops of photographs as large as LQ."""
    lq = next(feed.samples(draw)).lq
    return Photos(like, lq.shape[:2], lq.shape[2], samples)


def _crops(feed: Feed, draw: int, only: set[str] | None) -> list[SeenSample]:
    """Return the first crops of several images, fewer where there are fewer."""
    crops: dict[str, SeenSample] = {}
    most = min(LADDERS, len(only or feed.dataset))
    for sample in islice(feed.samples(draw, only), 8 * LADDERS):
        crops.setdefault(sample.key, sample)
        if len(crops) == most:
            break
    return list(crops.values())


def _fill(
    browsed: Browsed, feed: Feed, only: set[str] | None, samples: int, workers: int | None, photos: Photos | None
) -> None:
    """Measure samples, draw crops anew, and compare photographs, as far as is asked for."""
    crops = _crops(feed, browsed.draw, only) if browsed.tries else []
    _make_many(browsed, feed, crops, samples, workers)
    if photos is not None:
        _compare(browsed, photos)


def _make_many(browsed: Browsed, feed: Feed, crops: Sequence[SeenSample], samples: int, workers: int | None) -> None:
    """Measure samples, and draw crops anew for the slider; `workers` is None: as many as the config says."""
    workers = feed.config["data"]["train"].get("workers", 0) if workers is None else workers
    tries = browsed.tries or 0
    jobs = [*_first_jobs(feed, browsed.draw, samples), *anew(crops, tries, feed.batch_size)]
    total = samples + tries * len(crops)
    with progress_bar("making samples") as show, closing(make_all(feed, jobs, workers)) as made:
        seen = _shown(made, show, total)
        if samples:
            _measure(browsed, islice(seen, samples), feed.notes.names)
        browsed.ladders = climb(crops, seen, tries)


def _shown(made: Iterable[SeenSample], show: Callable[[float, int], None], total: int) -> Iterator[SeenSample]:
    """Yield samples, and show how many there are."""
    for number, sample in enumerate(made, 1):
        show(number, total)
        yield sample


def _first_jobs(feed: Feed, draw: int, samples: int) -> list[Job]:
    """Return what makes so many samples of a run."""
    jobs: list[Job] = []
    batches = feed.batches(draw)
    while samples:
        draws = next(batches)[:samples]
        jobs.append(Job(draws))
        samples -= len(draws)
    return jobs


def _measure(browsed: Browsed, samples: Iterable[SeenSample], names: Sequence[str]) -> None:
    """Measure samples, and note what was drawn for each; `names` has the steps in order."""
    rows: list[dict[str, float]] = []
    for sample in samples:
        rows.append(measure(sample.lq))
        if len(rows) <= PHOTOS:
            browsed.seen.append(to_uint8(sample.lq))
        for step in sample.steps:
            browsed.acted[step.name] += 1
            values = browsed.parameters.setdefault(step.name, {})
            for name, value in step.values.items():
                values.setdefault(name, []).append(value)
    browsed.parameters = {
        step: browsed.parameters[step]
        for step in sorted(browsed.parameters, key=lambda step: names.index(step.partition(" (time ")[0]))
    }
    browsed.statistics = {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _compare(browsed: Browsed, photos: Photos) -> None:
    """Measure photographs, and compare them with what was measured of LQ."""
    with progress_bar("measuring your photos") as show:
        browsed.yours = measure_all(photos, show)
    browsed.photos = [to_uint8(photo) for photo in islice(photos, 0, None, max(1, len(photos) // PHOTOS))][:PHOTOS]
    browsed.note = photos.note
    browsed.comparisons = compare(browsed.statistics, browsed.yours)
