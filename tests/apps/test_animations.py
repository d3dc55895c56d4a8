"""Animated images through `upscale_video`, as the error of `upscale` promises."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srtoolbox.apps.video.frames import frames, probe
from srtoolbox.apps.video.parts import Encoding
from srtoolbox.apps.video.upscale import upscale_video
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image.reading import is_moving_image, moving_frames
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.registry import NETWORKS

av = pytest.importorskip("av", reason="needs the extra 'video'")
DURATIONS = [100, 200, 300, 100]
OPTIONS = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}


def animation(path: Path, photo: np.ndarray) -> list[np.ndarray]:
    """Four frames of few colours, which a GIF holds exactly; as Pillow reads them back."""
    shown = [Image.fromarray(np.ascontiguousarray(np.roll(photo[:48, :64] // 64 * 64, 7 * n, 1))) for n in range(4)]
    kind = path.suffix[1:].upper()
    shown[0].save(
        path, kind, save_all=True, append_images=shown[1:], duration=DURATIONS, loop=0, **OPTIONS.get(kind, {})
    )
    with Image.open(path) as stored:
        return [np.array(_frame(stored, number)) for number in range(4)]


def _frame(image: Image.Image, number: int) -> Image.Image:
    image.seek(number)
    return image.convert("RGB")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
def test_all_frames_with_their_times(suffix: str, tmp_path: Path, photo: np.ndarray) -> None:
    source, target = tmp_path / f"moving{suffix}", tmp_path / "moving.mkv"
    stored = animation(source, photo)
    read = list(frames(probe(source)))
    assert all(np.array_equal(frame.image, image) for frame, image in zip(read, stored, strict=True))
    upscaler = Upscaler(NETWORKS.build({"type": "Bicubic", "scale": 2}))
    done = upscale_video(upscaler, source, target, encoding=Encoding("ffv1", None))
    assert (done.frames, done.size) == (4, (128, 96))
    written = probe(target)
    result = list(frames(written))
    steps = np.diff([float(frame.pts * written.time_base) for frame in result])
    assert np.allclose(steps, [0.1, 0.2, 0.3], atol=0.002)
    for frame, image in zip(result, stored, strict=True):  # RGB became YCbCr of 8 bits
        assert np.abs(frame.image.astype(int) - upscaler(image)).max() <= 3


def test_only_moving_images_take_the_way_through_pillow(tmp_path: Path, photo: np.ndarray) -> None:
    for suffix, moves in ((".webp", True), (".avif", True), (".gif", False), (".png", False)):
        animation(tmp_path / f"moving{suffix}", photo)
        Image.fromarray(photo).save(tmp_path / f"still{suffix}")
        assert is_moving_image(tmp_path / f"moving{suffix}") is moves and not is_moving_image(
            tmp_path / f"still{suffix}"
        )
    assert not is_moving_image(tmp_path) and not is_moving_image(tmp_path / "none.webp")
    assert [duration for _, duration in itertools.islice(moving_frames(tmp_path / "moving.webp"), 4)] == DURATIONS


def test_a_damaged_animation_is_one_error(tmp_path: Path, photo: np.ndarray) -> None:
    for suffix in (".webp", ".avif"):
        path = tmp_path / f"moving{suffix}"
        animation(path, photo)
        path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])
        with pytest.raises(SrtoolboxError, match=rf"^{path}: damaged"):
            probe(path)
