"""Small clips of a moving photograph, with sound, made by PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data

TIME_BASE = Fraction(1, 12800)


def make_clip(
    path: Path,
    *,
    pts: Sequence[int] | None = None,
    number: int = 25,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    colour: tuple[int, int, int, int] = (1, 1, 1, 1),
    audio: str | None = "aac",
    rotation: int = 0,
    codec: str = "libx264",
) -> Path:
    """A clip of `number` frames at the times `pts` (25 a second by default), colours as (matrix, range, primaries,
    transfer).
    """
    import av

    photo = skimage.data.chelsea()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "5"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = colour
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream(audio, rate=16000) if audio else None
        for frame in range(number if pts is None else len(pts)):
            view = photo[frame : frame + size[1], 2 * frame : 2 * frame + size[0]]
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24").reformat(format=pix_fmt)
            image.pts, image.time_base = frame * 512 if pts is None else pts[frame], TIME_BASE
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
        if sound is not None:
            _add_tone(container, sound, 16000 * (number if pts is None else len(pts)) // 25)
    return path


def _add_tone(container: Any, sound: Any, samples: int) -> None:
    import av

    for start in range(0, samples, 1024):
        wave = (np.sin(np.arange(start, start + 1024) * 0.1) * 0.3).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 16000, start
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def frames_of(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """(seconds, RGB) of every frame."""
    import av

    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def packets_of(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(seconds, bytes) of every packet of the first stream of a kind."""
    import av

    with av.open(str(path)) as container:
        stream = next(each for each in container.streams if each.type == kind)
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]
