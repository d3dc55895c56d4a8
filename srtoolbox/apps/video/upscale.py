"""Videos through an `Upscaler`: bounded memory, all but the frames kept, and a killed job goes on.

Three things happen at a time: decoding, the network, encoding; a few frames wait between them. What
is encoded lies in parts beside the output (`OUT.parts`) until all of it is there; then the parts
are joined, with the audio copied.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from srtoolbox.apps.networks import Checkpoint, NetworkSource, UpscalerSettings, check_settings, make_upscaler
from srtoolbox.apps.provenance import step_of
from srtoolbox.apps.video.frames import Encodable, Frame, Video, frames, opened, probe
from srtoolbox.apps.video.parts import Encoding, Parts, copied_streams, join
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image.colour_shift import ColourShift, colour_shift, mean_shift
from srtoolbox.image.video_codecs import library
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io import files
from srtoolbox.io.threads import BackgroundWriter, prefetch
from srtoolbox.logger import LOGGER, progress_bar

if TYPE_CHECKING:
    from typing_extensions import Unpack

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
USUAL_CODECS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1")
PART_FRAMES = 60
"""Frames in a part: what a killed job loses at most."""
WATCHED = 8
"""Of so many frames one is compared with its result, for colours that shift."""
_HASHED = 1 << 20
_SHORT_SECONDS, _SHORT_SHARE = 1, 0.02  # by which the frames may end before what the file declares


class VideoResult(NamedTuple):
    """The outcome of `upscale_video`."""

    frames: int
    resumed: int
    """Frames of an earlier run that were kept."""
    size: tuple[int, int]
    """(width, height)."""
    target: Path


def upscale_video(
    network: NetworkSource | Upscaler,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    encoding: Encoding = Encoding(),  # noqa: B008 - a tuple of plain values
    job: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    provenance: bool = True,
    progress: Callable[[int, int], None] | None = None,
    device: str | None = None,
    **settings: Unpack[UpscalerSettings],
) -> VideoResult:
    """Upscale a video; called again after an interruption, it goes on after the last finished part.

    Args:
        network: a network, a checkpoint, or an `Upscaler`, which has its settings already.
        source: any file that FFmpeg reads.
        target: `.mp4`, `.m4v`, `.mov`, `.mkv` or `.webm`; it appears when all is done. None is
            `<name>_sr.mp4` beside the source.
        encoding: codec, quality and preset.
        job: what else decides the result; parts made with another are not gone on with. None takes
            what a checkpoint and the settings tell.
        overwrite: replace `target`, and parts of another job.
        provenance: the result says where it comes from: weights, network, scale, version and
            options.
        progress: called with frames done and frames in all (0 where the file does not tell); None
            shows a bar.
        device: of a checkpoint's network; None is a GPU where there is one. A module is not moved.
        settings: arguments of `Upscaler`, such as `tile=512`.

    Raises:
        SrtoolboxError: a file that cannot be read or written, a codec or container that cannot hold
            it; or another job is making `target`.
    """
    check_settings(upscale_video, settings)
    library()
    source = Path(source)
    target = Path(target) if target is not None else source.with_name(source.stem + "_sr.mp4")
    upscaler = make_upscaler(network, device, settings)
    job = _job_of(network, settings) if job is None else job
    video = _probe(source, target, overwrite)
    height, width = upscaler.size(video.height, video.width)
    encodable = Encodable(video, width, height)
    container = _check_target(video, target, encodable, encoding)
    contents = {"video": _identity(video), "size": [*encodable.size], "encoding": list(encoding), **job}
    parts = Parts(target.with_name(target.name + ".parts"), contents, restart=overwrite)
    with contextlib.closing(parts):
        if target.exists() and not overwrite:
            parts.delete()
            raise SrtoolboxError(f"{target}: another job has made it meanwhile; --overwrite replaces it")
        with contextlib.nullcontext(progress) if progress else progress_bar("upscaling") as show:
            resumed = _upscale_parts(upscaler, video, target, parts, encodable, encoding, show)
        step = step_of(network, upscaler, **encoding._asdict()) if provenance else None
        _publish(video, target, parts, container, step)
        result = VideoResult(parts.frames, resumed, encodable.size, target)
        parts.delete()
    return result


def _job_of(network: NetworkSource | Upscaler, settings: UpscalerSettings) -> dict[str, Any]:
    """Return what decides the result; a network in memory is not known, only its settings are.

    What the command has no option for is there only where it is no default: parts of an earlier
    release are gone on with.
    """
    exact = {"tile", "batch"}  # they change the time and the memory
    chosen = {key: value for key, value in settings.items() if key not in exact}
    job = {key: value for key, value in chosen.items() if value is not None and value is not False}
    if not isinstance(network, Checkpoint | str | os.PathLike):
        return job
    checkpoint = network if isinstance(network, Checkpoint) else Checkpoint(network)
    if checkpoint.weights != "ema":
        job["weights"] = checkpoint.weights
    if checkpoint.other is not None:
        job |= {"other": files.sha256(checkpoint.other), "alpha": checkpoint.alpha}
    return job | {
        "checkpoint": files.sha256(checkpoint.path),
        "dtype": settings.get("dtype", "fp32"),
        "outscale": settings.get("outscale"),
        "scale": checkpoint.scale,
    }


def _upscale_parts(
    upscaler: Upscaler,
    video: Video,
    target: Path,
    parts: Parts,
    encodable: Encodable,
    encoding: Encoding,
    progress: Callable[[int, int], None],
) -> int:
    """Decode, upscale and encode what is not done yet; return how many frames were."""
    total = video.frames or (round(video.duration * video.rate) if video.duration else 0)
    rate = min(max(video.rate, Fraction(1)), Fraction(240)).limit_denominator(1001)
    done = resumed = parts.frames
    progress(resumed, total)

    def encode(results: Iterator[Frame]) -> None:
        for first in results:
            with _one_error(target):
                some = itertools.chain([first], itertools.islice(results, PART_FRAMES - 1))
                parts.write(encodable, encoding, rate, some)

    with contextlib.closing(prefetch(frames(video, skip=done))) as decoded, BackgroundWriter(encode) as writer:
        begun: deque[Frame] = deque()
        shifts: list[ColourShift] = []
        for result in upscaler.each(_images(decoded, begun)):
            frame = begun.popleft()
            if done % WATCHED == 0:
                shifts.append(colour_shift(frame.image, result))
            if not writer.put(Frame(frame.pts, result)):
                break  # it has failed, and leaving raises its error
            done += 1
            progress(done, max(total, done))
    if not parts.done:
        raise SrtoolboxError(f"{video.path}: no frame in it can be decoded")
    _warn_missing(video, parts)
    note = mean_shift(shifts).note(is_kept=upscaler.keeps_colour) if shifts else ""
    if note:
        LOGGER.warning("%s: %s", target, note)
    return resumed


def _images(decoded: Iterable[Frame], begun: deque[Frame]) -> Iterator[np.ndarray]:
    """Yield the images of frames, and keep the frames until they are taken."""
    for frame in decoded:
        begun.append(frame)
        yield frame.image


def _publish(video: Video, target: Path, parts: Parts, container: str, step: dict[str, Any] | None) -> None:
    """Join the parts, and give the result its name."""
    joined = parts.folder / f"joined{target.suffix}"
    with _one_error(target):
        join(parts.done, video, joined, container, step)
    try:
        files.replace(joined, target)
        files.sync_folder(target.absolute().parent)
    except OSError as error:
        raise SrtoolboxError(files.write_fault(target, error)) from error


def _warn_missing(video: Video, parts: Parts) -> None:
    """Warn where frames end early: FFmpeg does not notice a file that is cut short."""
    seconds = float((parts.done[-1].pts[-1] - parts.done[0].pts[0]) * video.time_base + 1 / video.rate)
    declared = float(video.duration or 0)
    if declared - seconds > max(_SHORT_SECONDS, _SHORT_SHARE * declared):
        times = f"its frames end after {seconds:.1f} s, it declares {declared:.1f} s"
        LOGGER.warning("%s: %s: it is cut short, unless its sound is longer", video.path, times)


# ---- checks before hours of work


def _probe(source: Path, target: Path, overwrite: bool) -> Video:
    """Return the facts of a video, or raise an error if `target` cannot name its result."""
    if target.is_dir():
        raise SrtoolboxError(f"{target}: is a folder; give a file's name")
    if target.exists() and not overwrite:
        raise SrtoolboxError(f"{target}: is there already; --overwrite replaces it")
    video = probe(source)
    if target.exists() and os.path.samefile(source, target):
        raise SrtoolboxError(f"{target}: is the video to upscale; give another name")
    return video


def _check_target(video: Video, target: Path, encodable: Encodable, encoding: Encoding) -> str:
    """Return the container's name; a SrtoolboxError where it, codec or size cannot be."""
    if target.suffix.lower() not in CONTAINERS:
        raise SrtoolboxError(f"{target}: the name of a video ends in {', '.join(CONTAINERS)}")
    container = CONTAINERS[target.suffix.lower()]
    _try_codec(encodable, encoding, container, target)
    with opened(video.path) as source, library().open(io.BytesIO(), "w", format=container) as trial:
        lost = copied_streams(source, trial)[1]
        for name in lost:
            if name.startswith("audio"):
                raise SrtoolboxError(f"{target}: this container cannot hold the video's {name}; name it .mkv")
        if lost:
            LOGGER.warning("%s cannot hold, and leaves out: %s (.mkv holds more)", target, ", ".join(lost))
    return container


def _try_codec(encodable: Encodable, encoding: Encoding, container: str, target: Path) -> None:
    """Encode two frames, so that a wrong codec, preset or size shows now."""
    av, (width, height) = library(), encodable.size
    deep = encodable.format.endswith("10le")
    gray = np.full((height, width, 3), 32768 if deep else 128, np.uint16 if deep else np.uint8)
    if encoding.codec not in av.codecs_available or av.codec.Codec(encoding.codec, "w").type != "video":
        available = [name for name in USUAL_CODECS if name in av.codecs_available]
        raise SrtoolboxError(f"no video codec {encoding.codec!r}; usual ones: {', '.join(available)}")
    with _one_error(target):
        with av.open(io.BytesIO(), "w", format=container) as trial:
            name = av.codec.Codec(encoding.codec, "w").canonical_name
            if name not in trial.supported_codecs:
                raise SrtoolboxError(f"{target}: this container does not hold {name}; name it .mkv")
        context = av.codec.CodecContext.create(encoding.codec, "w")
        context.width, context.height, context.pix_fmt = width, height, encodable.format
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        context.options = encoding.options()
        frame = encodable(gray)
        frame.pts = 0
        if not [*context.encode(frame), *context.encode(None)]:
            raise SrtoolboxError(f"{encoding.codec} makes nothing of a frame of {width}x{height} {encodable.format}")


@contextlib.contextmanager
def _one_error(target: Path) -> Iterator[None]:
    av = library()
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise SrtoolboxError(f"{target}: cannot be encoded or written ({error})") from error


def _identity(video: Video) -> dict[str, Any]:
    """Return the identity of a video file, without reading all of it."""
    digest, size = hashlib.sha256(), os.path.getsize(video.path)
    with open(video.path, "rb") as file:
        digest.update(file.read(_HASHED))
        file.seek(max(0, size - _HASHED))
        digest.update(file.read(_HASHED))
    return {"size": size, "sha256 of its ends": digest.hexdigest()}
