"""Reading ahead and writing behind the network, in threads, with a bound on what waits in memory."""

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
from srtoolbox.image import (
    MAX_BYTES,
    Form,
    Metadata,
    Picture,
    check_form,
    decode_picture,
    encode_bands,
    image_shape,
    read_picture,
    write_bands,
)
from srtoolbox.image.fetching import fetch
from srtoolbox.io.threads import map_ahead

AHEAD_BYTES = 2**28
"""Decoded images that may wait for the network, in bytes; one of any size always may."""
STDIN = "standard input"
_UNKNOWN = 2**26  # what an image is taken for whose size is not known before it is there


def read(job: Job, data: bytes | None, stop: threading.Event) -> Picture:
    """The image of a job; `data` is what came from standard input. Raises ImageError."""
    if job.kind == "file":
        return read_picture(job.source)
    if job.kind == "url":
        return decode_picture(fetch(job.source, stop=stop), job.source)
    if len(data) > MAX_BYTES:
        raise ImageError(f"{STDIN}: more than {MAX_BYTES} bytes, more than an image may have")
    return decode_picture(data, STDIN)


def _from_stdin() -> bytes:
    """All of standard input, and a byte more than may come, which tells."""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def read_ahead(jobs: Sequence[Job], workers: int) -> Generator[tuple[Job, Future[Picture]]]:
    """Yield the jobs in order, their images being read: up to `workers` ahead, within AHEAD_BYTES.

    Closing it waits for the threads: one that is inside a decoder when Python ends would abort the process.
    """
    stop = threading.Event()
    # standard input is read here: a thread that waits for it could not be ended
    sources = ((job, _from_stdin() if job.kind == "stream" else None) for job in jobs)
    reading = map_ahead(
        lambda source: read(*source, stop),
        sources,
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


def _decoded_bytes(job: Job) -> int:
    if job.kind == "file":
        with contextlib.suppress(SrtoolboxError):  # it is told when the image is read
            height, width, _ = image_shape(job.source)
            return height * width * 4
    return _UNKNOWN


def write(
    job: Job,
    suffix: str,
    bands: Iterator[np.ndarray],
    form: Form,
    metadata: Metadata,
    quality: int | None,
) -> list[str]:
    """Write an image as its bands come; returns what its format cannot hold."""
    if job.target is not None:
        return write_bands(job.target, bands, form, metadata, quality=quality)
    _to_stdout(lambda file: encode_bands(file, suffix, bands, form, metadata, quality=quality))
    return check_form(form, suffix, quality)


def _to_stdout(encode: Callable[[BinaryIO], None]) -> None:
    """Nothing goes out before all of it is there."""
    try:
        with tempfile.TemporaryFile() as file:
            encode(file)
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # whoever read has gone: the command ends, as all do
    except OSError as error:
        raise ImageError(
            f"standard output, or a temporary file for it, cannot be written ({error.strerror or error}); "
            "free some space, or write to a file (-o FILE)"
        ) from error


def check_folder(target: Path) -> None:
    """Raises ImageError where no result can be written, as far as that is known before it is made."""
    folder = next(each for each in (target.absolute().parent, *target.absolute().parents) if os.path.lexists(each))
    if not folder.is_dir():
        raise ImageError(f"{target}: cannot be written ({folder} is no folder)")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{target}: cannot be written (no permission for {folder})")
