"""Images, comparison sheets and the page of a report, written while networks are scored."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from srtoolbox import dist
from srtoolbox.apps.report.contents import RunFacts
from srtoolbox.apps.report.crops import choose_images
from srtoolbox.apps.report.writer import ReportWriter, decisive_metric
from srtoolbox.apps.scoring.tables import Results
from srtoolbox.engine.evaluate import EvaluatedImage
from srtoolbox.errors import OptionError
from srtoolbox.image import to_image, write_image
from srtoolbox.io.files import Claims
from srtoolbox.plots.sheet import SheetWriter


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
