"""Videos as frames and back: what a video is, its frames as RGB, RGB as what an encoder takes.

Colours go through swscale with the matrix and range the video declares, exact rounding and full
chroma interpolation. A video that declares no matrix is taken as players take it: BT.709 from 720
lines up, BT.601 below. As upscaling may cross that line, the result always declares what was taken.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image.reading import is_moving_image, moving_frames
from srtoolbox.image.video_codecs import library
from srtoolbox.logger import LOGGER

if TYPE_CHECKING:  # an extra, which may be missing
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

# H.273's numbers of matrices and ranges, and swscale's names for them
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_UNKNOWN, _BT709, _BT601, _RGB = 2, 1, 6, 0
_LIMITED, _FULL = 1, 2
_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_HD_LINES = 720
_MILLISECOND = Fraction(1, 1000)
MAX_SIDE = 16384


class Colour(NamedTuple):
    """The meaning of values, in H.273's numbers: 2 is 'not declared', a `range` of 1 is limited."""

    matrix: int
    range: int
    primaries: int
    transfer: int


class Video(NamedTuple):
    """A video file, as its first video stream declares it."""

    path: str
    width: int
    height: int
    pix_fmt: str
    colour: Colour
    rate: Fraction
    time_base: Fraction
    frames: int
    """0 if not known."""
    duration: Fraction | None
    """Of the stream, in seconds."""
    bits: int
    """8, or 16 for deeper formats: what `Frame.image` has."""
    chroma: tuple[int, int]
    """log2 of how much narrower and lower chroma is: (1, 1) for 4:2:0."""
    rotation: int
    sar: Fraction | None


class Frame(NamedTuple):
    """A decoded frame: its time in units of the time base, and HWC RGB, uint8 or uint16."""

    pts: int
    image: np.ndarray


@contextlib.contextmanager
def opened(path: str | os.PathLike, *, demuxers: str = "") -> Iterator[InputContainer]:
    """Open a video file's container.

    Args:
        path: the file.
        demuxers: FFmpeg's names of those that may read it, with commas between; '' lets all.

    Raises:
        SrtoolboxError: no such file, or none with video that can be read.
    """
    av, name = library(), os.fspath(path)
    if not os.path.isfile(name):
        raise SrtoolboxError(f"{name}: no such video file")
    try:
        options = {"format_whitelist": demuxers} if demuxers else {}
        container = av.open(packed_animation(name) if is_moving_image(name) else name, options=options)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SrtoolboxError(f"{name}: no video that can be read ({reason})") from error
    with container:
        if not container.streams.video:
            raise SrtoolboxError(f"{name}: has no video stream")
        yield container


def packed_animation(path: str | os.PathLike) -> io.BytesIO:
    """Return an animated WebP or AVIF as a lossless video in memory, which FFmpeg can read."""
    av, file, time = library(), io.BytesIO(), 0
    frames = moving_frames(path)
    first = next(frames)
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(1000, first[1]))
        stream.height, stream.width = first[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "bgr0", _MILLISECOND
        for image, duration in itertools.chain([first], frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = time, _MILLISECOND
            time += duration
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    return file


def probe(path: str | os.PathLike) -> Video:
    """Return what a video declares; its first frame is decoded, as some only then tell all.

    Raises:
        SrtoolboxError: it cannot be read.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        first = next(_decoded(container, os.fspath(path)), None)
        if first is None:
            raise SrtoolboxError(f"{os.fspath(path)}: no frame in it can be decoded")
        if first.interlaced_frame:
            LOGGER.warning("%s is interlaced; its frames are upscaled as they are: deinterlace it first", path)
        form = first.format
        luma, chroma = form.components[0], form.components[min(1, len(form.components) - 1)]
        is_rgb = form.is_rgb or form.has_palette
        rate, base = stream.average_rate or stream.guessed_rate or Fraction(25), _time_base(stream)
        length = Fraction(container.duration, 1_000_000) if container.duration else None
        return Video(
            os.fspath(path), first.width, first.height, form.name, _colour(first, is_rgb), rate, base,
            stream.frames, stream.duration * base if stream.duration else length, 16 if luma.bits > 8 else 8,
            (0, 0) if is_rgb else (_shift(first.width, chroma.width), _shift(first.height, chroma.height)),
            first.rotation, stream.sample_aspect_ratio,
        )  # fmt: skip


def frames(video: Video, skip: int = 0) -> Iterator[Frame]:
    """Yield all frames of a video but the first `skip`, in order, with strictly rising times.

    Raises:
        SrtoolboxError: the file is damaged, or changes its size on the way.
    """
    with opened(video.path) as container:
        stream, last = container.streams.video[0], None
        stream.thread_type = "AUTO"
        step = max(1, round(1 / (video.rate * _time_base(stream))))
        to_rgb = None
        for number, frame in enumerate(_decoded(container, video.path)):
            pts = frame.pts if frame.pts is not None else (0 if last is None else last + step)
            last = pts = pts if last is None or pts > last else last + 1
            if number < skip:
                continue
            if (frame.width, frame.height, frame.format.name) != (video.width, video.height, video.pix_fmt):
                raise SrtoolboxError(
                    f"{video.path}: changes to {frame.width}x{frame.height} {frame.format.name} at frame {number}; "
                    "split it there"
                )
            to_rgb = to_rgb or _Converter(video, video.pix_fmt, _rgb_format(video))
            yield Frame(pts, to_rgb(frame).to_ndarray())


def frame_at(path: str | os.PathLike, seconds: float) -> np.ndarray:
    """Return the frame that a video shows so long after its first one, (H, W, 3) RGB, uint8 or uint16.

    Behind its end that is the last one. Only what lies between the key frame before and it is decoded.

    Raises:
        SrtoolboxError: the file cannot be read, or is damaged there.
    """
    video = probe(path)
    with opened(path) as container:
        stream = container.streams.video[0]
        wanted = (stream.start_time or 0) + (Fraction(seconds) - 1 / (2 * video.rate)) / video.time_base
        container.seek(max(0, int(wanted)), stream=stream)
        found = None
        for found in _decoded(container, video.path):
            if found.pts is None or found.pts >= wanted:
                break
        if found is None:
            raise SrtoolboxError(f"{video.path}: no frame can be decoded at {seconds:.2f} s")
        return _Converter(video, found.format.name, _rgb_format(video))(found).to_ndarray()


def _rgb_format(video: Video) -> str:
    return "rgb48le" if video.bits == 16 else "rgb24"


class Encodable:
    """RGB images as frames for an encoder, in the video's own chroma format and colours.

    Args:
        video: what the images were made of.
        width, height: their size.

    Raises:
        SrtoolboxError: no video has this size.
    """

    def __init__(self, video: Video, width: int, height: int) -> None:
        names = {(1, 1): "yuv420p", (1, 0): "yuv422p"}
        self.format = names.get(video.chroma, "yuv444p") + ("10le" if video.bits == 16 else "")
        cells = [1 << shift for shift in video.chroma] if video.chroma in names else [1, 1]
        self.size = width - width % cells[0], height - height % cells[1]
        if not 0 < min(self.size) <= max(self.size) <= MAX_SIDE:
            raise SrtoolboxError(
                f"{video.path}: would become {width}x{height}; a video has {max(cells)} ... {MAX_SIDE} px a side"
            )
        self.colour = video.colour
        self._source = _rgb_format(video)
        cut = video._replace(width=self.size[0], height=self.size[1])
        self._convert = _Converter(cut, self._source, self.format)

    def __call__(self, image: np.ndarray) -> VideoFrame:
        """Return the frame of an image, without an odd row or column that chroma cannot have."""
        width, height = self.size
        frame = library().VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format=self._source)
        return self._convert(frame)


class _Converter:
    """Frames of a video's size and colours from one format into another; one of the two is RGB."""

    def __init__(self, video: Video, source: str, target: str) -> None:
        matrix = _MATRICES.get(video.colour.matrix, "bt709")
        limits = "pc" if video.colour.range == _FULL else "tv"
        into_rgb = target.startswith("rgb")
        way = "in" if into_rgb else "out"
        options = f"{way}_color_matrix={matrix}:{way}_range={limits}:{'out' if into_rgb else 'in'}_range=pc"
        if source.startswith(("rgb", "bgr", "gbr", "pal", "argb", "abgr")) and into_rgb:
            options = "in_range=pc:out_range=pc"
        self._graph = library().filter.Graph()
        size = f"video_size={video.width}x{video.height}:pix_fmt={source}:time_base=1/1000:pixel_aspect=1/1"
        scale = f"{options}:flags={_FLAGS}"
        steps = [("buffer", size), ("scale", scale), ("format", target), ("buffersink", None)]
        self._graph.link_nodes(*(self._graph.add(*step) for step in steps)).configure()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        frame.pts, frame.time_base = None, _MILLISECOND
        self._graph.vpush(frame)
        return self._graph.vpull()


def _decoded(container: InputContainer, name: str) -> Iterator[VideoFrame]:
    av = library()
    try:
        yield from container.decode(container.streams.video[0])
    except av.FFmpegError as error:
        raise SrtoolboxError(
            f"{name}: damaged: cannot be decoded to its end ({error.strerror}). Repair it, or cut it before the fault"
        ) from error


def _colour(frame: VideoFrame, is_rgb: bool) -> Colour:
    matrix, limits = int(frame.colorspace), int(frame.color_range)
    if matrix not in _MATRICES:
        if matrix not in (_UNKNOWN, _RGB, 3):
            LOGGER.warning("colours of matrix %d are not known here; taken as BT.709", matrix)
        matrix = _BT709 if is_rgb or frame.height >= _HD_LINES else _BT601
    if limits not in (_LIMITED, _FULL) or is_rgb:
        limits = _FULL if frame.format.name.startswith("yuvj") else _LIMITED
    return Colour(matrix, limits, int(frame.color_primaries), int(frame.color_trc))


def _shift(luma: int, chroma: int) -> int:
    return max(0, round(luma / max(1, chroma)).bit_length() - 1)


def _time_base(stream: VideoStream) -> Fraction:
    assert stream.time_base is not None, "streams of files have one"
    return stream.time_base
