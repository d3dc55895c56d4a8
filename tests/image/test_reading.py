"""Every rule of reading against Pillow, numpy or tifffile."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from srtoolbox.errors import ImageError
from srtoolbox.image import (
    decode_image,
    image_shape,
    read_image,
)
from tests.image.samples import RGB, RGB16, mode, png_chunks, raw_png, saved

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in MODES.items() for name in names])
def test_modes_equal_pillow(tmp_path: Path, kind: str, name: str) -> None:
    data = saved(mode(name), kind)
    path = tmp_path / "image.bin"  # the content decides, not the suffix
    path.write_bytes(data)
    read = read_image(path)
    stored = Image.open(io.BytesIO(data))
    if name in ("1", "L", "LA", "I;16"):
        expected = np.array(stored.convert("L") if name == "1" else stored)
        expected = expected[..., :1] if expected.ndim == 3 else expected[..., None]
    else:
        expected = np.array(stored.convert("RGB"))
    assert np.array_equal(read, expected)
    assert read.dtype == (np.uint16 if name == "I;16" else np.uint8)
    assert read.flags.c_contiguous
    assert read.flags.writeable
    assert image_shape(path) == read.shape
    assert np.array_equal(decode_image(data, "x"), read)
    if kind != "JPEG" and name in ("RGB", "RGBA"):  # colours under transparent pixels are as they were given
        assert np.array_equal(read, RGB)


def test_sixteen_bit_colour_and_alpha_png() -> None:
    assert np.array_equal(decode_image(raw_png(RGB16.reshape(11, -1), 2, 16), "x"), RGB16)
    rgba = np.dstack([RGB16, RGB16[..., :1] // 2])
    assert np.array_equal(decode_image(raw_png(rgba.reshape(11, -1), 6, 16), "x"), RGB16)
    assert np.array_equal(decode_image(raw_png(RGB16[..., :2].reshape(11, -1), 4, 16), "x"), RGB16[..., :1])
    transparent = (b"tRNS", RGB16[0, 0].astype(">u2").tobytes())
    assert np.array_equal(decode_image(raw_png(RGB16.reshape(11, -1), 2, 16, transparent), "x"), RGB16)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_of_gray_are_spread_over_the_range(depth: int) -> None:
    per_byte = 8 // depth
    values = np.random.default_rng(depth).integers(0, 2**depth, (5, 4 * per_byte))
    packed = sum(values[:, i::per_byte] << (8 - depth * (i + 1)) for i in range(per_byte))
    expected = (values * (255 // (2**depth - 1)))[..., None]
    assert np.array_equal(decode_image(raw_png(packed, 0, depth), "x"), expected)


def test_transparent_colours_are_dropped_as_alpha_is() -> None:
    palette = RGB.reshape(-1, 3)[:16]
    index = np.random.default_rng(4).integers(0, 16, (6, 9))
    extra = [(b"PLTE", palette.tobytes()), (b"tRNS", bytes([0, 128, 255, 7]))]
    assert np.array_equal(decode_image(raw_png(index, 3, 8, *extra), "x"), palette[index])
    colour_key = (b"tRNS", RGB[0, 0].astype(">u2").tobytes())
    assert np.array_equal(decode_image(raw_png(RGB.reshape(11, -1), 2, 8, colour_key), "x"), RGB)
    gray_key = (b"tRNS", RGB[0, 0, :1].astype(">u2").tobytes())
    assert np.array_equal(decode_image(raw_png(RGB[..., 0], 0, 8, gray_key), "x"), RGB[..., :1])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(mode("RGB"), kind, exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert expected.shape == ((14, 11, 3) if orientation >= 5 else (11, 14, 3))
    (tmp_path / "x").write_bytes(data)
    assert np.array_equal(read_image(tmp_path / "x"), expected)
    assert image_shape(tmp_path / "x") == expected.shape


def test_exif_of_a_png_may_follow_the_pixels_and_be_broken() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    ihdr, idat = raw_png(RGB.reshape(11, -1), 2, 8)[8:33], raw_png(RGB.reshape(11, -1), 2, 8)[33:-12]
    end = png_chunks((b"IEND", b""))[8:]
    late = png_chunks((b"eXIf", exif.tobytes()[6:]))[8:]
    assert np.array_equal(decode_image(png_chunks()[:8] + ihdr + idat + late + end, "x"), np.rot90(RGB, -1))
    broken = png_chunks((b"eXIf", b"II*\0\xff\xff\xff\xff"))[8:]
    assert np.array_equal(decode_image(png_chunks()[:8] + ihdr + broken + idat + end, "x"), RGB)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"bigtiff": True}])
@pytest.mark.parametrize("array", [RGB, RGB[..., 0], RGB16, RGB16[..., 0]], ids=["rgb8", "gray8", "rgb16", "gray16"])
def test_tiff_against_tifffile(array: np.ndarray, options: dict, orientation: int) -> None:
    buffer = io.BytesIO()
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(buffer, array, photometric=photometric, extratags=tags, **options)
    expected = np.rot90(array, {1: 0, 3: 2, 6: -1}[orientation]).reshape(-1, *([1, 1] if array.ndim == 2 else [1, 3]))
    read = decode_image(buffer.getvalue(), "x")
    assert read.dtype == array.dtype
    assert np.array_equal(read.reshape(expected.shape), expected)


def test_tiff_layouts_are_right_or_refused() -> None:
    def written(array: np.ndarray, **options: object) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        return buffer.getvalue()

    planes = np.moveaxis(RGB, 2, 0)
    separate = written(planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(decode_image(separate, "x"), RGB)
    white = written(RGB[..., 0], photometric="miniswhite")
    assert np.array_equal(decode_image(white, "x"), 255 - RGB[..., :1])
    half = np.full_like(RGB[..., :1], 128)
    premultiplied = written(np.dstack([RGB // 2, half]), photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(decode_image(premultiplied, "x").astype(int) - RGB).max() <= 2
    refused = [
        written(np.dstack([RGB16, RGB16[..., :1]]), photometric="rgb", extrasamples=["assocalpha"]),
        written(np.moveaxis(RGB16, 2, 0), photometric="rgb", planarconfig="separate"),
        written(RGB16[..., 0], photometric="miniswhite"),
        written(RGB.astype(np.float32) / 255, photometric="rgb"),
        written(RGB[..., 0].astype(np.float32)),
        written(RGB.astype(np.int16), photometric="rgb"),
        written(RGB[..., 0].astype(np.uint32)),
        written(np.stack([RGB, RGB]), photometric="rgb"),
    ]
    for data in refused:
        with pytest.raises(ImageError, match=r"^bad\.tif: .*(save|replace)"):
            decode_image(data, "bad.tif")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_images_in_one_file_are_refused(kind: str) -> None:
    data = saved(mode("RGB"), kind, save_all=True, append_images=[Image.fromarray(255 - RGB)])
    with pytest.raises(ImageError, match=r"film: .*save the"):
        decode_image(data, "film")


def test_previews_appended_by_cameras_are_ignored() -> None:
    data = saved(mode("RGB"), "MPO", save_all=True, append_images=[mode("L")])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.array_equal(decode_image(data, "x"), np.array(Image.open(io.BytesIO(data))))


@pytest.mark.data
def test_real_images_equal_pillow(data_root: Path) -> None:
    images = [data_root / "Set5/HR/X4" / name for name in sorted(os.listdir(data_root / "Set5/HR/X4"))]
    images += sorted((data_root / "Set14/HR/X3").iterdir()) + sorted((data_root / "BSDS500/test").iterdir())[:5]
    for path in images:
        expected = np.array(Image.open(path))
        expected = expected if expected.ndim == 3 else expected[..., None]
        assert np.array_equal(read_image(path), expected), path
        assert image_shape(path) == expected.shape
