"""Results made through the functions that the commands call, with progress, notes and an end between two layers."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.nn.modules.module import register_module_forward_pre_hook

from srtoolbox.apps.folder.upscale import upscale_folder
from srtoolbox.apps.networks import Checkpoint
from srtoolbox.apps.ui.jobs import Job
from srtoolbox.apps.ui.uploads import for_page, plain
from srtoolbox.apps.video import upscale_video
from srtoolbox.logger import LOGGER

Show = Callable[[Job, float], None]
"""Is told the share of a job that is done; what it raises ends the work."""
Settle = Callable[[Job, Path], None]
"""Is told that a job has ended, and where its result is, if there is one."""


def make_images(jobs: Sequence[Job], network: Checkpoint, device: str | None, show: Show, settle: Settle) -> None:
    """Upscale images of the same settings; each result is made in the folder of its input.

    Args:
        jobs: of different images.
        network: the settings' own.
        device: as of `upscale_folder`.
        show: told how far each image is.
        settle: told as soon as an image is done.
    """
    settings, lines = jobs[0].settings, io.StringIO()
    results = {job.key: job.upload.path.with_name(f"image_sr.{settings.ext}") for job in jobs}
    for target in results.values():
        target.unlink(missing_ok=True)

    warnings: list[str] = []

    def say(job: Job) -> None:
        said = _said_of(job, results[job.key], lines.getvalue())
        job.message = " ".join((*map(for_page, warnings), *said))

    def tell(done: float, of: int) -> None:
        for job in jobs[: min(int(done), len(jobs) - 1)]:  # the last one when all its lines are printed
            if job.state == "running" and results[job.key].exists():
                say(job)
                settle(job, results[job.key])
        if int(done) < len(jobs):
            show(jobs[int(done)], done - int(done))

    try:
        with heard(warnings):
            upscale_folder(
                network,
                [job.upload.path for job in jobs],
                ext=settings.ext,
                quality=settings.quality,
                transparency=settings.transparency,
                provenance=settings.provenance,
                progress=tell,
                device=device,
                console=Console(file=lines, width=10_000),
                **settings.for_upscaler(),
            )
        for job in jobs:
            if job.state in ("waiting", "running"):
                say(job)
                settle(job, results[job.key])
    finally:
        for job in jobs:
            if job.state in ("done", "failed"):
                say(job)  # lines are printed a little later than they are said


def make_video(job: Job, network: Checkpoint, device: str | None, show: Show, settle: Settle) -> None:
    """Upscale a video; arguments as of `make_images`."""
    target, settings = job.upload.path.with_name("video_sr.mp4"), job.settings
    warnings: list[str] = []
    try:
        with heard(warnings):
            upscale_video(
                network,
                job.upload.path,
                target,
                overwrite=True,
                provenance=settings.provenance,
                progress=lambda done, of: show(job, done / of if of else 0.0),
                device=device,
                **settings.for_upscaler(),
            )
        job.message = " ".join(plain(_of_input(line, target, job), job.upload) for line in warnings)
        settle(job, target)
    finally:
        shutil.rmtree(target.with_name(target.name + ".parts"), ignore_errors=True)


def _said_of(job: Job, made: Path, said: str) -> Iterator[str]:
    """Yield the errors and notes that were printed about a job, with the name that the user knows."""
    folder = str(job.upload.path.parent)
    for line in said.splitlines():
        if folder in line and line.startswith(("error: ", "note: ")):
            yield plain(_of_input(line.partition(": ")[2], made, job), job.upload)


def _of_input(line: str, made: Path, job: Job) -> str:
    """Return a line with the name of a job's file where it has that of the result."""
    return line.replace(str(made), job.upload.name)


@contextlib.contextmanager
def ended_between_layers(look: Callable[[], None]) -> Iterator[None]:
    """Call `look` before each layer of the networks that this thread runs: what it raises ends them there."""
    thread = threading.get_ident()

    def before(*_: Any) -> None:  # noqa: ANN401 - a module and its input
        if threading.get_ident() == thread:
            look()

    handle = register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def heard(warnings: list[str]) -> Iterator[None]:
    """Add what the toolbox warns of, in this thread, to a list."""
    listener = _Listener(warnings)
    LOGGER.addHandler(listener)
    try:
        yield
    finally:
        LOGGER.removeHandler(listener)


class _Listener(logging.Handler):
    """Keeps the warnings of one thread."""

    def __init__(self, warnings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._warnings, self._thread = warnings, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and record.getMessage() not in self._warnings:
            self._warnings.append(record.getMessage())
