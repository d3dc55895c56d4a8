"""Formats: read where something reads them, else named with what to do; a sound file is never called damaged."""

from __future__ import annotations

import importlib.util
import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image import decode_image, decode_picture, encode_image, read_image, write_picture
from srtoolbox.image.file_types import WRITE_SUFFIXES, is_unwritable, read_suffixes
from srtoolbox.image.headers import avif_bits
from srtoolbox.image.opening import read_jxl_header
from srtoolbox.image.reading import image_facts
from tests.image.samples import RGB, SMOOTH, mode, saved

ROOT = Path(__file__).parents[2]
MOVING = ("AVIF", "GIF", "PNG", "WEBP")


def register(kind: str) -> None:
    """Make Pillow know HEIC or JPEG XL, for the tests' own use of it."""
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    elif kind == "JXL":
        pytest.importorskip("pillow_jxl")


def moving(kind: str) -> bytes:
    frames = [Image.fromarray(np.roll(SMOOTH, 9 * number, 0)) for number in range(3)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=[100, 200, 300])


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "HEIF", "JXL"])
@pytest.mark.parametrize("name", ["L", "RGB", "RGBA"])
def test_a_further_format_equals_pillow(kind: str, name: str, tmp_path: Path) -> None:
    register(kind)
    data = saved(mode(name), kind)
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.array(stored.convert("L" if stored.mode == "L" else "RGB"))
        alpha = np.array(stored.convert("RGBA"))[..., 3:]
    (tmp_path / "x.png").write_bytes(data)  # the content decides, not the suffix
    image = decode_picture(data, "x")
    assert np.array_equal(image.pixels.squeeze(), expected.squeeze())
    assert image.pixels.dtype == np.uint8 and image.notes == ()
    assert np.array_equal(read_image(tmp_path / "x.png"), image.pixels)
    assert image_facts(tmp_path / "x.png") == (image.pixels.shape, 0)
    if image.alpha is None:
        assert (alpha == 255).all()
    else:
        assert np.array_equal(image.alpha, alpha)


def test_a_gray_gif_keeps_its_transparency() -> None:
    gray = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image = decode_picture(saved(gray, "GIF", transparency=7), "x")
    assert np.array_equal(image.alpha.ravel() == 0, np.arange(256) == 7)


@pytest.mark.parametrize("kind", ["HEIF", "JXL"])
def test_a_truncated_file_of_an_extra_is_refused(kind: str) -> None:
    register(kind)
    data = saved(Image.fromarray(SMOOTH), kind, quality=60)
    for length in range(1, len(data), 7):
        with pytest.raises(ImageError, match=r"^x: "):
            decode_image(data[:length], "x")


@pytest.mark.parametrize("kind", MOVING)
def test_an_animation_names_the_command_that_takes_it(kind: str) -> None:
    with pytest.raises(ImageError, match=r"^film: is an animation of 3 frames: `upscale_video` takes it; or save"):
        decode_image(moving(kind), "film")


def test_an_animated_jpeg_xl_is_no_image() -> None:
    header = bytes([0xFF, 0x0A]) + packed((1, 1), (4, 5), (1, 3), (0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (1, 1))
    assert read_jxl_header(header) == (40, 40, True, 8)
    pytest.importorskip("pillow_jxl")
    with pytest.raises(ImageError, match=r"film: is an animation; save"):
        decode_image(header, "film")


def packed(*fields: tuple[int, int]) -> bytes:
    """(value, bits) of a codestream, the lowest bit first."""
    total = at = 0
    for value, bits in fields:
        total |= value << at
        at += bits
    return total.to_bytes(at // 8 + 1, "little")


def test_a_jpeg_xl_tells_its_size_before_it_is_decoded() -> None:
    register("JXL")
    for shape in ((40, 60), (64, 64), (300, 200), (1, 9000), (48, 64)):
        data = saved(Image.new("RGB", shape[::-1]), "JXL")
        assert read_jxl_header(data)[:3] == (*shape, False)
        boxed = saved(Image.new("RGB", shape[::-1]), "JXL", use_container=True)
        assert read_jxl_header(boxed)[:3] == (*shape, False)
    bomb = bytes([0xFF, 0x0A]) + packed((0, 1), (3, 2), (99_999, 30), (1, 3), (1, 1))
    with pytest.raises(ImageError, match=r"^x: 100000x100000 pixels, more than"):
        decode_image(bomb, "x")
    with pytest.raises(ImageError, match="damaged"):
        decode_image(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "x")


def test_bits_that_are_not_read_are_told(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    deep = np.arange(16 * 16 * 3, dtype=np.uint16).reshape(16, 16, 3) * 85
    for name, channels in (("RGB;16", deep), ("L;16", deep[..., 0])):
        file = heif.from_bytes(name, (16, 16), np.ascontiguousarray(channels).tobytes())
        file.save(tmp_path / "x.heic", quality=-1)
        image = decode_picture((tmp_path / "x.heic").read_bytes(), "x")
        assert image.notes == ("10 bits per channel are read as 8",) and image.pixels.dtype == np.uint8
        assert image_facts(tmp_path / "x.heic") == (image.pixels.shape, 10)
        assert np.abs(image.pixels.squeeze() - channels / 257.0).mean() < 4


def test_bits_of_an_avif() -> None:
    data = saved(mode("RGB"), "AVIF")
    flags = data.index(b"av1C") + 6
    assert avif_bits(data) == 8
    for value, bits in ((0x40, 10), (0x60, 12), (0x0C, 8)):
        assert avif_bits(data[:flags] + bytes([value]) + data[flags + 1 :]) == bits


def sensor_tiff(**options: object) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for number in range(2 if "subifds" in options else 1):
            writer.write(RGB, photometric="rgb", **(options if number == 0 else {}))
    return buffer.getvalue()


def box(brand: bytes, *others: bytes) -> bytes:
    body = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + bytes(64)


OTHERS = {
    "a camera's DNG": (
        lambda: sensor_tiff(extratags=[(50706, "B", 4, b"\1\4\0\0", True)]),
        "is camera raw.*develop it",
    ),
    "a camera's preview": (lambda: sensor_tiff(subfiletype=1, subifds=1), "is camera raw.*develop it"),
    "Canon": (lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(60), "is camera raw"),
    "Canon's new one": (lambda: box(b"crx "), "is camera raw"),
    "Fujifilm": (lambda: b"FUJIFILMCCD-RAW 0201" + bytes(60), "is camera raw"),
    "JPEG 2000": (lambda: saved(mode("RGB"), "JPEG2000"), "is of the format JPEG 2000.*save it as PNG"),
    "TIFF's cousin": (lambda: saved(mode("RGB"), "DDS"), "DDS"),
    "pixmap": (lambda: saved(mode("RGB"), "PPM"), "PNM"),
    "a video": (lambda: box(b"isom", b"mp42"), "is a video.*`upscale_video` takes it"),
    "a web page": (lambda: b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page.*download the image"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_format_of_ours_is_named_not_called_damaged(name: str, tmp_path: Path) -> None:
    make, words = OTHERS[name]
    (tmp_path / "photo.png").write_bytes(make())
    for look in (read_image, image_facts):
        with pytest.raises(ImageError, match=words) as caught:
            look(tmp_path / "photo.png")
        assert str(caught.value).startswith(str(tmp_path / "photo.png")) and "damaged" not in str(caught.value)


def test_what_a_decoder_does_not_support_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise ValueError("Unsupported feature: Unsupported codec")  # as libheif of a HEIC that holds VVC

    data = saved(mode("RGB"), "WEBP")
    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", load)
    with pytest.raises(ImageError, match=r"^x: cannot be decoded here \(Unsupported feature.*save it as PNG$"):
        decode_image(data, "x")


def test_an_extra_that_cannot_be_imported_makes_no_file_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("srtoolbox.image.opening.is_readable", lambda kind: True)  # installed, as far as one can tell
    with pytest.raises(ImageError, match=r"^x: cannot be decoded here \(.*pillow_heif.*save it as PNG$"):
        decode_image(HEIC_START, "x")


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if these packages were not installed."""
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else original(name))


HEIC_START, JXL_START = box(b"mif1", b"mif1", b"heic"), b"\xff\x0a" + bytes(40)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "pillow_heif", "pillow_jxl")
    for data, name in ((HEIC_START, "HEIC"), (JXL_START, "JPEG XL")):
        with pytest.raises(ImageError, match=rf"^x: is of the format {name}, .*pip install 'srtoolbox\[formats\]'$"):
            decode_image(data, "x")
    assert not {".heic", ".heif", ".hif", ".jxl"} & read_suffixes() and ".avif" in read_suffixes()
    monkeypatch.setattr("srtoolbox.image.file_types.features.check", lambda name: name != "avif")
    with pytest.raises(ImageError, match=r"format AVIF, .*pip install -U 'pillow>=11\.3'"):
        decode_image(saved(mode("RGB"), "AVIF"), "x")
    assert ".avif" not in read_suffixes()


def test_the_extra_and_the_floor_are_in_the_setup() -> None:
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert '"pillow>=11.3"' in text and '"formats": ["pillow-heif' in text and "pillow-jxl-plugin" in text


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".TIF"])
def test_every_suffix_of_a_format_is_written_as_that_format(suffix: str, tmp_path: Path) -> None:
    write_picture(tmp_path / f"x{suffix}", decode_picture(saved(Image.fromarray(SMOOTH), "PNG"), "x"))
    expected = "TIFF" if suffix == ".TIF" else "JPEG"
    assert Image.open(tmp_path / f"x{suffix}").format == expected
    assert Image.open(io.BytesIO(encode_image(SMOOTH, suffix))).format == expected


def test_suffixes_of_images_are_listed_in_one_place() -> None:
    """Animations and plots, which are no images to read, have lists of their own with '.gif' and '.png'."""
    known = (ROOT / "srtoolbox/image").glob("[!f]*.py"), (ROOT / "srtoolbox").glob("[!iv]*/**/*.py")
    for path in (path for paths in known for path in paths):
        text = path.read_text(encoding="utf-8")
        listed = [suffix for suffix in (".jpeg", ".jfif", ".tif", ".tiff", ".heic", ".avif") if f'"{suffix}"' in text]
        assert not listed, f"{path}: {listed}: ask srtoolbox.image.file_types"


def test_what_is_written_is_read_and_nothing_else_is_taken_for_an_output() -> None:
    assert read_suffixes() > WRITE_SUFFIXES
    assert all(map(is_unwritable, (".gif", ".AVIF", ".heic", ".cr2", ".psd", ".pdf")))
    assert not any(map(is_unwritable, (*WRITE_SUFFIXES, "", ".d", ".4")))
