"""Images with alpha and metadata: read against Pillow and tifffile, written and read back by them."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, ImageOps

from srtoolbox.errors import ImageError
from srtoolbox.image import Picture, decode_image, decode_picture, read_picture, write_picture
from srtoolbox.image.metadata import Metadata
from srtoolbox.image.pixels import AlphaBounds, fill_hidden
from srtoolbox.image.saving import encode_bands, write_bands
from srtoolbox.image.streaming import Form
from tests.image.samples import RGB, RGB16, mode, png_chunks, raw_png, saved

ALPHA = np.where(RGB[..., 1:2] < 90, 0, RGB[..., 1:2]).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif[0x0132] = "2024:05:06 07:08:09"
    exif[0x8769] = {0xA002: 14, 0xA003: 11, 0x829A: 0.005, 0x927C: b"maker's note"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 1.5)}
    loaded = Image.Exif()
    loaded.load(exif.tobytes())  # Pillow puts only directories that it read into a TIFF
    return loaded


# ---- reading


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", "LA"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("TIFF", "LA"), ("TIFF", "RGBA")]
)
def test_alpha_equals_pillow(kind: str, name: str) -> None:
    data = saved(mode(name), kind)
    image = decode_picture(data, "x")
    assert np.array_equal(image.alpha, np.array(Image.open(io.BytesIO(data)).getchannel("A"))[..., None])
    assert np.array_equal(image.pixels, decode_image(data, "x"))


@pytest.mark.parametrize(("kind", "name"), [("PNG", "1"), ("PNG", "P"), ("PNG", "RGB"), ("JPEG", "L"), ("BMP", "RGB")])
def test_without_alpha_there_is_none(kind: str, name: str) -> None:
    image = decode_picture(saved(mode(name), kind), "x")
    assert image.alpha is None
    assert np.array_equal(image.pixels, decode_image(saved(mode(name), kind), "x"))


def test_sixteen_bit_alpha() -> None:
    rgba = np.dstack([RGB16, RGB16[..., :1] // 2])
    for data in (raw_png(rgba.reshape(11, -1), 6, 16), cv2.imencode(".png", rgba[..., [2, 1, 0, 3]])[1].tobytes()):
        image = decode_picture(data, "x")
        assert np.array_equal(image.pixels, RGB16) and np.array_equal(image.alpha, rgba[..., 3:])
    image = decode_picture(raw_png(RGB16[..., :2].reshape(11, -1), 4, 16), "x")
    assert np.array_equal(image.pixels, RGB16[..., :1]) and np.array_equal(image.alpha, RGB16[..., 1:2])
    for kind, alpha in (("unassalpha", rgba[..., 3:]), ("unspecified", None)):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, rgba, photometric="rgb", extrasamples=[kind])
        image = decode_picture(buffer.getvalue(), "x")
        assert np.array_equal(image.pixels, RGB16)
        assert np.array_equal(image.alpha, alpha) if alpha is not None else image.alpha is None


def test_palettes_and_transparent_colours() -> None:
    palette, index = RGB.reshape(-1, 3)[:16], np.random.default_rng(4).integers(0, 16, (6, 9))
    data = raw_png(index, 3, 8, (b"PLTE", palette.tobytes()), (b"tRNS", bytes([0, 128, 255, 7])))
    image = decode_picture(data, "x")
    assert np.array_equal(image.alpha[..., 0], np.array([0, 128, 255, 7, *[255] * 12])[index])
    assert np.array_equal(image.pixels, palette[index])
    for array, colour, depth in ((RGB, 2, 8), (RGB[..., :1], 0, 8), (RGB16, 2, 16), (RGB16[..., :1], 0, 16)):
        key = array[2, 3]
        image = decode_picture(
            raw_png(array.reshape(11, -1), colour, depth, (b"tRNS", key.astype(">u2").tobytes())), "x"
        )
        hidden = (array == key).all(axis=2)
        assert hidden.any() and np.array_equal(image.alpha[..., 0] == 0, hidden)
        assert image.alpha.dtype == array.dtype and (image.alpha[~hidden] == np.iinfo(array.dtype).max).all()
    packed = np.array([[0b00011011]])  # four pixels of 2 bits: 0 1 2 3
    image = decode_picture(raw_png(packed, 0, 2, (b"tRNS", b"\0\2")), "x")
    assert image.pixels.ravel().tolist() == [0, 85, 170, 255] and image.alpha.ravel().tolist() == [255, 255, 0, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_pixels_and_alpha_and_is_reset(kind: str, orientation: int) -> None:
    source = mode("RGB") if kind == "JPEG" else mode("RGBA")
    data = with_metadata(source, kind, orientation)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    image = decode_picture(data, "x")
    assert np.array_equal(image.pixels, expected[..., :3])
    if kind != "JPEG":
        assert np.array_equal(image.alpha, expected[..., 3:])
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + image.metadata.exif)
    assert exif.get(0x0112, 1) == 1
    assert (exif[0x010F], exif.get_ifd(0x8769)[0x927C]) == ("Maker", b"maker's note")
    assert exif.get_ifd(0x8825)[1] == "N"
    assert b'tiff:Orientation="1"' in image.metadata.xmp


def with_metadata(image: Image.Image, kind: str, orientation: int, **options: object) -> bytes:
    """A file with EXIF and XMP. Pillow knows no way to put XMP into a PNG, and one of its own for TIFF."""
    if kind != "PNG":
        exif = exif_of(orientation)
        if kind == "TIFF":
            exif[700] = XMP
        return saved(image, kind, exif=exif, **({} if kind == "TIFF" else {"xmp": XMP}), **options)
    data = saved(image, kind, exif=exif_of(orientation))
    chunk = png_chunks((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))[8:]
    return data[:33] + chunk + data[33:]


def test_the_preview_of_a_turned_photograph_goes() -> None:
    block = exif_of(6).tobytes()[6:]
    count = struct.unpack_from("<H", block, 8)[0] if block[:2] == b"II" else struct.unpack_from(">H", block, 8)[0]
    order, end = ("<" if block[:2] == b"II" else ">"), 10 + 12 * count
    block = (
        block[:end]
        + struct.pack(order + "I", len(block))
        + block[end + 4 :]
        + struct.pack(order + "HHHII", 1, 0x0201, 4, 1, 99)
    )
    data = saved(mode("RGB"), "JPEG", exif=b"Exif\0\0" + block + bytes(4))
    assert Image.open(io.BytesIO(data)).getexif().get_ifd(ExifTags.IFD.IFD1)
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + decode_picture(data, "x").metadata.exif)
    assert exif[0x0112] == 1 and not exif.get_ifd(ExifTags.IFD.IFD1)


def test_broken_and_huge_metadata_count_as_none() -> None:
    bomb = (b"iCCP", b"icc\0\0" + zlib.compress(bytes(2**26)))
    broken = [bomb, (b"iCCP", b"icc\0\0nonsense"), (b"eXIf", b"II*\0\xff\xff\xff\xff"), (b"pHYs", b"short")]
    broken += [(b"iTXt", b"XML:com.adobe.xmp\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0nonsense")]
    for chunk in broken:
        assert decode_picture(raw_png(RGB.reshape(11, -1), 2, 8, chunk), "x").metadata == Metadata(), chunk[0]
    for wrong in (b"no profile", SRGB[:100]):
        assert Metadata(icc=wrong).icc_for(3) is None
    assert Metadata(icc=SRGB).icc_for(3) == SRGB and Metadata(icc=SRGB).icc_for(1) is None


def test_cmyk_without_a_profile_is_as_in_stores(tmp_path: Path) -> None:
    for kind in ("JPEG", "TIFF"):
        for options in ({}, {"icc_profile": b"no profile"}, {"icc_profile": SRGB}):
            data = saved(mode("CMYK"), kind, **options)
            image = decode_picture(data, "x")
            assert np.array_equal(image.pixels, np.array(Image.open(io.BytesIO(data)).convert("RGB")))
            assert image.metadata.icc is None and image.alpha is None


def cmyk_profile() -> bytes:
    """An ICC profile for CMYK: v2, one lookup table to Lab with two points a side. Ink mixes darken."""
    tables = struct.pack(">H", 2) + struct.pack(">H", 2)  # entries of the input and output curves
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    grid = b""
    for number in range(16):
        c, m, y, k = (number >> shift & 1 for shift in (3, 2, 1, 0))
        light = 0 if k else 100 - 25 * (c + m + y)
        lab = (light / 100 * 65280, 32768 + (m - c) * 12000 * (not k), 32768 + (y - c) * 8000 * (not k))
        grid += struct.pack(">3H", *(int(value) for value in lab))
    curves = struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + tables + curves * 4 + grid + curves * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"c\0" + bytes(78)
    copyright = b"text" + bytes(4) + b"none\0"
    parts = {b"A2B0": lut, b"A2B1": lut, b"wtpt": white, b"desc": text, b"cprt": copyright}
    offset, table, body = 128 + 4 + 12 * len(parts), struct.pack(">I", len(parts)), b""
    for tag, part in parts.items():
        part += bytes(-len(part) % 4)
        table += tag + struct.pack(">II", offset + len(body), len(part))
        body += part
    head = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    profile = head.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


def test_cmyk_goes_through_its_profile() -> None:
    icc = cmyk_profile()
    ink = Image.merge("CMYK", [Image.new("L", (4, 4), value) for value in (255, 0, 0, 0)])  # pure C
    data = saved(ink, "TIFF", icc_profile=icc)
    image = decode_picture(data, "x")
    plain = np.array(ink.convert("RGB"))
    assert plain[0, 0].tolist() == [0, 255, 255]
    red, green, _ = image.pixels[0, 0].tolist()
    assert green > red + 60 and green < 230 and image.metadata.icc is None  # the profile's light green, no cyan
    converted = ImageCms.profileToProfile(
        ink, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), 1, "RGB", flags=0x2000
    )
    assert np.array_equal(image.pixels, np.array(converted))


# ---- writing

FORMS = {
    "gray": Picture(RGB[..., :1]),
    "rgb": Picture(RGB),
    "la": Picture(RGB[..., :1], ALPHA),
    "rgba": Picture(RGB, ALPHA),
    "gray16": Picture(RGB16[..., :1]),
    "rgb16": Picture(RGB16),
    "la16": Picture(RGB16[..., :1], RGB16[..., 1:2]),
    "rgba16": Picture(RGB16, RGB16[..., 1:2]),
}


def stacked(image: Picture) -> np.ndarray:
    return image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])


def opened(path: Path) -> np.ndarray:
    """By a decoder that had no part in writing: cv2 for PNG, tifffile for TIFF, Pillow for the rest."""
    if path.suffix == ".tif":
        stored = tifffile.imread(path)
        return stored if stored.ndim == 3 else stored[..., None]
    if path.suffix == ".png":
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if stored.ndim == 2:
            return stored[..., None]
        order = [2, 1, 0, 3][: stored.shape[2]]
        return stored[..., order]
    stored = np.array(Image.open(path))
    return stored if stored.ndim == 3 else stored[..., None]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize("name", FORMS)
def test_what_is_written_is_read_by_others(tmp_path: Path, name: str, suffix: str) -> None:
    image, path = FORMS[name], tmp_path / f"x{suffix}"
    lost = write_picture(path, image)
    expected = stacked(image)
    if suffix in (".webp", ".bmp"):
        assert any("16 bits" in line for line in lost) == name.endswith("16")
        if name.endswith("16"):
            expected = ((expected.astype(int) + 128) // 257).astype(np.uint8)
    if suffix == ".bmp" and image.alpha is not None:
        assert any("transparency" in line for line in lost)
        peak = np.iinfo(image.alpha.dtype).max
        share = image.alpha / peak
        levels = (image.pixels * share + peak * (1 - share)) * (255 / peak)
        assert np.abs(opened(path) - levels).max() <= 1
        return
    stored = opened(path)
    if stored.shape[2] > expected.shape[2] or (stored.shape[2] == 4 and expected.shape[2] == 2):
        # WebP has no gray, cv2 no gray with alpha, and few programs that of 16 bits in TIFF
        colours = np.repeat(expected[..., :1], 3, axis=2)
        expected = np.dstack([colours, expected[..., 1:]])
    assert stored.dtype == expected.dtype and np.array_equal(stored, expected)
    if suffix in (".png", ".tif"):
        again = stacked(read_picture(path))
        assert np.array_equal(again, expected if (suffix, name) == (".tif", "la16") else stacked(image))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("heights", [[11], [1] * 11, [3, 5, 3]])
def test_bands_make_the_same_file(tmp_path: Path, suffix: str, heights: list[int]) -> None:
    whole = np.dstack([RGB16, RGB16[..., :1]])
    write_picture(tmp_path / f"whole{suffix}", Picture(RGB16, RGB16[..., :1]))
    edges = np.cumsum([0, *heights])
    bands = (whole[top:bottom] for top, bottom in itertools.pairwise(edges))
    write_bands(tmp_path / f"bands{suffix}", bands, Form(11, 14, 4, 16), Metadata())
    assert (tmp_path / f"bands{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_large_images_have_many_strips(tmp_path: Path, suffix: str, photo: np.ndarray) -> None:
    large = np.tile(photo, (5, 5, 1))
    write_picture(tmp_path / f"x{suffix}", Picture(large))
    assert np.array_equal(opened(tmp_path / f"x{suffix}"), large)
    assert (tmp_path / f"x{suffix}").stat().st_size < 0.95 * large.nbytes


def test_alpha_is_not_bounded_by_the_nearest_pixels_where_it_gets_smaller() -> None:
    stripes = np.zeros((64, 48, 1), np.uint8)
    stripes[:, ::8], stripes[:, 1::8] = 255, 255  # a quarter of the width
    mean = np.full((16, 12, 1), 64, np.uint8)
    assert np.array_equal(AlphaBounds(stripes, (16, 12)).clip(mean, 0), mean)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("encoding error 1", r"memory does not suffice .*\.png and \.tif take less"), ("encoding error 5", "error 5")],
)
def test_an_encoder_that_fails_is_one_error(tmp_path: Path, monkeypatch, fault: str, words: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(fault)

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(ImageError, match=rf"x\.webp: .*{words}"):
        write_picture(tmp_path / "x.webp", Picture(RGB))
    assert not list(tmp_path.iterdir())


def test_big_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srtoolbox.image.streaming._CLASSIC", 100)
    metadata = decode_picture(saved(mode("RGB"), "JPEG", exif=exif_of(1), dpi=(300, 300)), "x").metadata
    write_picture(tmp_path / "x.tif", Picture(RGB16, metadata=metadata))
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert file.is_bigtiff and np.array_equal(file.asarray(), RGB16)
        assert file.pages[0].tags["Make"].value == "Maker"
    assert Image.open(tmp_path / "x.tif").getexif().get_ifd(0x8769)[0x927C] == b"maker's note"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_resolution_that_is_not_told_is_not_made_up(kind: str) -> None:
    assert decode_picture(saved(mode("RGB"), kind), "x").metadata.dpi is None


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_metadata_are_kept(tmp_path: Path, source: str, suffix: str) -> None:
    if source == "PNG":
        data = with_metadata(mode("RGB"), "PNG", 6)
        data = data[:33] + png_chunks((b"pHYs", struct.pack(">IIB", 11811, 5906, 1)))[8:] + data[33:]
        data = data[:33] + png_chunks((b"iCCP", b"x\0\0" + zlib.compress(SRGB)))[8:] + data[33:]
    else:
        data = with_metadata(mode("RGB"), source, 6, icc_profile=SRGB, dpi=(300, 150))
    image = decode_picture(data, "x")
    large = Picture(np.repeat(np.repeat(image.pixels, 3, 0), 3, 1), None, image.metadata)
    assert write_picture(tmp_path / f"x{suffix}", large) == []
    stored = Image.open(tmp_path / f"x{suffix}")
    assert stored.size == (33, 42)
    if source != "WEBP" and suffix != ".webp":
        assert [round(float(value)) for value in stored.info["dpi"]] == [150, 300]  # turned with the image
    if suffix == ".bmp":
        return
    assert stored.info["icc_profile"] == SRGB
    exif = stored.getexif()
    assert exif.get(0x0112, 1) == 1 and exif[0x010F] == "Maker" and exif[0x0132] == "2024:05:06 07:08:09"
    details = exif.get_ifd(0x8769)
    assert (details[0xA002], details[0xA003], details[0x927C]) == (33, 42, b"maker's note")
    assert float(details[0x829A]) == pytest.approx(0.005) and exif.get_ifd(0x8825)[1] == "N"
    again = read_picture(tmp_path / f"x{suffix}").metadata
    assert b'tiff:Orientation="1"' in again.xmp and again.icc == SRGB


def test_jpeg_quality_and_limits(tmp_path: Path) -> None:
    for name, quality, words in (("x.png", 90, "quality"), ("x.jpg", 0, "quality"), ("x.gif", None, "no format")):
        with pytest.raises(ImageError, match=words) as caught:
            write_picture(tmp_path / name, Picture(RGB), quality=quality)
        assert str(caught.value).startswith(str(tmp_path / name))
    for name, side in (("x.jpg", 65536), ("x.webp", 16384)):
        with pytest.raises(ImageError, match=r"pixels a side.*png"):
            write_picture(tmp_path / name, Picture(np.zeros((1, side, 1), np.uint8)))
    assert not list(tmp_path.iterdir())
    large = Picture(RGB, metadata=Metadata(exif=exif_of(1).tobytes()[6:] + bytes(70_000)))
    write_picture(tmp_path / "x.jpg", large)  # more EXIF than a JPEG holds is left out
    stored = Image.open(tmp_path / "x.jpg")
    assert not stored.getexif() and stored.layer[1][1:3] == (1, 1)
    write_picture(tmp_path / "small.jpg", Picture(RGB), quality=20)
    assert (tmp_path / "small.jpg").stat().st_size < (tmp_path / "x.jpg").stat().st_size


def test_a_failing_band_leaves_nothing(tmp_path: Path) -> None:
    def bands():
        yield RGB[:4]
        raise ImageError("the rest is missing")

    with pytest.raises(ImageError, match="the rest is missing"):
        write_bands(tmp_path / "x.png", bands(), Form(11, 14, 3, 8), Metadata())
    assert not list(tmp_path.iterdir())


def test_encoding_into_memory() -> None:
    buffer = io.BytesIO()
    encode_bands(buffer, ".png", [RGB], Form(11, 14, 3, 8), Metadata())
    assert np.array_equal(decode_image(buffer.getvalue(), "x"), RGB)


# ---- transparency


def test_hidden_colours_become_those_of_the_nearest_visible_pixel() -> None:
    colours = np.random.default_rng(5).integers(0, 65536, (23, 31, 3), dtype=np.uint16)
    alpha = (np.random.default_rng(6).random((23, 31, 1)) < 0.08).astype(np.uint16) * 9
    filled = fill_hidden(colours, alpha)
    visible = np.argwhere(alpha[..., 0] > 0)
    assert np.array_equal(filled[alpha[..., 0] > 0], colours[alpha[..., 0] > 0])
    for row, column in np.argwhere(alpha[..., 0] == 0):
        distances = np.hypot(*(visible - (row, column)).T)
        near = visible[distances <= distances.min() + 0.35]  # cv2 measures along 5 x 5 steps
        assert any(np.array_equal(filled[row, column], colours[y, x]) for y, x in near)
    for flat in (np.zeros_like(alpha), np.full_like(alpha, 7)):
        assert fill_hidden(colours, flat) is colours


@pytest.mark.parametrize("wraps", [(True, True), (False, True), (True, False)])
def test_the_nearest_visible_pixel_may_lie_beyond_an_edge_that_wraps(wraps: tuple[bool, bool]) -> None:
    colours = np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    alpha = np.zeros((9, 12, 1), np.uint8)
    alpha[0, 0] = alpha[4, 5] = 255
    filled = fill_hidden(colours, alpha, wraps)
    assert np.array_equal(filled[8, 0], colours[0, 0] if wraps[0] else colours[4, 5])
    assert np.array_equal(filled[0, 11], colours[0, 0] if wraps[1] else colours[4, 5])
    assert np.array_equal(filled[8, 11], colours[0, 0] if all(wraps) else colours[4, 5])


def test_alpha_stays_within_its_neighbours() -> None:
    alpha = np.full((6, 8, 1), 255, np.uint8)
    alpha[:, 4:] = 0
    alpha[0, 0] = 100
    bounds = AlphaBounds(alpha, (15, 20))
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 1), dtype=np.uint8)
    clipped = np.concatenate([bounds.clip(noise[:7], 0), bounds.clip(noise[7:], 7)])
    padded = np.pad(alpha[..., 0], 1, mode="edge")
    for row in range(15):
        for column in range(20):
            y, x = row * 6 // 15, column * 8 // 20
            around = padded[y : y + 3, x : x + 3]
            assert clipped[row, column, 0] == np.clip(noise[row, column, 0], around.min(), around.max())
