"""What is written is read back; what cannot be written is refused."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image import decode_image, encode_image, read_image, write_image
from srtoolbox.image.metadata import Metadata
from srtoolbox.image.streaming import Form, _distances, _filtered, _strategy_for, write_png
from tests.image.samples import RGB, RGB16, SMOOTH


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".bmp", ".webp"])
@pytest.mark.parametrize("image", [RGB, RGB[..., :1], RGB[..., 0], RGB16, RGB16[..., :1], RGB[::-1, ::-1]])
def test_lossless_formats_give_back_what_was_written(tmp_path: Path, suffix: str, image: np.ndarray) -> None:
    path = tmp_path / "sub" / f"x{suffix}"
    if image.dtype == np.uint16 and suffix.lower() in (".bmp", ".webp"):
        with pytest.raises(ImageError, match=rf"x\{suffix}: .*8 bits.*use \.png"):
            write_image(path, image)
        assert not path.exists()
        return
    write_image(path, image)
    expected = image if image.ndim == 3 else image[..., None]
    read = read_image(path)
    assert np.array_equal(read, np.repeat(expected, 3, 2) if suffix == ".webp" and expected.shape[2] == 1 else expected)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # no temporary file is left


def test_jpeg_quality_and_colour_resolution(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jpg", SMOOTH)
    assert np.abs(read_image(tmp_path / "x.jpg").astype(int) - SMOOTH).max() <= 6
    stored = Image.open(tmp_path / "x.jpg")
    assert stored.layer[0][1:3] == stored.layer[1][1:3] == (1, 1)  # no chroma subsampling
    assert len(encode_image(SMOOTH, ".jpg", quality=20)) < len(encode_image(SMOOTH, ".jpg", quality=95))
    assert len(encode_image(RGB, ".webp", quality=20)) < len(encode_image(RGB, ".webp"))
    write_image(tmp_path / "gray.jpg", SMOOTH[..., :1])
    assert read_image(tmp_path / "gray.jpg").shape == (48, 40, 1)


@pytest.mark.parametrize(
    ("name", "image", "options", "words"),
    [
        ("x.gif", RGB, {}, "no format for suffix"),
        ("x", RGB, {}, "no format for suffix"),
        ("x.png", RGB.astype(np.float32), {}, "float32.*to_image"),
        ("x.png", RGB[..., :2], {}, "C = 1 or 3"),
        ("x.png", RGB[None], {}, "C = 1 or 3"),
        ("x.png", RGB[:0], {}, "C = 1 or 3"),
        ("x.jpg", RGB16, {}, "8 bits"),
        ("x.webp", np.zeros((2, 16384, 3), np.uint8), {}, "16383"),
        ("x.jpg", np.zeros((65536, 1, 1), np.uint8), {}, "65535"),
        ("x.png", RGB, {"quality": 90}, "quality"),
        ("x.jpg", RGB, {"quality": 0}, "quality"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, image: np.ndarray, options: dict, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        write_image(tmp_path / name, image, **options)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_image(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", RGB)
    with pytest.raises(ImageError):
        write_image(tmp_path / "x.png", RGB.astype(float))
    assert np.array_equal(read_image(tmp_path / "x.png"), RGB)
    with pytest.raises(SrtoolboxError, match=r"x\.png"):
        write_image(tmp_path / "x.png" / "below.png", RGB)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (40, 3000)])
def test_the_distances_of_rows_to_their_neighbours_are_summed_exactly(shape: tuple[int, int]) -> None:
    for rows in (np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.full(shape, 128, np.uint8)):
        assert _distances(rows).tolist() == [sum(min(int(byte), 256 - int(byte)) for byte in row) for row in rows]


def _png_of(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    write_png(file, [image], Form(*image.shape, 8 * image.dtype.itemsize), Metadata())
    return file.getvalue()


def test_a_png_is_no_larger_than_that_of_cv2(photo: np.ndarray) -> None:
    large = cv2.resize(photo[:64, :64], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    for image in (photo, photo[..., :1], large, np.zeros_like(large), photo.astype(np.uint16) * 257):
        data = _png_of(image)
        assert np.array_equal(decode_image(data, "x"), image)
        assert len(data) <= len(encode_image(image))


@pytest.mark.parametrize(("channels", "strategy"), [([0, 1, 2], zlib.Z_RLE), ([0, 0, 0], zlib.Z_DEFAULT_STRATEGY)])
def test_photographs_are_packed_by_their_runs_and_gray_in_three_channels_by_all_that_repeats(
    channels: list[int], strategy: int, photo: np.ndarray
) -> None:
    rows = np.ascontiguousarray(photo[..., channels]).reshape(len(photo), -1)
    filtered = _filtered(rows, np.zeros(rows.shape[1], np.uint8), 3).reshape(-1)
    assert _strategy_for(filtered) == strategy
