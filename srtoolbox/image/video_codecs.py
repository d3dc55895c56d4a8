"""Video codecs by PyAV, an extra: an image as the last frame of a clip, coded and decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import ModuleType
from typing import NamedTuple

import cv2
import numpy as np

from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image.filtering import mirrored
from srtoolbox.image.tensors import expand_gray


class VideoCodec(NamedTuple):
    """A codec as FFmpeg has it.

    Attributes:
        encoder, decoder: FFmpeg's names.
        limits: least and greatest quantiser: CRF, or of MPEG the scale of the steps.
        options: the encoder's, of a quantiser.
        least_side: smaller images are filled up to this, in pixels.
    """

    encoder: str
    decoder: str
    limits: tuple[int, int]
    options: Callable[[int], Mapping[str, str]]
    least_side: int = 16


def _fixed_scale(quantiser: int) -> dict[str, str]:
    return {"qmin": str(quantiser), "qmax": str(quantiser)}


# Without a look ahead: with one, x264 and x265 do not always make the same bytes of a clip.


def _x264(quantiser: int) -> dict[str, str]:
    return {"crf": str(quantiser), "tune": "zerolatency"}


def _x265(quantiser: int) -> dict[str, str]:
    return {"crf": str(quantiser), "tune": "zerolatency", "x265-params": "pools=none:frame-threads=1:log-level=none"}


def _vpx(quantiser: int) -> dict[str, str]:
    fast = {"deadline": "realtime", "cpu-used": "6"}
    return {"crf": str(quantiser), "b": "0", "lag-in-frames": "0", "auto-alt-ref": "0", **fast}


VIDEO_CODECS = {
    "h264": VideoCodec("libx264", "h264", (0, 51), _x264),
    # of images of a single block of 64 x 64 x265 does not, either
    "hevc": VideoCodec("libx265", "hevc", (0, 51), _x265, least_side=128),
    "mpeg1": VideoCodec("mpeg1video", "mpeg1video", (1, 31), _fixed_scale),
    "mpeg2": VideoCodec("mpeg2video", "mpeg2video", (1, 31), _fixed_scale),
    "mpeg4": VideoCodec("mpeg4", "mpeg4", (1, 31), _fixed_scale),
    "vp9": VideoCodec("libvpx-vp9", "vp9", (0, 63), _vpx),
}


def library() -> ModuleType:
    """Return PyAV; raise a SrtoolboxError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise SrtoolboxError(f"videos need the package av: pip install 'srtoolbox[video]' ({error})") from error
    # Errors come as exceptions. With any other level FFmpeg's threads wait for Python to log what
    # they meet, while Python may be waiting for these threads to end: a deadlock when a decoder is
    # closed in the midst of a video.
    av.logging.set_level(None)
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder has a log of its own: errors alone
    return av


def require_encoder(name: str) -> None:
    """Raise a SrtoolboxError unless PyAV is installed and can encode by this of `VIDEO_CODECS`."""
    av = library()
    try:
        av.codec.Codec(VIDEO_CODECS[name].encoder, "w")
    except ValueError as error:  # av.codec.codec.UnknownCodecError is one
        encoder = VIDEO_CODECS[name].encoder
        raise SrtoolboxError(f"the package av was built without the encoder {encoder} for {name}") from error


def compress_as_video(
    image: np.ndarray, codec: str, quantiser: int, frames: int = 1, motion: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Return the image as the last frame of a clip holds it, 4:2:0, in which it moves.

    Args:
        image: (H, W, C) uint8, of any size.
        codec: one of `VIDEO_CODECS`.
        quantiser: within the codec's limits; the higher, the worse.
        frames: of the clip. Of 1 the image is coded in itself, of more it is predicted from those
            before.
        motion: rows and columns by which the image moves from frame to frame.

    Raises:
        ImageError: the codec holds no image as large as this.
    """
    kind, (height, width) = VIDEO_CODECS[codec], image.shape[:2]
    size = (max(height + height % 2, kind.least_side), max(width + width % 2, kind.least_side))
    left = range(frames - 1, -1, -1)
    clip = [_moved(image, size, (time * motion[0], time * motion[1])) for time in left]
    try:
        result = _last_frame(clip, kind, quantiser)
    except library().FFmpegError as error:
        raise ImageError(f"{codec} cannot hold an image of {width}x{height} px ({error})") from error
    result = result[:height, :width]
    return result if image.shape[2] == 3 else np.rint(result.mean(2, keepdims=True)).astype(np.uint8)


def _last_frame(clip: Sequence[np.ndarray], kind: VideoCodec, quantiser: int) -> np.ndarray:
    """Encode a clip of images in RGB, of even sides, and decode it; return the last."""
    av = library()
    encoder = av.CodecContext.create(kind.encoder, "w")
    encoder.height, encoder.width = clip[0].shape[:2]
    encoder.pix_fmt, encoder.thread_count = "yuv420p", 1
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = dict(kind.options(quantiser))
    packets = []
    for time, image in enumerate(clip):
        frame = av.VideoFrame.from_ndarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
        frame.pts = time
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create(kind.decoder, "r")
    decoder.thread_count = 1
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    # swscale would make the image darker by a level
    return cv2.cvtColor(decoded[-1].to_ndarray(), cv2.COLOR_YUV2RGB_I420)


def _moved(image: np.ndarray, size: tuple[int, int], by: tuple[int, int]) -> np.ndarray:
    """Return an image in RGB from so many rows and columns further on, filled up to `size`.

    It goes on mirrored, for repeated edges would be seen as streaks; what fills it up repeats its
    edge.
    """
    rows, columns = (
        mirrored(np.minimum(np.arange(whole), length - 1) + shift, length)
        for whole, shift, length in zip(size, by, image.shape[:2], strict=True)
    )
    return expand_gray(image[rows[:, None], columns])
