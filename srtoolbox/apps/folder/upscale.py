"""Folders of images through an `Upscaler`: plan, then read, upscale and write each image.

Threads read ahead of the network and write behind it (`files`), with a bound on what waits in memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from rich.console import Console

from srtoolbox.apps.folder.files import check_folder, name_of, read_ahead, write
from srtoolbox.apps.folder.pieces import NOT_YET, begin, check_options, options_of, outcome, pieces_of, unfinished
from srtoolbox.apps.folder.plan import EXTENSIONS, STREAM, Job, Naming, Plan, is_single, plan
from srtoolbox.apps.networks import NetworkSource, UpscalerSettings, check_settings, load, make_upscaler
from srtoolbox.apps.provenance import step_of
from srtoolbox.errors import OptionError, SrtoolboxError
from srtoolbox.image import Picture
from srtoolbox.image.file_types import QUALITY_SUFFIXES
from srtoolbox.image.metadata import Metadata
from srtoolbox.image.provenance import with_step
from srtoolbox.image.saving import check_form, form_of
from srtoolbox.image.streaming import Form
from srtoolbox.inference.keep_colour import ColourWatch
from srtoolbox.inference.picture import form_of_result, picture_bands
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import facts_of
from srtoolbox.io.pieces import Pieces, Shard
from srtoolbox.io.threads import BackgroundWriter, follow
from srtoolbox.logger import CONSOLE, Lines, progress_bar
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_WORKERS = 64
MEMORY = "memory does not suffice; --workers 1 takes less, and so do results in .png and .tif"


class FolderResult(NamedTuple):
    """The outcome of `upscale_folder`."""

    done: list[Job]
    """Images and where their results are."""
    failed: dict[str, str]
    """The reason by image."""
    existing: list[Job]
    """Images that had a result already."""
    left_out: list[str]
    """Images that are results of an earlier run."""
    unread: str
    """A sentence on what looks like an image and is not read, or ''."""

    def __repr__(self) -> str:
        """Return counts, and the failures: the images one by one would fill a notebook's cell."""
        counts = ", ".join(f"{name}: {len(getattr(self, name))}" for name in ("done", "existing", "left_out"))
        return f"FolderResult({counts}, failed={self.failed}, unread={self.unread!r})"


class Reading(NamedTuple):
    """Settings of reading and writing."""

    quality: int | None = None
    ext: str = ".png"
    """The format on standard output."""
    workers: int = 2
    skip_existing: bool = False
    step: dict[str, Any] | None = None
    """What results say of where they come from; None: nothing."""


def upscale_folder(
    network: NetworkSource | Upscaler,
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    suffix: str = "_sr",
    ext: str | None = None,
    quality: int | None = None,
    skip_existing: bool = False,
    shard: str | tuple[int, int] | None = None,
    check_shards: int | None = None,
    workers: int = 2,
    transparency: Literal["network", "bicubic"] | Upscaler = "network",
    provenance: bool = True,
    progress: Callable[[float, int], None] | None = None,
    device: str | None = None,
    console: Console | None = None,
    **settings: Unpack[UpscalerSettings],
) -> FolderResult:
    """Upscale images, folders of them, patterns and addresses, as the command `upscale` does.

    All names are decided first, and what cannot be is refused before any work. An image that fails
    is reported, and the others go on. A result gets its name when it is whole.

    Args:
        network: a network, a checkpoint, or an `Upscaler`, which has its settings already.
        inputs: images, folders (recursive), patterns ('in/**/*.png'), https addresses, '-' (stdin).
        out: a folder, a file for a single result, '-' for standard output; None: beside each image.
        suffix: what comes behind the name.
        ext: 'png', 'jpg', 'webp', 'tiff', 'bmp', or 'same' for that of the image; None is png.
        quality: 1 ... 100 for jpg and webp.
        skip_existing: leave alone what has a result already; it goes by names.
        shard: (3, 8) or '3/8' upscales the third of eight pieces, which together are one run;
            called again after an interruption it goes on. `out` is a folder.
        check_shards: upscale nothing; return what so many pieces have not done in `failed`.
        workers: images read ahead and written at a time, 1 ... 64.
        transparency: what upscales alpha: the network, bicubic interpolation, or an `Upscaler`.
        provenance: results say where they come from: weights, network, scale, version and options.
        progress: called with images done, parts of one counted, and images in all, in the order of
            the inputs; an error that it raises ends the work, and half-written results are removed.
            None shows a bar.
        device: where a checkpoint's network runs (None: a GPU, if any); a module stays where it is.
        console: where lines and the progress bar go; None is the terminal or notebook.
        settings: arguments of `Upscaler`, such as `tile=512`.

    Raises:
        OptionError: an argument that is not possible.
        PieceError: pieces of another number, with other options or of other images.
        SrtoolboxError: inputs or names that are refused, a checkpoint that cannot be read.
    """
    check_settings(upscale_folder, settings)
    names = _names(inputs)
    naming = Naming(None if out is None else os.fspath(out), suffix, ext or "png")
    _check_options(naming, ext, quality, workers, transparency)
    piece = check_options(shard, check_shards, names, naming.out)
    planned = plan(names, naming)
    count = check_shards or (piece and piece.count)
    written = {"quality": quality} | ({} if provenance else {"provenance": False})
    pieces = _pieces(planned, naming, count, written, network, transparency, settings) if count else None
    console = console or (Console(stderr=True) if naming.out == STREAM else CONSOLE)
    if pieces is not None and piece is None:
        return _report_pieces(planned, pieces, console)
    upscalers = _upscalers(network, device, transparency, settings)
    alpha = None if transparency == "network" else "bicubic" if transparency == "bicubic" else "an Upscaler"
    step = step_of(network, upscalers[0], transparency=alpha) if provenance else None
    reading = Reading(quality, f".{naming.ext}", workers, skip_existing, step)
    return _upscale_planned(planned, pieces, piece, upscalers, reading, console, progress)


def _names(inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    sources = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    return [os.fspath(source) for source in sources]


def _pieces(
    planned: Plan,
    naming: Naming,
    count: int,
    written: dict[str, Any],
    network: NetworkSource | Upscaler,
    transparency: str | Upscaler,
    settings: UpscalerSettings,
) -> Pieces:
    """Return the record of so many pieces, with all that decides a result; `written` is what decides its file."""
    options = {"suffix": naming.suffix, "ext": naming.ext, **written}
    options |= options_of(network, transparency, settings)
    return pieces_of(planned.jobs, str(naming.out), count, options)


def _upscale_planned(
    planned: Plan,
    pieces: Pieces | None,
    piece: Shard | None,
    upscalers: tuple[Upscaler, Upscaler],
    reading: Reading,
    console: Console,
    progress: Callable[[float, int], None] | None,
) -> FolderResult:
    """Upscale the images of a plan, or of one of its pieces, and say how many."""
    start = time.perf_counter()
    with begin(planned.jobs, pieces, piece) as work, Lines(console) as lines:
        existing = {job for job in work.jobs if reading.skip_existing and job.target and job.target.exists()}
        existing |= set(work.done)
        for job in existing.difference(work.done):
            work.keep(job, None)
        jobs = [job for job in work.jobs if job not in existing]
        if piece is not None:
            lines.say(f"{piece}: {len(work.jobs)} of {counted(len(planned.jobs), 'image')}")
        _say_left_out(planned, len(existing), lines)
        run = _Run(*upscalers, reading, lines, keep=work.keep)
        with contextlib.nullcontext(progress) if progress else progress_bar("upscaling", console) as show:
            run.upscale_all(jobs, show)
    skipped = f", {len(existing)} skipped" if reading.skip_existing or existing else ""
    counts = f"{len(jobs) - len(run.failed)} upscaled, {len(run.failed)} failed{skipped}"
    console.print(f"{counts}, {time.perf_counter() - start:.1f} s", highlight=False)
    done = [job for job in jobs if job.source not in run.failed]
    return FolderResult(done, run.failed, sorted(existing), planned.left_out, planned.unread)


def _report_pieces(planned: Plan, pieces: Pieces, console: Console) -> FolderResult:
    """Report what all pieces have done, and what is missing."""
    with Lines(console) as lines:
        done, failed = outcome(planned.jobs, pieces)
        _say_left_out(planned, 0, lines)
        for line in unfinished(planned.jobs, pieces):
            lines.say(line)
        # else by piece
        at_fault = {source: reason for source, reason in failed.items() if reason != NOT_YET}
        for source, reason in at_fault.items():
            lines.say(f"error: {reason}" if source in reason else f"error: {source}: {reason}")
        missing = f", {len(failed) - len(at_fault)} missing" if len(failed) > len(at_fault) else ""
        lines.say(f"{counted(pieces.count, 'piece')}: {len(done)} upscaled, {len(at_fault)} failed{missing}")
        return FolderResult(done, failed, [], planned.left_out, planned.unread)


def _check_options(naming: Naming, ext: str | None, quality: int | None, workers: int, transparency: object) -> None:
    """Raise an OptionError at the first argument that is not possible, or goes with no other."""
    if ext not in (None, *EXTENSIONS):
        raise OptionError(f"ext is one of {', '.join(EXTENSIONS)}, got {ext!r}")
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"quality is 1 ... 100, got {quality}")
    is_file = is_single(naming.out) and naming.out != STREAM
    format_name = str(naming.out).rpartition(".")[2].lower() if is_file else naming.ext
    if quality is not None and format_name not in ("jpg", "jpeg", "webp", "same"):
        advice = "choose one of the two formats"
        raise OptionError(f"quality is for jpg and webp, results are {format_name}: {advice}")
    if set(naming.suffix) & {"/", "\\", "\0"}:
        raise OptionError(f"suffix is a part of a name, got {naming.suffix!r}")
    if is_file and ext is not None:
        advice = "leave one of the two out"
        raise OptionError(f"ext {ext}: the name {naming.out} says the format; {advice}")
    if naming.out == STREAM and ext == "same":
        advice = "say png, jpg, webp, tiff or bmp"
        raise OptionError(f"ext same: standard output has no name to go by; {advice}")
    if not 1 <= workers <= MAX_WORKERS:
        raise OptionError(f"workers is 1 ... {MAX_WORKERS}, got {workers}")
    if not isinstance(transparency, Upscaler) and transparency not in ("network", "bicubic"):
        raise OptionError(f"transparency is network or bicubic, got {transparency!r}")


def _upscalers(
    network: NetworkSource | Upscaler,
    device: str | None,
    transparency: str | Upscaler,
    settings: UpscalerSettings,
) -> tuple[Upscaler, Upscaler]:
    """Return the upscalers for the colours and for the transparency."""
    if transparency != "bicubic":
        upscaler = make_upscaler(network, device, settings)
        return upscaler, transparency if isinstance(transparency, Upscaler) else upscaler
    if isinstance(network, Upscaler):
        advice = "with an Upscaler, give another Upscaler"
        raise OptionError(f"transparency bicubic goes with a network; {advice}")
    module, place = load(network, device)
    shared: UpscalerSettings = {}
    for key in ("tile", "outscale", "wrap"):
        if key in settings:
            shared[key] = settings[key]
    bicubic = NETWORKS.build({"type": "Bicubic", "scale": facts_of(module).scale})
    return Upscaler(module, device=place, **settings), Upscaler(bicubic, device=place, **shared)


def _say_left_out(planned: Plan, existing: int, lines: Lines) -> None:
    if planned.left_out:
        names = ", ".join(planned.left_out)
        lines.say(f"left out as results of an earlier run (-o takes them): {names}")
    if planned.unread:
        lines.say(planned.unread)
    if existing:
        lines.say(f"{existing} skipped, which have a result already")


def _show_share(show: Callable[[float, int], None], number: int, total: int, share: float) -> None:
    show(number + share, total)


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


class _Run:
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
