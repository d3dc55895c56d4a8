"""Encoded parts of a video: written whole, checked, and joined without encoding again.

A part holds so many frames, begins with a key frame and refers to no other part. Its frames are
numbered, not timed: the times, which a container would round, stand beside it and are given to the
packets when parts are joined.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from srtoolbox.apps.video.frames import Encodable, Frame, Video, opened
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image.provenance import normal, steps_of, with_step
from srtoolbox.image.video_codecs import library
from srtoolbox.io import files
from srtoolbox.logger import LOGGER
from srtoolbox.system import FileLock, acquire_or_warn
from srtoolbox.text import counted

if TYPE_CHECKING:  # an extra, which may be missing
    from av import Packet, VideoStream
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

_TICK = 40  # milliseconds a frame in a part: Matroska's clock has milliseconds
# x265 tells of every part
_OWN_OPTIONS = {"libvpx": {"b": "0"}, "libx265": {"x265-params": "log-level=error"}}
_OUR_TAGS = {"mp4": "synopsis", "mov": "comment", "matroska": "SRTOOLBOX", "webm": "SRTOOLBOX"}
"""Of what a result says of where it comes from: containers have no others that any text may take."""
_KEPT_TAGS = ("title", "artist", "author", "comment", "date", "creation_time", "copyright", "description", "location")


class Encoding(NamedTuple):
    """Codec, quality and preset of frames."""

    codec: str = "libx264"
    crf: float | None = 18
    preset: str | None = None

    def options(self) -> dict[str, str]:
        """Return the encoder's own options."""
        values = {"crf": self.crf, "preset": self.preset}
        options = {key: f"{value}" for key, value in values.items() if value is not None}
        return options | next((more for name, more in _OWN_OPTIONS.items() if self.codec.startswith(name)), {})


class PartsLock:
    """Keep a folder of parts for one job by its file `lock`; `holder.json` says whose it is.

    The lock is the system's and ends with the process, however that ends (`system.FileLock`).

    Args:
        folder: made if it is not there.

    Raises:
        SrtoolboxError: another job has it, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._lock, self._holder = FileLock(folder / "lock"), folder / "holder.json"
        try:
            files.make_folder(folder)
            is_free = acquire_or_warn(self._lock, "see that no second job writes there")
        except OSError as error:
            raise SrtoolboxError(files.write_fault(self._lock.path, error)) from error
        if not is_free:
            raise SrtoolboxError(
                f"{folder} is in use by another job ({self._holder_text()}). Wait for it, stop it, or choose another "
                "output"
            )
        try:
            files.write_json(self._holder, {"pid": os.getpid(), "host": socket.gethostname()})
        except SrtoolboxError:
            self.release()
            raise

    def release(self) -> None:
        """Let others have the folder, in which nothing of the lock stays. Again is nothing."""
        if self._lock.is_held:
            self._holder.unlink(missing_ok=True)
        self._lock.release(remove=True)

    def _holder_text(self) -> str:
        try:
            holder = files.read_json(self._holder)
            return f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "which has just started"


class Part(NamedTuple):
    """A finished part."""

    path: Path
    pts: list[int]


class Parts:
    """The parts of one video in a folder of their own, which is this job's until `close`.

    Args:
        folder: where they are.
        job: all that decides what is in them; parts of another job are refused.
        restart: delete parts of another job instead.

    Raises:
        SrtoolboxError: another job is at work there, or the folder holds parts of another job.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], *, restart: bool = False) -> None:
        self.folder, self._job = folder, folder / "job.json"
        self._lock = PartsLock(folder)
        try:
            self._prepare(dict(job), restart)
            self.done = list(self._finished())
        except BaseException:
            self.close()
            raise

    def _prepare(self, job: dict[str, Any], restart: bool) -> None:
        files.prepare_folder(self.folder)  # only now: it deletes what another job would be writing
        previous = files.read_json(self._job) if self._job.is_file() else None
        if previous is not None and previous != job:
            others = sorted(key for key in {*previous, *job} if previous.get(key) != job.get(key))
            if not restart:
                raise SrtoolboxError(
                    f"{self.folder}: holds parts made with another {', '.join(others)}; run with what it was before to "
                    "go on, or with --overwrite to begin anew"
                )
            self.delete()
        if previous != job:
            files.write_json(self._job, job)

    @property
    def frames(self) -> int:
        """The count of finished frames."""
        return sum(len(part.pts) for part in self.done)

    def write(self, encodable: Encodable, encoding: Encoding, rate: Fraction, frames: Iterable[Frame]) -> None:
        """Encode frames, upscaled, as the next part."""
        path = self._path(len(self.done))
        pts: list[int] = []

        def encode(file: BinaryIO) -> None:
            with library().open(file, "w", format="matroska") as container:
                stream = _stream(container, encodable, encoding, rate)
                for frame in frames:
                    encoded = encodable(frame.image)
                    encoded.pts, encoded.time_base = len(pts), Fraction(_TICK, 1000)
                    pts.append(frame.pts)
                    container.mux(stream.encode(encoded))
                container.mux(stream.encode(None))

        files.atomic_write(path, encode)
        record = {"pts": pts, "size": path.stat().st_size, "sha256": files.sha256(path)}
        files.write_json(path.with_suffix(".json"), record)
        self.done.append(Part(path, pts))

    def delete(self) -> None:
        """Remove what this class put into the folder."""
        for pattern in ("part_*.mkv", "part_*.json", "job.json", "joined.*"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def close(self) -> None:
        """Let another job have the folder, which goes if it is empty."""
        self._lock.release()
        with contextlib.suppress(OSError):  # it holds parts, or another job has begun
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"part_{number:06}.mkv"

    def _finished(self) -> Iterator[Part]:
        number = 0
        while (path := self._path(number)).is_file() and path.with_suffix(".json").is_file():
            try:
                record = files.read_json(path.with_suffix(".json"))
                sound = path.stat().st_size == record["size"] and files.sha256(path) == record["sha256"]
            except (OSError, ValueError, KeyError):
                sound = False
            if not sound:
                LOGGER.warning("%s is damaged; it and what follows is made again", path)
                return
            yield Part(path, record["pts"])
            number += 1


def _stream(container: OutputContainer, encodable: Encodable, encoding: Encoding, rate: Fraction) -> VideoStream:
    width, height = encodable.size
    if encoding.codec.startswith("libvpx"):  # its frames last as the rate says, and may not last 0 ticks
        rate = min(rate, Fraction(1000, _TICK))
    stream = cast("VideoStream", container.add_stream(encoding.codec, rate=rate, options=encoding.options()))
    stream.width, stream.height, stream.pix_fmt = width, height, encodable.format
    context, colour = stream.codec_context, encodable.colour
    context.time_base = Fraction(_TICK, 1000)
    context.colorspace, context.color_range = colour.matrix, colour.range
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    return stream


def join(
    parts: Sequence[Part], video: Video, path: Path, container_format: str, step: Mapping[str, Any] | None = None
) -> None:
    """Write parts, and the other streams of the video they are made of, as one file.

    `step` is what it says of where it comes from, see `apps.provenance`.

    Raises:
        SrtoolboxError: the file cannot be written, or does not hold every frame afterwards.
    """

    def write(file: BinaryIO) -> None:
        with opened(video.path) as source, library().open(file, "w", format=container_format) as target:
            tags = source.metadata.items()
            kept = {key: value for key, value in tags if key.lower() in _KEPT_TAGS and not steps_of(value)}
            target.metadata.update(kept)
            if step is not None:
                _sign(target, with_step(steps_text(source), step))
            if chapters := source.chapters():
                target.set_chapters(chapters)
            stream = _joined_stream(parts, video, source, target)
            copies = {}
            for other in copied_streams(source, target)[0]:
                copy = copies[other.index] = target.add_stream_from_template(other, opaque=True)
                copy.metadata.update(other.metadata)
                copy.disposition = other.disposition
            for packet in _in_time(_video_packets(parts, video, stream), _other_packets(source, copies)):
                target.mux_one(packet)

    files.atomic_write(path, write)
    expected = sum(len(part.pts) for part in parts)
    with opened(path) as result:
        count = sum(1 for packet in result.demux(result.streams.video[0]) if packet.size)
    if count != expected:
        raise SrtoolboxError(f"{path}: holds {counted(count, 'frame')} after joining, {expected} were made")


def steps_text(container: InputContainer) -> str | None:
    """Return what a video says of where it comes from, a text of `image.provenance`; None where nothing."""
    texts = map(normal, container.metadata.values())
    return next((text for text in texts if text), None)


def _sign(target: OutputContainer, text: str) -> None:
    """Write a text of steps into a tag that the container has and the video does not use."""
    tag = _OUR_TAGS[target.format.name]
    if tag in {key.lower() for key in target.metadata}:
        LOGGER.warning(
            "the result does not say where it comes from: %s has one comment, the video's own", target.format.name
        )
    else:
        target.metadata[tag] = text


def _joined_stream(parts: Sequence[Part], video: Video, source: InputContainer, target: OutputContainer) -> VideoStream:
    with library().open(str(parts[0].path)) as first:
        stream = target.add_stream_from_template(first.streams.video[0], opaque=True)
    stream.time_base = video.time_base
    if stream.codec_context.name == "hevc" and target.format.name in ("mp4", "mov"):
        # of the two names there are, the one that all players know
        stream.codec_context.codec_tag = "hvc1"
    if video.sar:
        stream.codec_context.sample_aspect_ratio = video.sar
    if video.rotation:
        stream.set_display_rotation(video.rotation)
    original = source.streams.video[0]
    stream.metadata.update({key: value for key, value in original.metadata.items() if key in ("language", "title")})
    return stream


def _in_time(*streams: Iterator[tuple[Fraction, Packet]]) -> Iterator[Packet]:
    """Yield packets of several streams in order of decoding time, so that none waits."""

    def numbered(number: int) -> Iterator[tuple[Fraction, int, int, Packet]]:
        yield from ((time, number, place, packet) for place, (time, packet) in enumerate(streams[number]))

    yield from (packet for *_, packet in heapq.merge(*map(numbered, range(len(streams)))))


def copied_streams(source: InputContainer, target: OutputContainer) -> tuple[list[Stream], list[str]]:
    """Return the other streams that a container can hold, and names of those it cannot."""
    kept, dropped = [], []
    supported = target.supported_codecs
    for stream in source.streams:
        if stream.index == source.streams.video[0].index:
            continue
        codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else None
        if stream.type in ("audio", "subtitle") and codec in supported:
            kept.append(stream)
        else:
            dropped.append(f"{stream.type} ({codec or 'unknown'})")
    return kept, dropped


def _numbers(part: Part) -> Iterator[tuple[int, Packet]]:
    """Yield (place in presentation order, packet) of a part's packets, in decoding order."""
    with library().open(str(part.path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                yield round(packet.pts * packet.time_base * 1000 / _TICK), packet


def _video_packets(parts: Sequence[Part], video: Video, stream: VideoStream) -> Iterator[tuple[Fraction, Packet]]:
    """Yield the parts' packets with the source's times, decoding ahead of presentation."""
    times = [pts for part in parts for pts in part.pts]
    step = max(1, round(1 / (video.rate * video.time_base)))
    # by how many frames decoding runs ahead of presentation (B-frames)
    delay = max(number - place for part in parts for number, (place, _) in enumerate(_numbers(part)))
    last = round(video.duration / video.time_base) - (times[-1] - times[0]) if video.duration else 0
    last = last if 0 < last < 100 * step else step  # how long the last frame is shown
    done = 0
    for part in parts:
        for number, (place, packet) in enumerate(_numbers(part), start=done):
            at = done + place
            packet.stream, packet.time_base = stream, video.time_base
            packet.pts = times[at]
            packet.dts = times[number - delay] if number >= delay else times[0] - (delay - number) * step
            packet.duration = times[at + 1] - times[at] if at + 1 < len(times) else last
            yield packet.dts * video.time_base, packet
        done += len(part.pts)


def _other_packets(source: InputContainer, copies: Mapping[int, Stream]) -> Iterator[tuple[Fraction, Packet]]:
    if not copies:
        return
    for packet in source.demux(*[stream for stream in source.streams if stream.index in copies]):
        if packet.size and packet.dts is not None:
            time = packet.dts * packet.time_base
            packet.stream = copies[packet.stream.index]
            yield time, packet
