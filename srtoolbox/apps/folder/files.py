"""The images of a folder's plan: read ahead of the network by threads, and written as their bands come."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

import numpy as np

from srtoolbox.apps.folder.plan import Job
from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image import Picture, decode_picture, image_shape, read_picture
from srtoolbox.image.fetching import fetch
from srtoolbox.image.metadata import Metadata
from srtoolbox.image.opening import MAX_BYTES
from srtoolbox.image.saving import check_form, encode_bands, provenance_lost, write_bands
from srtoolbox.image.streaming import Form
from srtoolbox.io.threads import map_ahead

AHEAD_BYTES = 2**28
"""Decoded images that may wait for the network, in bytes; one of any size always may."""
STDIN = "standard input"
_UNKNOWN = 2**26  # what an image is taken for whose size is not known before it is there


def name_of(job: Job) -> str:
    """Return what messages call a job's image."""
    return STDIN if job.kind == "stream" else job.source


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
