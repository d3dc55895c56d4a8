"""Takes images while networks are scored and makes the report of them."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor

from srtoolbox import dist
from srtoolbox.apps.report.contents import INPUT, TRUTH, ImageEntry, PageSet, Results, RunFacts
from srtoolbox.apps.report.crops import CropMaker, choose_images
from srtoolbox.apps.report.page import render
from srtoolbox.apps.report.staging import KIND, StagedFolder
from srtoolbox.engine.evaluate import Scores, means
from srtoolbox.image import read_image, to_image, to_uint8, write_image
from srtoolbox.io.files import finite_json, windows_fault, write_json, write_text
from srtoolbox.plots.sheet import caption, size_of

DEFAULT_IMAGES = 20
"""Images of each set in a report."""
FORMAT = 1


class ReportWriter:
    """A report in the making; as a context, what is not written by its end is taken away.

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

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

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
        """Delete images of a set that cannot be in the report, which saves disk for large sets.

        Whatever is among the worst or best of all is among them in every part that holds it. Main
        process only.

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
        """Choose images, write page and scores, move the folder to its place; returns the page.

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
        contents = {"kind": KIND, "format": FORMAT, **facts.as_json(), "scores": scores}
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
        page_set = PageSet(
            name=set_name,
            scale=facts.scales[set_name],
            count=len(decisive),
            metric=metric,
            sources={INPUT: "Input", **{name: facts.networks[name].title for name in images}},
            images=entries,
        )
        if metric is not None:
            page_set.sources[TRUTH] = "Truth"
        page_set.crops = CropMaker(self._folder, page_set, facts).make(safe(set_name))
        return page_set

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
    """The file of one version of an image: of the input, the truth or a network."""
    return {INPUT: "input.png", TRUTH: "truth.png"}.get(source) or f"by_{safe(source)}.png"


def safe(name: str) -> str:
    """A name for a file or folder that every system and URL takes; different for different names.

    What is not plain (a-z, 0-9, _ and -) is replaced and told apart by a digest after a dot.
    """
    if re.fullmatch(r"[a-z0-9_-]{1,60}", name) and not windows_fault(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    plain = re.sub("[^A-Za-z0-9_-]+", "_", name)[:50]
    return f"{'_' if windows_fault(plain) else ''}{plain}.{digest}"


def readable(text: str) -> str:
    """Text that UTF-8 can hold: names of files may have bytes that are no characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _readable_values(value: object) -> object:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable(key): _readable_values(item) for key, item in value.items()}
    return [_readable_values(item) for item in value] if isinstance(value, list) else value
