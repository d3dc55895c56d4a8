"""The run of `upscale`: threads read ahead and write behind, so that the network never waits for files."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from srtoolbox.apps.folder.files import STDIN, check_folder, read_ahead, write
from srtoolbox.apps.folder.plan import Job
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import Form, Picture, check_form, form_of
from srtoolbox.image.files.file_types import QUALITY_SUFFIXES
from srtoolbox.inference.image import picture_bands, upscaled_form
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.threads import BackgroundWriter

MEMORY = "memory does not suffice; --workers 1 takes less, and so do results in .png and .tif"


class Options(NamedTuple):
    """How images are read and written."""

    quality: int | None = None
    ext: str = ".png"
    """The format on standard output."""
    workers: int = 2
    alpha: Upscaler | None = None
    """For the transparency; None: the same as for the colours."""


class _Writing(NamedTuple):
    """An image that is being written."""

    job: Job
    shapes: tuple[Form, Form]
    writer: BackgroundWriter[np.ndarray, list[str]]
    notes: tuple[str, ...]
    """What of the file was not read."""


class Run:
    """Upscales the images of a plan; what fails is told and counted, and the rest goes on.

    Args:
        upscaler: for the colours.
        options: how images are read and written.
        console: where lines and the progress bar go.
    """

    def __init__(self, upscaler: Upscaler, options: Options, console: Console) -> None:
        self._upscaler, self._options, self._console = upscaler, options, console
        self._writing: deque[_Writing] = deque()
        self.failed: list[str] = []
        columns = (TextColumn("upscaling"), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = TaskID(0)

    def __call__(self, jobs: Sequence[Job]) -> None:
        """Do all jobs. On Ctrl-C, or any error that is no image's, what is being written is abandoned."""
        with self._progress:
            self._task = self._progress.add_task("", total=len(jobs), count=f"0/{len(jobs)}")
            try:
                self._do(jobs)
            finally:
                for writing in self._writing:
                    writing.writer.abandon()

    def _do(self, jobs: Sequence[Job]) -> None:
        with contextlib.closing(read_ahead(jobs, self._options.workers)) as coming:
            for number, (job, reading) in enumerate(coming, start=1):
                with self._one_fails(job):
                    self._upscale(job, reading.result())
                self._settle(self._options.workers)
                self._progress.update(self._task, completed=number, count=f"{number}/{len(jobs)}")
        self._settle(0)

    def _upscale(self, job: Job, image: Picture) -> None:
        """Hand the bands of one image to a new thread that writes them."""
        form, suffix = upscaled_form(self._upscaler, image), self._suffix(job)
        quality = self._options.quality if suffix.lower() in QUALITY_SUFFIXES else None
        check_form(form, suffix, quality)
        if job.target is not None:
            check_folder(job.target)
        rows = picture_bands(self._upscaler, image, alpha=self._options.alpha).rows
        metadata = image.metadata
        writer = BackgroundWriter[np.ndarray, list[str]](
            lambda bands: write(job, suffix, bands, form, metadata, quality), ahead=2
        )
        self._writing.append(_Writing(job, (form_of(image), form), writer, image.notes))
        done, before = 0, self._progress.tasks[self._task].completed
        try:
            for band in rows:
                if not writer.put(band):
                    return  # the writer failed, and its error is told when it is settled
                done += len(band)
                self._progress.update(self._task, completed=before + done / form.height)
        except (SrtoolboxError, MemoryError) as error:
            writer.close(error)
            return
        writer.close()

    def _suffix(self, job: Job) -> str:
        return self._options.ext if job.target is None else job.target.suffix

    def _settle(self, allowed: int) -> None:
        """Wait until at most `allowed` images are being written, and tell how the others went."""
        while self._writing and (len(self._writing) > allowed or self._writing[0].writer.is_done):
            writing = self._writing[0]
            with self._one_fails(writing.job):
                lost = writing.writer.result()
                self._tell_done(writing, lost)
            self._writing.popleft()

    def _tell_done(self, writing: _Writing, lost: list[str]) -> None:
        before, after = (f"{form.width} x {form.height}" for form in writing.shapes)
        target = "standard output" if writing.job.target is None else writing.job.target
        self._say(f"{named(writing.job)} -> {target} ({before} -> {after})")
        for line in writing.notes:
            self._say(f"note: {named(writing.job)}: {line}")
        for line in lost:
            self._say(f"note: {target}: {line}")

    @contextlib.contextmanager
    def _one_fails(self, job: Job) -> Iterator[None]:
        try:
            yield
        except (SrtoolboxError, MemoryError) as error:
            self.failed.append(job.source)
            text = str(error) if isinstance(error, SrtoolboxError) else MEMORY
            self._say(
                f"error: {text}" if named(job) in text or str(job.target) in text else f"error: {named(job)}: {text}"
            )

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def named(job: Job) -> str:
    """What messages call a job's image."""
    return STDIN if job.kind == "stream" else job.source
