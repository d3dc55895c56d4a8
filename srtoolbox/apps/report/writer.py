"""Takes images while networks are scored, and makes a report: a folder, complete or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from srtoolbox import dist
from srtoolbox.apps.html import readable
from srtoolbox.apps.report.contents import INPUT, TRUTH, ImageEntry, PageSet, Results, RunFacts
from srtoolbox.apps.report.crops import CropMaker, choose_images
from srtoolbox.apps.report.page import render
from srtoolbox.apps.report.planes import planes_of
from srtoolbox.engine.evaluate import Scores, means
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import expand_gray, read_image, to_image, to_uint8, write_image
from srtoolbox.image.colour_shift import ColourShift, colour_shift, mean_shift
from srtoolbox.io.files import (
    finite_json,
    make_folder,
    read_json,
    replace,
    sync_folder,
    windows_fault,
    write_json,
    write_text,
)
from srtoolbox.plots.plane import plot_planes, routes_of
from srtoolbox.plots.run_log import REPORT_KIND
from srtoolbox.plots.sheet import caption, size_of
from srtoolbox.system import FileLock

DEFAULT_IMAGES = 20
"""Images of each set in a report."""
KIND, FORMAT = REPORT_KIND, 1
_HIDDEN = re.compile(r"\..+\.\d+-[0-9a-f]{6}(\.old)?\.tmp|\..+\.\d+-[0-9a-f]{6}\.lock")


class ReportWriter:
    """A report in the making, to be written or discarded.

    Every rank adds its images; the main one writes.

    Args:
        folder: the report's: absent, empty, or an earlier report.
        images: how many images of each set are kept; None: 20.

    Raises:
        SrtoolboxError: the folder holds something else or cannot be written.
    """

    def __init__(self, folder: str | Path, images: int | None = None) -> None:
        self._images = images or DEFAULT_IMAGES
        self._staged = StagedFolder(folder) if dist.is_main() else None
        self._folder = Path(dist.all_gather_object(str(self._staged.path) if self._staged else "")[0])

    def discard(self) -> None:
        """Take away what is not written."""
        if self._staged is not None:
            self._staged.discard()

    def add(
        self, set_name: str, image: str, network: str, *, lq: np.ndarray, gt: np.ndarray | None, sr: Tensor
    ) -> None:
        """Keep one network's version of one image.

        Args:
            lq, gt: HWC uint8 or uint16; gt is None where there is no truth.
            sr: (1, C, H, W) in [0, 1].
        """
        folder = self._folder / image_folder(set_name, image)
        write_image(folder / file_of(network), to_image(sr))
        for source, pixels in ((INPUT, lq), (TRUTH, gt)):
            if pixels is not None and not (folder / file_of(source)).exists():
                write_image(folder / file_of(source), to_uint8(pixels))

    def keep_chosen(self, set_name: str, decisive: Mapping[str, Scores], metrics: Mapping[str, Any]) -> None:
        """Delete images of a set that cannot be in the report, to save disk; main process only.

        Whatever is among the worst or best of all is among them in every part that holds it.

        Args:
            decisive: the last network's scores of the images so far.
            metrics: by name, each with `higher_is_better`.
        """
        for name in set(decisive) - set(self._chosen(decisive, metrics)):
            shutil.rmtree(self._folder / image_folder(set_name, name), ignore_errors=True)

    def _chosen(self, decisive: Mapping[str, Scores], metrics: Mapping[str, Any]) -> list[str]:
        metric = decisive_metric(decisive, metrics)
        return choose_images(decisive, metric, metrics[metric].higher_is_better if metric else None, self._images)

    def write(self, facts: RunFacts, results: Results) -> Path:
        """Choose images, write page and scores, move the folder to its place; return the page.

        Args:
            results: scores of all networks, the baseline first. By the last one images and crops
                are chosen.
        """
        assert self._staged is not None, "only the main process writes"
        sets = [self._page_set(name, facts, results) for name in next(iter(results.values()))]
        write_text(self._folder / "index.html", readable(render(facts, sets, results)))
        present = [path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file()]
        scores = {
            name: {s: {**means(images), "images": images} for s, images in by_set.items()}
            for name, by_set in results.items()
        }
        contents = {"kind": KIND, "format": FORMAT, **asdict(facts), "scores": scores}
        contents["colour_shifts"] = {
            page_set.name: {
                name: {**shift._asdict(), "images_visible": page_set.shifted[name]}
                for name, shift in page_set.shifts.items()
            }
            for page_set in sets
        }
        contents["files"] = sorted([*present, "scores.json"])
        write_json(self._folder / "scores.json", _readable_values(finite_json(contents)))
        self._staged.commit()
        return self._staged.target / "index.html"

    def _page_set(self, set_name: str, facts: RunFacts, results: Results) -> PageSet:
        """Decide what of a set is shown, make its crops, drop the other images."""
        images = {network: by_set[set_name] for network, by_set in results.items()}
        decisive = images[list(images)[-1]]
        metric = decisive_metric(decisive, facts.metrics)
        self.keep_chosen(set_name, decisive, facts.metrics)
        names = self._chosen(decisive, facts.metrics)
        entries = [self._entry(set_name, name, {n: scores[name] for n, scores in images.items()}) for name in names]
        sources = {INPUT: "Input", **{name: facts.networks[name].title for name in images}}
        if entries and all(TRUTH in entry.files for entry in entries):
            sources[TRUTH] = "Truth"
        page_set = PageSet(set_name, facts.scales[set_name], len(decisive), metric, sources, entries)
        for network in images if entries else ():
            shifts = self._shifts(entries, network)
            page_set.shifts[network] = mean_shift(shifts)
            page_set.shifted[network] = sum(shift.is_visible for shift in shifts)
        page_set.crops = CropMaker(self._folder, page_set, facts).make(safe(set_name))
        page_set.plane = self._plane(set_name, facts, images)
        return page_set

    def _shifts(self, entries: Iterable[ImageEntry], network: str) -> list[ColourShift]:
        """Return how far a network's colours are from those of each input."""
        pairs = ([read_image(self._folder / entry.files[each]) for each in (INPUT, network)] for entry in entries)
        return [colour_shift(*map(expand_gray, pair)) for pair in pairs]

    def _plane(
        self, set_name: str, facts: RunFacts, images: Mapping[str, Mapping[str, Scores]]
    ) -> tuple[str, int, int] | None:
        """Draw the perception-distortion planes of a set, if it has metrics for one."""
        planes = planes_of(set_name, {name: means(scores) for name, scores in images.items()}, facts.metrics)
        if not planes:
            return None
        titles = {name: facts.networks[name].title for name in images}
        planes = [each._replace(points={titles[name]: point for name, point in each.points.items()}) for each in planes]
        folders = {name: str(Path(facts.networks[name].file or "").parent) for name in images}
        routes = [[titles[name] for name in route] for route in routes_of(images, folders)]
        file = f"planes/{safe(set_name)}.png"
        plot_planes(self._folder / file, planes, routes)
        height, width = read_image(self._folder / file).shape[:2]
        return file, width, height

    def _entry(self, set_name: str, name: str, scores: dict[str, dict[str, float]]) -> ImageEntry:
        folder = image_folder(set_name, name)
        files = {source: f"{folder}/{file_of(source)}" for source in (INPUT, *scores, TRUTH)}
        files = {source: file for source, file in files.items() if (self._folder / file).exists()}
        lq = read_image(self._folder / files[INPUT])
        whole = read_image(self._folder / files[next(iter(scores))])
        captions = {INPUT: size_of(lq), TRUTH: size_of(whole), **{n: caption(values) for n, values in scores.items()}}
        return ImageEntry(name, whole.shape[0], whole.shape[1], files, captions)


def decisive_metric(scores: Mapping[str, Scores], metrics: Iterable[str]) -> str | None:
    """Return the first metric with scores, by which images are chosen; None without truth."""
    return next((name for name in metrics if any(name in values for values in scores.values())), None)


def image_folder(set_name: str, image: str) -> str:
    """Return the folder of an image's versions in the report."""
    return f"pictures/{safe(set_name)}/{safe(image)}"


def file_of(source: str) -> str:
    """Return the file of one version of an image: of the input, the truth or a network."""
    return {INPUT: "input.png", TRUTH: "truth.png"}.get(source) or f"by_{safe(source)}.png"


def safe(name: str) -> str:
    """Return a name for a file or folder that every system and URL takes; each its own.

    What is not plain (a-z, 0-9, _ and -) is replaced and told apart by a digest after a dot.
    """
    if re.fullmatch(r"[a-z0-9_-]{1,60}", name) and not windows_fault(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    plain = re.sub("[^A-Za-z0-9_-]+", "_", name)[:50]
    return f"{'_' if windows_fault(plain) else ''}{plain}.{digest}"


def _readable_values(value: object) -> object:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable(key): _readable_values(item) for key, item in value.items()}
    return [_readable_values(item) for item in value] if isinstance(value, list) else value


# ---- the folder, built under a hidden name and moved at the end


class StagedFolder:
    """A folder in which a report is built; what killed processes left of one here is cleared.

    Args:
        target: the report's folder: absent, empty, or an earlier report, which is replaced.

    Raises:
        SrtoolboxError: a folder with anything else in it, a file, or a place that cannot be
            written.
    """

    def __init__(self, target: str | Path) -> None:
        self.target = Path(os.path.abspath(target)).resolve()
        clear_leftovers(self.target)
        refuse_foreign(self.target)
        name = f".{self.target.name[:50]}.{os.getpid()}-{os.urandom(3).hex()}.tmp"
        self.path = self.target.with_name(name)
        self._lock = FileLock(lock_path(self.path))
        try:
            make_folder(self.path.parent)
            # where files have no locks nobody can clear it either
            with contextlib.suppress(OSError):
                self._lock.acquire()
            make_folder(self.path)
        except OSError as error:
            self._lock.release(remove=True)
            raise SrtoolboxError(f"{self.target}: cannot be written ({error.strerror})") from error

    def commit(self) -> None:
        """Put the folder in its place; an earlier report goes.

        Raises:
            SrtoolboxError: somebody has put something else there meanwhile, or the disk fails.
        """
        refuse_foreign(self.target)
        old = replaced(self.path)
        try:
            for folder, _, _ in os.walk(self.path):
                sync_folder(Path(folder))
            if self.target.exists():
                replace(self.target, old)
            try:
                replace(self.path, self.target)
            except OSError:
                if old.exists():
                    replace(old, self.target)
                raise
            sync_folder(self.target.parent)
        except OSError as error:
            raise SrtoolboxError(f"{self.target}: cannot be written ({error.strerror})") from error
        shutil.rmtree(old, ignore_errors=True)
        self._lock.release(remove=True)

    def discard(self) -> None:
        """Take away what was not committed, and let go of the place."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release(remove=True)


def replaced(path: Path) -> Path:
    """Return the place of the earlier report while the one in `path` takes its own."""
    return path.with_suffix(".old.tmp")


def lock_path(path: Path) -> Path:
    """Return the lock's path: beside the folder, as Windows moves none with an open file."""
    return path.with_suffix(".lock")


def clear_leftovers(target: Path) -> None:
    """Delete what killed processes left of reports here; a report that one set aside comes back."""
    try:
        leftovers = sorted(
            path
            for path in target.parent.iterdir()
            if path.name.startswith(f".{target.name[:50]}.") and _HIDDEN.fullmatch(path.name)
        )
    except OSError:  # no such folder yet
        return
    for path in (path for path in leftovers if path.suffix == ".lock"):
        _clear(path.with_suffix(".tmp"), target)
    for path in (path for path in leftovers if path.name.endswith(".old.tmp")):
        if not path.with_name(path.name.removesuffix(".old.tmp") + ".tmp").exists() and target.exists():
            shutil.rmtree(path, ignore_errors=True)


def _clear(path: Path, target: Path) -> None:
    """Delete the folder built in `path` unless somebody is at it."""
    lock = FileLock(lock_path(path))
    with contextlib.suppress(OSError):  # no locks: then it may be somebody's
        if lock.acquire():
            if replaced(path).is_dir() and not target.exists():
                # a place that cannot be written is told of later
                with contextlib.suppress(OSError):
                    replace(replaced(path), target)
            shutil.rmtree(path, ignore_errors=True)
            lock.release(remove=True)


def refuse_foreign(target: Path) -> None:
    """Raise a SrtoolboxError where a folder is no report, or holds something else too."""
    if not target.exists():
        return
    if not target.is_dir():
        raise SrtoolboxError(f"--report {target}: is a file; name a folder")
    if target == Path.cwd() or os.path.ismount(target):
        raise SrtoolboxError(f"--report {target}: cannot be replaced as a whole; name a folder in it: {target}/report")
    if not any(target.iterdir()):
        return
    ours: set[str] = set()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        scores = read_json(target / "scores.json")
        if scores["kind"] == KIND:
            ours = set(scores["files"])
    if not ours:
        raise SrtoolboxError(f"--report {target}: the folder is there and is no report of srtoolbox; name another one")
    paths = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    more = sorted({path.relative_to(target).as_posix() for path in paths} - ours)
    if more:
        listed = ", ".join(more[:3]) + (f" and {len(more) - 3} more" if len(more) > 3 else "")
        raise SrtoolboxError(f"--report {target}: holds files that are not the report's: {listed}. Move them first")
