"""The images of a plan: read ahead by threads, upscaled, and written as their bands come."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from srtoolbox.apps.folder.plan import Job
from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image import Picture, decode_picture, image_shape, read_picture
from srtoolbox.image.fetching import fetch
from srtoolbox.image.file_types import QUALITY_SUFFIXES
from srtoolbox.image.metadata import Metadata
from srtoolbox.image.opening import MAX_BYTES
from srtoolbox.image.provenance import with_step
from srtoolbox.image.saving import check_form, encode_bands, form_of, provenance_lost, write_bands
from srtoolbox.image.streaming import Form
from srtoolbox.inference.keep_colour import ColourWatch
from srtoolbox.inference.picture import form_of_result, picture_bands
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.threads import BackgroundWriter, follow, map_ahead
from srtoolbox.logger import Lines

AHEAD_BYTES = 2**28
"""Decoded images that may wait for the network, in bytes; one of any size always may."""
STDIN = "standard input"
MEMORY = "memory does not suffice; --workers 1 takes less, and so do results in .png and .tif"
_UNKNOWN = 2**26  # what an image is taken for whose size is not known before it is there


def name_of(job: Job) -> str:
    """Return what messages call a job's image."""
    return STDIN if job.kind == "stream" else job.source


class Reading(NamedTuple):
    """Settings of reading and writing."""

    quality: int | None = None
    ext: str = ".png"
    """The format on standard output."""
    workers: int = 2
    skip_existing: bool = False
    step: dict[str, Any] | None = None
    """What results say of where they come from; None: nothing."""


# ---- reading


def read_ahead(jobs: Sequence[Job], workers: int) -> Generator[tuple[Job, Future[Picture]]]:
    """Yield the jobs in order, their images being read: up to `workers` ahead, within AHEAD_BYTES.

    Closing it waits for the threads: one that is inside a decoder when Python ends would abort the
    process.
    """
    stop = threading.Event()
    reading = map_ahead(
        lambda source: read(*source, stop),
        _sources(jobs, stop),
        threads=workers,
        ahead=0,
        cost=lambda source: _decoded_bytes(source[0]),
        budget=AHEAD_BYTES,
    )
    with contextlib.closing(reading):
        try:
            for (job, _), image in reading:
                yield job, image
        finally:
            stop.set()


def _sources(jobs: Sequence[Job], stop: threading.Event) -> Iterator[tuple[Job, bytes]]:
    """Yield the jobs, each with what standard input has for it.

    That is read here: a thread that waits for it could not be ended. Ctrl-C meanwhile stops the
    threads that fetch.
    """
    try:
        for job in jobs:
            yield job, _from_stdin() if job.kind == "stream" else b""
    except BaseException:
        stop.set()
        raise


def read(job: Job, data: bytes, stop: threading.Event) -> Picture:
    """Return the image of a job; `data` is what came from standard input. Raises ImageError."""
    if job.kind == "file":
        return read_picture(job.source)
    if job.kind == "url":
        return decode_picture(fetch(job.source, stop=stop), job.source)
    if len(data) > MAX_BYTES:
        raise ImageError(f"{STDIN}: more than {MAX_BYTES} bytes, more than an image may have")
    return decode_picture(data, STDIN)


def _from_stdin() -> bytes:
    """Read all of standard input, and one byte more than is allowed, by which that shows."""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _decoded_bytes(job: Job) -> int:
    if job.kind == "file":
        with contextlib.suppress(SrtoolboxError):  # it is reported when the image is read
            height, width, _ = image_shape(job.source)
            return height * width * 4
    return _UNKNOWN


# ---- writing


def write(
    job: Job,
    suffix: str,
    form: Form,
    metadata: Metadata,
    quality: int | None,
    bands: Iterator[np.ndarray],
) -> list[str]:
    """Write an image as its bands come; returns what its format cannot hold."""
    if job.target is not None:
        return write_bands(job.target, bands, form, metadata, quality=quality)
    _to_stdout(lambda file: encode_bands(file, suffix, bands, form, metadata, quality=quality))
    return [*check_form(form, suffix, quality), *provenance_lost(metadata, suffix)]


def _to_stdout(encode: Callable[[BinaryIO], object]) -> None:
    """Write to standard output, where nothing goes before all of it is there."""
    try:
        with tempfile.TemporaryFile() as file:
            encode(file)
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader has gone: the command ends, as all do
    except OSError as error:
        raise ImageError(
            "standard output, or a temporary file for it, cannot be written "
            f"({error.strerror or error}); free some space, or write to a file (-o FILE)"
        ) from error


def check_folder(target: Path) -> None:
    """Raise an ImageError where it is known beforehand that no result can be written."""
    folder = next(folder for folder in target.absolute().parents if os.path.lexists(folder))
    if not folder.is_dir():
        raise ImageError(f"{target}: cannot be written ({folder} is no folder)")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{target}: cannot be written (no permission for {folder})")


# ---- all of it


class _Begun(NamedTuple):
    """An image, and its result as it comes."""

    job: Job
    image: Picture
    form: Form
    rows: Iterator[np.ndarray]
    watch: ColourWatch


class _Writing(NamedTuple):
    """An image that is being written."""

    job: Job
    before: Form
    after: Form
    writer: BackgroundWriter[np.ndarray, list[str]]
    notes: tuple[str, ...]
    """On what of the file was not read."""
    watch: ColourWatch


class Run:
    """Upscales the images of a plan; failures are reported and counted, and the rest goes on."""

    def __init__(
        self,
        upscaler: Upscaler,
        alpha: Upscaler,
        reading: Reading,
        lines: Lines,
        *,
        keep: Callable[[Job, str | None], object] = lambda job, fault: None,
    ) -> None:
        self._upscaler, self._alpha = upscaler, alpha
        self._reading, self._lines, self._keep = reading, lines, keep
        # one more than the writers that `_settle` lets be when the next one begins
        self._threads = ThreadPoolExecutor(reading.workers + 1)
        self._writing: deque[_Writing] = deque()
        self._folders: set[Path] = set()  # those that results can be written to
        self._has_told_bmp = False
        self.failed: dict[str, str] = {}

    def upscale_all(self, jobs: Sequence[Job], show: Callable[[float, int], None]) -> None:
        """Do all jobs; on Ctrl-C, or an error that is no image's, abandon what is being written."""
        workers = self._reading.workers
        with self._threads, contextlib.closing(read_ahead(jobs, workers)) as images:
            try:
                begun = itertools.starmap(self._begin, images)
                for number, each in enumerate(follow(begun, self._upscaler.ahead)):
                    show(number, len(jobs))
                    if each is not None:
                        with self._one_fails(each.job):
                            self._upscale(each, partial(_show_share, show, number, len(jobs)))
                    self._settle(workers)
                self._settle(0)
            finally:
                for writing in self._writing:
                    writing.writer.abandon()

    def _begin(self, job: Job, image: Future[Picture]) -> _Begun | None:
        """Begin an image that can be written, as `Upscaler.bands` does; None: it has failed."""
        with self._one_fails(job):
            picture = image.result()
            check_form(form_of_result(self._upscaler, picture), *self._format(job))
            if job.target is not None and job.target.parent not in self._folders:
                check_folder(job.target)
                self._folders.add(job.target.parent)
            watch = ColourWatch()
            return _Begun(job, picture, *picture_bands(self._upscaler, picture, alpha=self._alpha, watch=watch), watch)
        return None

    def _upscale(self, begun: _Begun, show: Callable[[float], None]) -> None:
        """Hand the bands of one image to a thread that writes them."""
        job, image, form, rows, watch = begun
        suffix, quality = self._format(job)
        metadata = self._signed(image.metadata, suffix, quality)
        writer = BackgroundWriter[np.ndarray, list[str]](
            partial(write, job, suffix, form, metadata, quality), ahead=2, pool=self._threads
        )
        self._writing.append(_Writing(job, form_of(image), form, writer, image.notes, watch))
        writer.start()
        done = 0
        try:
            for band in rows:
                if not writer.put(band):
                    return  # the writer failed, and its error is reported when it is settled
                done += len(band)
                show(done / form.height)
        except (SrtoolboxError, MemoryError) as error:
            writer.close(error)
            return
        writer.close()

    def _signed(self, metadata: Metadata, suffix: str, quality: int | None) -> Metadata:
        """Return what a result keeps of its input beside pixels, and where it comes from."""
        step = self._reading.step
        if step is None:
            return replace(metadata, provenance=None)
        if suffix.lower() == ".bmp" and not self._has_told_bmp:
            self._has_told_bmp = True
            self._lines.say("note: BMP has no place for where a result comes from (all other formats have)")
        if quality is not None:
            step = step | {"options": {**step.get("options", {}), "quality": quality}}
        return replace(metadata, provenance=with_step(metadata.provenance, step))

    def _format(self, job: Job) -> tuple[str, int | None]:
        """Return the suffix of a result, and the quality that its format takes."""
        suffix = self._reading.ext if job.target is None else job.target.suffix
        return suffix, self._reading.quality if suffix.lower() in QUALITY_SUFFIXES else None

    def _settle(self, allowed: int) -> None:
        """Wait until at most `allowed` images are being written, and report how the others went."""
        while self._writing and (len(self._writing) > allowed or self._writing[0].writer.is_done):
            writing = self._writing[0]
            with self._one_fails(writing.job):
                self._say_done(writing, lost=writing.writer.result())
                self._keep(writing.job, None)
            self._writing.popleft()

    def _say_done(self, writing: _Writing, lost: list[str]) -> None:
        source, before, after = name_of(writing.job), writing.before, writing.after
        target = "standard output" if writing.job.target is None else writing.job.target
        sizes = f"{before.width} x {before.height} -> {after.width} x {after.height}"
        self._lines.say(f"{source} -> {target} ({sizes})")
        notes = [f"{source}: {line}" for line in writing.notes]
        shift = writing.watch.shift
        shifted = "" if shift is None else shift.note(is_kept=self._upscaler.keeps_colour)
        for note in (*notes, *(f"{target}: {line}" for line in (*lost, shifted) if line)):
            self._lines.say(f"note: {note}")

    @contextlib.contextmanager
    def _one_fails(self, job: Job) -> Iterator[None]:
        try:
            yield
        except (SrtoolboxError, MemoryError) as error:
            text = str(error) if isinstance(error, SrtoolboxError) else MEMORY
            self.failed[job.source] = text
            self._keep(job, text)
            is_named = name_of(job) in text or str(job.target) in text
            self._lines.say(f"error: {text}" if is_named else f"error: {name_of(job)}: {text}")


def _show_share(show: Callable[[float, int], None], number: int, total: int, share: float) -> None:
    show(number + share, total)
