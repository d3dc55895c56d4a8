"""image: every reading rule against Pillow, numpy or tifffile; damage of every kind; writing; tensors; colour."""

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.color
import tifffile
import torch
from PIL import Image, ImageOps

from srtoolbox import image as module
from srtoolbox.errors import ImageError, SrtoolboxError
from srtoolbox.image import (
    batch_to_float,
    decode_image,
    encode_image,
    expand_gray,
    image_shape,
    read_image,
    rgb_to_y,
    rgb_to_ycbcr,
    to_image,
    to_tensor,
    write_image,
    ycbcr_to_rgb,
)
from srtoolbox.image.file_types import list_images
from srtoolbox.image.tensors import batch_to_y

RGB = np.random.default_rng(0).integers(0, 256, (11, 14, 3), dtype=np.uint8)
RGB16 = np.random.default_rng(1).integers(0, 65536, (11, 14, 3), dtype=np.uint16)
SMOOTH = np.linspace(0, 255, 48 * 40 * 3).reshape(48, 40, 3).astype(np.uint8)
LOSSLESS = {"WEBP": {"lossless": True, "exact": True}}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **{**LOSSLESS.get(kind, {}), **options})
    return buffer.getvalue()


def mode(name: str) -> Image.Image:
    """An image of each Pillow mode; where there is alpha it has both 0 and 255 and values between."""
    gray, alpha = Image.fromarray(RGB[..., 0]), Image.fromarray(np.where(RGB[..., 1] < 90, 0, RGB[..., 1]))
    colour = Image.fromarray(RGB)
    makers: dict[str, Callable[[], Image.Image]] = {
        "1": lambda: Image.fromarray(RGB[..., 0] > 127),
        "L": lambda: gray,
        "LA": lambda: Image.merge("LA", (gray, alpha)),
        "P": lambda: colour.quantize(40),
        "RGB": lambda: colour,
        "RGBA": lambda: Image.merge("RGBA", (*colour.split(), alpha)),
        "CMYK": lambda: colour.convert("CMYK"),
        "I;16": lambda: Image.fromarray(RGB16[..., 0]),
    }
    return makers[name]()


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def raw_png(array: np.ndarray, colour: int, depth: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand: big-endian rows with filter 0. `array` is (H, bytes or values per row)."""
    rows = array.astype(">u2") if depth == 16 else array.astype(np.uint8)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    bits_per_row = rows[0].nbytes * 8
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", bits_per_row // (depth * channels), len(rows), depth, colour, 0, 0, 0)
    return png_chunks((b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b""))


# ---- what is read


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


# ---- what is refused


def refused(path: Path, words: str) -> None:
    """One ImageError that names the file and says what is wrong, from both ways to look at it."""
    for look in (read_image, image_shape):
        with pytest.raises(ImageError, match=words) as caught:
            look(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_things_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "is a folder")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty.*replace")
    (tmp_path / "text.png").write_text("this is not an image, but long enough to look at")
    refused(tmp_path / "text.png", "PNG, TIFF, WEBP.*save it as PNG")
    refused(tmp_path / "absent.png", "No such file")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path / "link.png", "broken link to .*gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    refused(tmp_path / "loop.png", "link")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "not a regular file")
    refused(tmp_path / "empty.png" / "below.png", "Not a directory")
    for kind in ("PPM", "ICO"):
        (tmp_path / "other.png").write_bytes(saved(mode("RGB"), kind))
        refused(tmp_path / "other.png", "is of the format (PNM|icon), .*save it as PNG")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", RGB)
    (tmp_path / "x.png").chmod(0)
    refused(tmp_path / "x.png", "Permission")


def containers() -> dict[str, bytes]:
    image = Image.fromarray(SMOOTH)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, RGB16, photometric="rgb")
    return {
        "png": saved(image, "PNG"),
        "palette.png": saved(image.quantize(30), "PNG"),
        "16.png": raw_png(RGB16.reshape(11, -1), 2, 16),
        "jpg": saved(image, "JPEG", quality=60),
        "progressive.jpg": saved(image, "JPEG", quality=60, progressive=True),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG", quality=60),
        "bmp": saved(Image.fromarray(RGB), "BMP"),
        "webp": saved(image, "WEBP"),
        "lossy.webp": saved(image, "WEBP", lossless=False),
        "tif": saved(Image.fromarray(RGB), "TIFF"),
        "deflated.tif": saved(image, "TIFF", compression="tiff_adobe_deflate"),
        "16.tif": buffer.getvalue(),
        "gif": saved(image.quantize(30), "GIF"),
        "avif": saved(image, "AVIF", quality=60),
    }


@pytest.mark.parametrize("name", containers())
def test_no_truncated_file_is_accepted(name: str) -> None:
    """Cut at every byte: refused, or (metadata stored after the pixels cut off) read whole."""
    data = containers()[name]
    whole = decode_image(data, name)
    accepted = []
    for length in range(len(data)):
        try:
            image = decode_image(data[:length], name)
        except ImageError as error:
            assert str(error).startswith(f"{name}: ")
        else:
            accepted.append(length)
            assert np.array_equal(image, whole), length
    assert len(accepted) <= (0 if "png" in name or "jpg" in name else 4), accepted


@pytest.mark.parametrize("name", containers())
def test_mutated_files_never_escape(name: str) -> None:
    """Flipped bytes and splices give an image or one ImageError; for PNG never another image."""
    data = containers()[name]
    whole = decode_image(data, name)
    dice = random.Random(name)
    for _ in range(60):
        bad = bytearray(data)
        if dice.random() < 0.5:
            for _ in range(dice.choice([1, 1, 2, 8])):
                bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        else:
            start = dice.randrange(len(bad))
            del bad[start : start + dice.randrange(1, 40)]
        try:
            image = decode_image(bytes(bad), name)
        except ImageError as error:
            assert str(error).startswith(f"{name}: ")
        else:
            assert image.dtype in (np.uint8, np.uint16)
            assert image.ndim == 3
            if name.endswith("png"):  # every chunk carries a CRC
                assert np.array_equal(image, whole)


def test_bombs_are_refused_before_allocation(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(2**20))
    bombs = {
        "bomb.png": png_chunks((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")),
        "bomb.jpg": saved(Image.fromarray(SMOOTH), "JPEG").replace(
            struct.pack(">HH", 48, 40), struct.pack(">HH", 60_000, 60_000)
        ),
        "bomb.bmp": saved(mode("RGB"), "BMP").replace(struct.pack("<ii", 14, 11), struct.pack("<ii", 50_000, 50_000)),
        "palette.png": png_chunks(
            (b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 3, 0, 0, 0)),
            (b"PLTE", bytes(6)),
            (b"IDAT", rows),
            (b"IEND", b""),
        ),
    }
    before = peak_memory()
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, "pixels.*split it")
    assert peak_memory() - before < 100 * 2**20


def peak_memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_too_little_memory_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    write_image(tmp_path / "x.png", RGB)
    monkeypatch.setattr("srtoolbox.image.reading._decode_by_cv2", fail)
    with pytest.raises(ImageError, match=r"x\.png: memory does not suffice"):
        read_image(tmp_path / "x.png")


def test_file_larger_than_any_image(tmp_path: Path) -> None:
    with open(tmp_path / "x.png", "wb") as file:
        file.truncate(module.MAX_BYTES + 1)  # a hole: takes no room
    refused(tmp_path / "x.png", "bytes, more than")


# ---- listing


def test_list_images(tmp_path: Path) -> None:
    for name in (
        "b.png",
        "a.JPG",
        "sub/c.tiff",
        "sub/deep/d.webp",
        "sub.x/e.bmp",
        "f.txt",
        ".g.png",
        ".h/i.png",
        "j.jpeg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "k.png").touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "sub" / "self").symlink_to(tmp_path / "sub" / "self")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    names = ["a.JPG", "b.png", "dangling.png", "folder.png/k.png", "j.jpeg"]
    names += ["sub.x/e.bmp", "sub/c.tiff", "sub/deep/d.webp"]
    assert [path.as_posix() for path in list_images(tmp_path)] == names
    with pytest.raises(ImageError, match="absent: no such folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(ImageError, match=r"b\.png: not a folder"):
        list_images(tmp_path / "b.png")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "data" / "real" / "x.png").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "one").symlink_to(tmp_path / "data")
    assert [path.as_posix() for path in list_images(tmp_path / "top")] == ["one/real/x.png"]


# ---- writing


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


# ---- tensors


@pytest.mark.parametrize("image", [RGB, RGB[..., :1], RGB16, RGB16[..., :1]])
def test_tensor_round_trip(image: np.ndarray) -> None:
    peak, bits = np.iinfo(image.dtype).max, np.iinfo(image.dtype).bits
    image.flags.writeable = False
    tensor = to_tensor(image)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert torch.equal(tensor[0].permute(1, 2, 0), torch.from_numpy((image / np.float32(peak)).astype(np.float32)))
    assert np.array_equal(to_image(tensor, bits=bits), image)
    assert np.array_equal(to_image(tensor[0], bits=bits), image)
    batch = torch.from_numpy(np.stack([image, image[::-1]]))
    assert torch.equal(batch_to_float(batch)[:1], tensor)
    assert torch.equal(batch_to_float(batch)[1], tensor[0].flip(1))
    assert torch.equal(to_tensor(image[..., 0]), tensor[:, :1])


@pytest.mark.parametrize("image", [RGB, RGB16])
def test_the_luma_of_a_batch_is_that_of_its_floats(image: np.ndarray) -> None:
    batch = torch.from_numpy(np.stack([image, image[::-1]]))
    expected = rgb_to_y(batch_to_float(batch))
    luma = batch_to_y(batch)
    assert luma.shape == expected.shape
    assert luma.is_contiguous()
    assert torch.allclose(luma, expected, rtol=0, atol=2e-7)
    assert torch.equal(batch_to_y(batch.transpose(1, 2)), luma.transpose(2, 3))  # laid out otherwise
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(batch_to_y(batch), expected)
    with pytest.raises(SrtoolboxError, match=r"\(N, H, W, 3\)"):
        batch_to_y(batch[..., :1])


def test_to_image_rounds_and_clips() -> None:
    levels = torch.tensor([-3.0, 0.4, 0.6, 254.4, 254.6, 300.0, float("inf"), float("-inf")])
    assert to_image(levels.view(1, 2, 4) / 255).ravel().tolist() == [0, 0, 1, 254, 255, 255, 255, 0]
    assert to_image(torch.ones(1, 3, 2, 2, requires_grad=True).bfloat16()).tolist() == [[[255] * 3] * 2] * 2


def test_misuse_of_tensors_is_named() -> None:
    with pytest.raises(SrtoolboxError, match="float32"):
        batch_to_float(torch.zeros(1, 2, 2, 3))
    with pytest.raises(SrtoolboxError, match="one image"):
        to_image(torch.zeros(2, 3, 4, 4))
    with pytest.raises(SrtoolboxError, match="12"):
        to_image(torch.zeros(3, 4, 4), bits=12)
    for convert in (rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb):
        with pytest.raises(SrtoolboxError, match=r"\(N, 3, H, W\)"):
            convert(torch.zeros(1, 1, 4, 4))


def test_expand_gray() -> None:
    assert np.array_equal(expand_gray(RGB[..., :1]), np.dstack([RGB[..., 0]] * 3))
    assert expand_gray(RGB) is RGB


# ---- colour


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 3e-7)])
def test_colour_against_skimage(dtype: torch.dtype, tolerance: float) -> None:
    values = np.concatenate([np.eye(3), 1 - np.eye(3), np.zeros((1, 3)), np.ones((1, 3)), np.random.rand(92, 3)])
    rgb = torch.from_numpy(values).to(dtype).T.reshape(1, 3, 10, 10)
    expected = torch.from_numpy(skimage.color.rgb2ycbcr(values) / 255).T.reshape(1, 3, 10, 10)
    assert (rgb_to_ycbcr(rgb) - expected).abs().max() <= tolerance
    assert (rgb_to_y(rgb) - expected[:, :1]).abs().max() <= tolerance
    assert rgb_to_y(rgb).dtype == dtype
    assert (ycbcr_to_rgb(rgb_to_ycbcr(rgb)) - rgb).abs().max() <= 10 * tolerance


def test_gray_has_neutral_chroma_and_known_ends() -> None:
    ycbcr = rgb_to_ycbcr(torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 3, 1, 1)) * 255
    assert torch.allclose(ycbcr.flatten(1), torch.tensor([[16.0, 128, 128], [235, 128, 128]], dtype=torch.float64))


def test_colour_is_differentiable_and_keeps_out_of_autocast() -> None:
    rgb = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    for convert in (rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb):
        assert torch.autograd.gradcheck(convert, (rgb,))
    with torch.autocast("cpu", torch.bfloat16):
        assert rgb_to_y(rgb.detach().float()).dtype == torch.float32


@pytest.mark.data
def test_real_images_equal_pillow(data_root: Path) -> None:
    images = [data_root / "Set5/HR/X4" / name for name in sorted(os.listdir(data_root / "Set5/HR/X4"))]
    images += sorted((data_root / "Set14/HR/X3").iterdir()) + sorted((data_root / "BSDS500/test").iterdir())[:5]
    for path in images:
        expected = np.array(Image.open(path))
        expected = expected if expected.ndim == 3 else expected[..., None]
        assert np.array_equal(read_image(path), expected), path
        assert image_shape(path) == expected.shape
