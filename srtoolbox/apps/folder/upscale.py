"""Folders of images through an `Upscaler`: plan, then read, upscale and write each image.

Threads read ahead of the network and write behind it (`files`), with a bound on what waits in
memory.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.console import Console

from srtoolbox.apps.folder.files import Reading, Run
from srtoolbox.apps.folder.pieces import NOT_YET, begin, check_options, options_of, outcome, pieces_of, unfinished
from srtoolbox.apps.folder.plan import EXTENSIONS, STREAM, Job, Naming, Plan, is_single, plan
from srtoolbox.apps.networks import NetworkSource, UpscalerSettings, check_settings, load, make_upscaler
from srtoolbox.apps.provenance import step_of
from srtoolbox.errors import OptionError
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.interfaces import facts_of
from srtoolbox.io.pieces import Pieces, Shard
from srtoolbox.logger import CONSOLE, Lines, progress_bar
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_WORKERS = 64


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
        progress: called with images done, parts of one counted, and images in all, in order; None
            shows a bar. An error that it raises ends the work; half-written results are removed.
        device: where a checkpoint's network runs (None: a GPU, if any); a module stays where it is.
        console: where lines and the progress bar go; None is the terminal or notebook.
        settings: arguments of `Upscaler`, such as `tile=512`.

    Raises:
        OptionError: an argument that is not possible.
        PieceError: pieces of another number, with other options or of other images.
        SrtoolboxError: inputs or names that are refused, a checkpoint that cannot be read.
    """
    _check_options(workers, transparency, settings)
    naming = _naming(out, suffix, ext, quality)
    decisive = partial(_decisive, naming, quality, provenance, network, transparency, settings)
    planned, piece, pieces = _plan(_names(inputs), naming, shard, check_shards, decisive)
    console = console or (Console(stderr=True) if naming.out == STREAM else CONSOLE)
    if pieces is not None and piece is None:
        return _report_pieces(planned, pieces, console)
    upscalers = _upscalers(network, device, transparency, settings)
    step = _step(network, upscalers[0], transparency) if provenance else None
    reading = Reading(quality, f".{naming.ext}", workers, skip_existing, step)
    return _upscale_planned(planned, pieces, piece, upscalers, reading, console, progress)


def _names(inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    sources = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    return [os.fspath(source) for source in sources]


def _plan(
    names: list[str],
    naming: Naming,
    shard: str | tuple[int, int] | None,
    check_shards: int | None,
    decisive: Callable[[], dict[str, Any]],
) -> tuple[Plan, Shard | None, Pieces | None]:
    """Return the plan, the piece to do and the record of all pieces (None: all is one)."""
    piece = check_options(shard, check_shards, names, naming.out)
    planned = plan(names, naming)
    count = check_shards or (piece and piece.count)
    return planned, piece, pieces_of(planned.jobs, str(naming.out), count, decisive()) if count else None


def _decisive(
    naming: Naming,
    quality: int | None,
    provenance: bool,
    network: NetworkSource | Upscaler,
    transparency: str | Upscaler,
    settings: UpscalerSettings,
) -> dict[str, Any]:
    """Return, as JSON values, all that decides a result and its file."""
    written = {"quality": quality} | ({} if provenance else {"provenance": False})
    options = {"suffix": naming.suffix, "ext": naming.ext, **written}
    return options | options_of(network, transparency, settings)


def _step(network: NetworkSource | Upscaler, upscaler: Upscaler, transparency: str | Upscaler) -> dict[str, Any]:
    """Return what results say of where they come from."""
    alpha = None if transparency == "network" else "bicubic" if transparency == "bicubic" else "an Upscaler"
    return step_of(network, upscaler, transparency=alpha)


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
        run = Run(*upscalers, reading, lines, keep=work.keep)
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
        # what is not done yet is told by piece
        at_fault = {source: reason for source, reason in failed.items() if reason != NOT_YET}
        for source, reason in at_fault.items():
            lines.say(f"error: {reason}" if source in reason else f"error: {source}: {reason}")
        missing = f", {len(failed) - len(at_fault)} missing" if len(failed) > len(at_fault) else ""
        lines.say(f"{counted(pieces.count, 'piece')}: {len(done)} upscaled, {len(at_fault)} failed{missing}")
        return FolderResult(done, failed, [], planned.left_out, planned.unread)


def _check_options(workers: int, transparency: object, settings: UpscalerSettings) -> None:
    """Raise an error at the first argument that is not possible."""
    check_settings(upscale_folder, settings)
    if not 1 <= workers <= MAX_WORKERS:
        raise OptionError(f"workers is 1 ... {MAX_WORKERS}, got {workers}")
    if not isinstance(transparency, Upscaler) and transparency not in ("network", "bicubic"):
        raise OptionError(f"transparency is network or bicubic, got {transparency!r}")


def _naming(out: str | os.PathLike[str] | None, suffix: str, ext: str | None, quality: int | None) -> Naming:
    """Return how results are named; an OptionError where arguments are not possible together."""
    naming = Naming(None if out is None else os.fspath(out), suffix, ext or "png")
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
    return naming


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
