"""From a config to a page and a sheet of what its training gives the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from srtoolbox.apps.browse.contents import Browsed
from srtoolbox.apps.browse.feed import Feed, SeenSample
from srtoolbox.apps.browse.likeness import Photos, compare, measure, measure_all
from srtoolbox.apps.browse.page import render
from srtoolbox.apps.browse.severity import Ladder, climb
from srtoolbox.apps.browse.sheet import draw_sheet
from srtoolbox.check import check_training_data
from srtoolbox.config import Config, resolve_config
from srtoolbox.errors import OptionError
from srtoolbox.image import to_uint8, write_image
from srtoolbox.io.files import make_folder, write_errors, write_text
from srtoolbox.logger import logging_restored, progress_bar, setup_logging
from srtoolbox.plugins import load_plugins
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
    overrides: Sequence[str] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> Browsed:
    """Show what the training of a config gives its network: a page to open in a browser, and a sheet beside it.

    Nothing but the data is built: no network, no loss, on the CPU.

    Args:
        config: a file, the name of a packaged config, a `Config` or a plain dict, with data.train.
        out: the HTML file to write, the page; the sheet has its name with `.png`.
        count: samples to show; None: 16, or 4 whole images.
        seed: instead of the config's.
        draw: number of the first sample in the run.
        only: show these images alone, by their keys.
        whole: show whole images in the place of crops.
        samples: measure so many, from the same draw on, of all images; 0: none.
        severity: draw the degradations of each crop under the slider so often; 0: no slider.
        like: a folder (or store) of photographs to compare their statistics with.
        overrides: 'key.sub=value' texts that change a config that is a file.
        plugins: Python files with components of yours.

    Raises:
        SrtoolboxError: faults of the config or the arguments, data that is missing, a page that cannot be written.
    """
    page = _page_path(out)
    _refuse_negative(count=count, draw=draw, samples=samples, severity=severity, seed=seed)
    if like is not None and not samples:
        raise OptionError("like compares statistics of samples: samples=0 leaves nothing to compare with")
    with logging_restored():
        setup_logging()
        loaded = resolve_config(config, overrides)
        load_plugins(loaded, plugins)
        check_training_data(loaded)
        feed = Feed(loaded, seed=seed)
        _refuse_unknown(only, feed)
        photos = None if like is None else _photos(like, feed, draw, samples)  # faults come before the work
        with write_errors(page.parent):
            make_folder(page.parent)
        shown_feed = Feed(loaded, seed=seed, whole=True) if whole else feed
        wanted = set(only) or None
        shown = list(islice(shown_feed.samples(draw, wanted), count or (WHOLE_COUNT if whole else COUNT)))
        browsed = Browsed(page, page.with_suffix(".png"), feed.seed, draw, shown, untold=feed.untold)
        browsed.is_luma = _colour_of(loaded) == "y"
        _fill(browsed, feed, wanted, samples, severity, photos)
        write_text(page, render(browsed, name=_name_of(loaded), whole=whole))
        write_image(browsed.sheet, draw_sheet(browsed.samples))
        return browsed


def _refuse_negative(**numbers: int | None) -> None:
    """Raise OptionError for a number below 0, or a count of 0."""
    for name, value in numbers.items():
        least = int(name == "count")
        if value is not None and value < least:
            raise OptionError(f"{name} is a whole number from {least} up, got {value}")


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


def _refuse_unknown(only: Sequence[str], feed: Feed) -> None:
    keys = set(feed.dataset.keys()) if only else set()
    for key in only:
        if key not in keys:
            raise OptionError(f"only: the training set has no image {key!r}.{did_you_mean(key, keys)}")


def _photos(like: str | os.PathLike[str], feed: Feed, draw: int, samples: int) -> Photos:
    """Return crops of photographs as large as LQ."""
    lq = next(feed.samples(draw)).lq
    return Photos(like, lq.shape[:2], lq.shape[2], samples)


def _fill(
    browsed: Browsed, feed: Feed, only: set[str] | None, samples: int, severity: int, photos: Photos | None
) -> None:
    """Measure samples, draw crops anew, and compare photographs, as far as is asked for."""
    if samples:
        _measure(browsed, feed, samples)
    browsed.tries = severity if feed.varies else None
    if browsed.tries:
        browsed.ladders = _draw_anew(feed, browsed.draw, only, severity)
    if photos is not None:
        _compare(browsed, photos)


def _draw_anew(feed: Feed, draw: int, only: set[str] | None, tries: int) -> list[Ladder]:
    """Return the ladders of the first crops of several images, fewer where there are fewer."""
    crops: dict[str, SeenSample] = {}
    most = min(LADDERS, len(only or feed.dataset))
    for sample in islice(feed.samples(draw, only), 8 * LADDERS):
        crops.setdefault(sample.key, sample)
        if len(crops) == most:
            break
    with progress_bar("drawing the same crops again") as show:
        return climb(feed, list(crops.values()), tries, show)


def _measure(browsed: Browsed, feed: Feed, samples: int) -> None:
    """Measure samples, and note what was drawn for each."""
    rows: list[dict[str, float]] = []
    with progress_bar("measuring samples") as show:
        for number, sample in enumerate(islice(feed.samples(browsed.draw), samples), 1):
            rows.append(measure(sample.lq))
            if number <= PHOTOS:
                browsed.seen.append(to_uint8(sample.lq))
            for step in sample.steps:
                browsed.acted[step.name] += 1
                values = browsed.parameters.setdefault(step.name, {})
                for name, value in step.values.items():
                    values.setdefault(name, []).append(value)
            show(number, samples)
    names = feed.notes.names
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
