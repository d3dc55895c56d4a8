"""An image stands upright, turned once, wherever its file tells the orientation."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.data.stores import open_store
from srtoolbox.image import decode_image, decode_picture, image_shape, read_picture, write_picture
from srtoolbox.image.headers import blocks_in, upright_xmp, xmp_orientation
from tests.image.samples import RGB, RGB16, mode, raw_png, saved

ORIENTATION = 0x0112
SOLID = np.kron(RGB[:4, :6], np.ones((8, 8, 1), np.uint8))  # survives lossy compression
TAG = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><rdf:Description '
XMP = {
    "attribute": TAG + b'tiff:Orientation="%d"/></x>',
    "single quotes": TAG + b"a='b' tiff:Orientation = '%d' /></x>",
    "element": TAG + b"><tiff:Orientation>%d</tiff:Orientation></rdf:Description></x>",
    "typed element": TAG + b'><tiff:Orientation rdf:datatype="x">%d</tiff:Orientation></rdf:Description></x>',
    "other prefix": b'<x xmlns:t="http://ns.adobe.com/tiff/1.0/"><rdf:Description t:Orientation="%d"/></x>',
}


def exif_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()[6:]


def profile(name: bytes, block: bytes, kind: bytes = b"tEXt") -> tuple[bytes, bytes]:
    """ImageMagick's way to keep a block in a PNG: name, length, and digits in lines of 72."""
    digits = block.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{name.decode()}\n{len(block):8}\n{lines}\n".encode()
    head = b"Raw profile type " + name + b"\0"
    return kind, head + (text if kind == b"tEXt" else b"\0" + zlib.compress(text))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return raw_png(RGB.reshape(11, -1), 2, 8, *chunks)


def itxt(packet: bytes, *, packed: bool = False) -> tuple[bytes, bytes]:
    return b"iTXt", b"XML:com.adobe.xmp\0" + (b"\1\0\0\0" + zlib.compress(packet) if packed else b"\0\0\0\0" + packet)


def with_xmp(kind: str, packet: bytes) -> bytes:
    if kind == "PNG":
        return png(itxt(packet))
    if kind == "TIFF":
        tags = Image.Exif()
        tags[700] = packet
        return saved(mode("RGB"), kind, exif=tags)
    return saved(mode("RGB"), kind, xmp=packet)


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """By Pillow: `array` as a viewer shows it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(saved(Image.fromarray(array), "PNG", exif=exif)))))


def check(data: bytes, expected: np.ndarray, tmp_path: Path) -> None:
    """All ways to read agree, and what is written tells no orientation a second time."""
    (tmp_path / "x").write_bytes(data)
    image = decode_picture(data, "x")
    assert np.array_equal(image.pixels, expected)
    assert np.array_equal(decode_image(data, "x"), expected) and image_shape(tmp_path / "x") == expected.shape
    for suffix in (".png", ".tif", ".webp"):
        write_picture(tmp_path / f"y{suffix}", image)
        assert np.array_equal(read_picture(tmp_path / f"y{suffix}").pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("way", XMP)
def test_xmp_tells_the_orientation_where_exif_does_not(kind: str, way: str, tmp_path: Path) -> None:
    plain = decode_image(with_xmp(kind, XMP[way] % 1), "x")
    for orientation in (6, 8, 2) if way == "attribute" else (6,):
        data = with_xmp(kind, XMP[way] % orientation)
        check(data, turned(plain, orientation), tmp_path)
        assert decode_picture(data, "x").metadata.xmp == XMP[way] % 1


@pytest.mark.parametrize(
    "chunk",
    [
        profile(b"exif", b"Exif\0\0" + exif_block(6)),
        profile(b"exif", exif_block(6), b"zTXt"),
        profile(b"APP1", b"Exif\0\0" + exif_block(6)),
        profile(b"APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP["element"] % 6),
        profile(b"xmp", XMP["attribute"] % 6),
        itxt(XMP["attribute"] % 6, packed=True),
        (b"eXIf", b"Exif\0\0" + exif_block(6)),  # some writers keep JPEG's introduction
    ],
    ids=["exif", "packed exif", "APP1", "APP1 of XMP", "xmp", "packed XMP", "introduced"],
)
def test_a_png_tells_it_in_text_chunks_too(chunk: tuple[bytes, bytes], tmp_path: Path) -> None:
    check(png(chunk), np.rot90(RGB, -1), tmp_path)


def test_broken_text_chunks_tell_nothing(tmp_path: Path) -> None:
    whole = profile(b"exif", exif_block(6))[1]
    for content in (whole[:-9], whole[:30], b"Raw profile type exif\0", whole.replace(b"4d4d", b"zzzz")):
        check(png((b"tEXt", content)), RGB, tmp_path)
    check(png((b"zTXt", b"Raw profile type exif\0\0nonsense")), RGB, tmp_path)


@pytest.mark.parametrize(
    "packet",
    [
        b"tiff:Orientation " * 40_000,
        b"".join(b'xmlns:a%d="http://ns.adobe.com/tiff/1.0/"' % number for number in range(60_000)) + b" a" * 500_000,
        b"tiff:Orientation" + b" " * 3_000_000,
    ],
    ids=["elements without end", "prefixes", "blanks"],
)
def test_hostile_xmp_takes_no_time_but_for_its_length(packet: bytes) -> None:
    """Patterns whose time grows with the square of the length would be at it for hours."""
    assert xmp_orientation(packet) is None
    assert upright_xmp(packet) == packet


def test_of_many_packed_profiles_a_few_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kilobyte may claim a megabyte, and a file may hold any number of them."""
    unpackers: list[object] = []
    make = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda: unpackers.append(None) or make())
    bomb = (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(bytes(2**20)))
    assert blocks_in([(b"tEXt", b"Comment\0"), *[bomb] * 1000]) == (None, None)
    assert len(unpackers) <= 8


def test_libpng_has_nothing_to_say_of_metadata(capfd: pytest.CaptureFixture) -> None:
    """It would print a line for each of these, and unpack what any number of them hold."""
    packed = zlib.compress(bytes(2**24))
    data = png((b"iCCP", b"x\0\0" + packed), *[(b"zTXt", b"Comment\0\0" + packed)] * 2, (b"gAMA", b"?"))
    assert np.array_equal(decode_picture(data, "x").pixels, RGB) and np.array_equal(decode_image(data, "x"), RGB)
    assert capfd.readouterr() == ("", "")


def test_exif_goes_before_xmp(tmp_path: Path) -> None:
    for told, orientation in ((1, 1), (8, 8), (None, 6), (0, 6), (9, 6)):  # what is no orientation does not count
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        if told is not None:
            exif[ORIENTATION] = told
        block = exif.tobytes()
        check(png((b"eXIf", block[6:]), itxt(XMP["attribute"] % 6)), turned(RGB, orientation), tmp_path)
        raw = profile(b"exif", block)
        check(png(raw, itxt(XMP["attribute"] % 6)), turned(RGB, orientation), tmp_path)
        for kind in ("JPEG", "WEBP"):
            data = saved(mode("RGB"), kind, exif=block, xmp=XMP["attribute"] % 6)
            check(data, turned(decode_image(saved(mode("RGB"), kind), "x"), orientation), tmp_path)
    check(png((b"eXIf", exif_block(8)), profile(b"exif", exif_block(3))), turned(RGB, 8), tmp_path)


@pytest.mark.parametrize("array", [RGB, RGB16], ids=["8 bits", "16 bits"])
def test_a_tiff_is_turned_once(array: np.ndarray, tmp_path: Path) -> None:
    for tag, way, orientation in ((None, "attribute", 6), (None, "single quotes", 6), (8, "attribute", 8)):
        buffer, packet = io.BytesIO(), XMP[way] % 6
        tags = [(700, "B", len(packet), packet, True)] + ([(274, "H", 1, tag, True)] if tag else [])
        tifffile.imwrite(buffer, array, photometric="rgb", extratags=tags)
        image = decode_picture(buffer.getvalue(), "x")
        assert np.array_equal(image.pixels, np.rot90(array, {6: -1, 8: 1}[orientation])), way
        (tmp_path / "x").write_bytes(buffer.getvalue())
        assert image_shape(tmp_path / "x") == image.pixels.shape
        assert image.metadata.xmp == XMP[way] % 1


def close(data: bytes, expected: np.ndarray) -> None:
    """The image, lossy, and upright in what is written of it."""
    image = decode_picture(data, "x")
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).mean() < 6
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + image.metadata.exif)
    assert exif.get(ORIENTATION, 1) == 1 and exif[0x010F] == "Maker"


def maker(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = orientation, "Maker"
    return exif.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_containers_that_turn_are_not_turned_again(orientation: int) -> None:
    """Pillow and pillow_heif write `irot` and `imir` for EXIF's orientation, which their files keep (HEIC) or not."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    for kind in ("AVIF", "HEIF"):
        options = {"exif": maker(orientation), "quality": 95, "subsampling": "4:4:4"}
        options |= {"xmp": XMP["attribute"] % 3} if kind == "AVIF" else {}  # pillow_heif would write `irot` for it
        close(saved(Image.fromarray(SOLID), kind, **options), turned(SOLID, orientation))


def test_jpeg_xl_is_turned_by_its_codestream_alone(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    close(saved(Image.fromarray(SOLID), "JXL", exif=maker(6)), SOLID)
    Image.fromarray(SOLID).save(tmp_path / "x.jpg", quality=95, subsampling=0, exif=maker(6))
    data = saved(Image.open(tmp_path / "x.jpg"), "JXL", lossless_jpeg=True)
    close(data, turned(SOLID, 6))  # a JPEG packed without loss is that JPEG


def test_stores_of_every_kind_hold_it_upright(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png(itxt(XMP["attribute"] % 6)))
    (tmp_path / "in/b.png").write_bytes(png(profile(b"exif", exif_block(6))))
    for encoding in ("raw", "png"):
        write_stores(make_plan(tmp_path / "in", Recipe(encoding=encoding)), [tmp_path / f"{encoding}.lmdb"])
    for place in ("in", "raw.lmdb", "png.lmdb"):
        store = open_store(tmp_path / place)
        for key in ("a", "b"):
            assert np.array_equal(store.read(key), np.rot90(RGB, -1)) and store.shape(key) == (14, 11, 3)
