"""Hundreds of images of every kind, damaged ones and bombs through `upscale.py`: each right, or one error for it."""

from __future__ import annotations

import io
import json
import os
import random
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from srtoolbox.cli import main
from srtoolbox.errors import ImageError
from srtoolbox.image import decode_picture, read_picture, to_image, to_tensor
from srtoolbox.image.saving import encode_bands, form_of
from srtoolbox.resize import imresize
from tests.image.samples import RGB, RGB16, containers, png_chunks, raw_png, saved

ROOT = Path(__file__).parents[2]
GRAY, ALPHA = RGB[..., :1], np.maximum(RGB[..., 1:2], 1)  # nothing fully transparent: no colour is replaced
CMYK = np.dstack([RGB, RGB[..., :1] // 2])
INK = np.rint((255 - CMYK[..., :3].astype(float)) * (255 - CMYK[..., 3:]) / 255)
PALETTE = RGB.reshape(-1, 3)[:16]
INDEX = np.random.default_rng(4).integers(0, 16, (11, 14))
SEEN = np.array([1, 128, 255, 7, *[255] * 12], np.uint8)  # a palette's transparency
TURN: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # what an image stored with this orientation looks like
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def palette_image() -> Image.Image:
    image = Image.fromarray(INDEX.astype(np.uint8))
    image.putpalette(PALETTE.tobytes())
    return image


PICTURES: dict[str, tuple[Callable[[], Image.Image], np.ndarray]] = {
    "1": (lambda: Image.fromarray(GRAY[..., 0] > 127), np.where(GRAY > 127, 255, 0)),
    "L": (lambda: Image.fromarray(GRAY[..., 0]), GRAY),
    "LA": (
        lambda: Image.merge("LA", [Image.fromarray(each[..., 0]) for each in (GRAY, ALPHA)]),
        np.dstack([GRAY, ALPHA]),
    ),
    "P": (palette_image, PALETTE[INDEX]),
    "P+tRNS": (palette_image, np.dstack([PALETTE[INDEX], SEEN[INDEX]])),
    "RGB": (lambda: Image.fromarray(RGB), RGB),
    "RGBA": (lambda: Image.fromarray(np.dstack([RGB, ALPHA])), np.dstack([RGB, ALPHA])),
    "CMYK": (lambda: Image.fromarray(CMYK, "CMYK"), INK),
    "I;16": (lambda: Image.fromarray(RGB16[..., 0]), RGB16[..., :1]),
}
STORED = {
    "PNG": ["1", "L", "LA", "P", "P+tRNS", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"],
}
SUFFIX = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif"}


def file_of(kind: str, mode: str, orientation: int = 1, size: int | None = None) -> bytes:
    image = PICTURES[mode][0]()
    image = image.crop((0, 0, size, size)) if size else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} if orientation > 1 else {}
    if mode == "P+tRNS":
        options["transparency"] = SEEN.tobytes()
    return saved(image, kind, **options)


def another_decoder(data: bytes, mode: str) -> np.ndarray:
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return shown[..., :1] if mode == "L" else shown


def corpus(folder: Path) -> dict[str, np.ndarray | None]:
    """Write some 250 files; what each shows (H, W, C with alpha), or None where it is no image."""
    shows: dict[str, np.ndarray | None] = {}

    def add(name: str, data: bytes, shown: np.ndarray | None) -> None:
        (folder / name).write_bytes(data)
        shows[name] = shown

    for kind, modes in STORED.items():
        for mode in modes:
            shown = PICTURES[mode][1]
            for orientation in range(1, 9) if kind != "BMP" else [1]:
                data = file_of(kind, mode, orientation)
                shown = another_decoder(file_of(kind, mode), mode) if kind == "JPEG" else shown
                name = f"{kind}_{mode.replace(';', '').replace('+', '_')}_{orientation}.{SUFFIX[kind]}"
                add(name, data, TURN[orientation](shown))
            data = file_of(kind, mode, 1, 1)
            corner = another_decoder(data, mode) if kind == "JPEG" else shown[:1, :1]
            add(
                f"one_{kind}_{mode.replace(';', '').replace('+', '_')}.{SUFFIX[kind]}",
                file_of(kind, mode, 1, 1),
                corner,
            )
        for suffix in SUFFIX.values():
            add(f"wrong_{kind}.as.{suffix}", file_of(kind, "RGB"), PICTURES["RGB"][1] if kind != "JPEG" else shown)
            add(f"cut_{kind}.as.{suffix}", file_of(kind, "RGB")[:60], None)
    deep = np.dstack([RGB16, np.maximum(RGB16[..., 1:2], 1)])
    add("deep_rgb.png", raw_png(RGB16.reshape(11, -1), 2, 16), RGB16)
    add("deep_rgba.png", raw_png(deep.reshape(11, -1), 6, 16), deep)
    for suffix in SUFFIX.values():
        add(f"empty.{suffix}", b"", None)
        add(f"text.{suffix}", b"this is not an image, but long enough to be looked at", None)
        add(f"gif.{suffix}", saved(palette_image(), "GIF"), PALETTE[INDEX])
        add(f"pixmap.{suffix}", saved(Image.fromarray(RGB), "PPM"), None)
        add(f"vector.{suffix}", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', None)
        add(f"script.{suffix}", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", None)
        (folder / f"gone.{suffix}").symlink_to(folder / "nowhere")
        (folder / f"loop.{suffix}").symlink_to(folder / f"loop.{suffix}")
        os.mkfifo(folder / f"pipe.{suffix}")
        shows |= {f"{name}.{suffix}": None for name in ("gone", "loop", "pipe")}
        (folder / f"folder.{suffix}").mkdir()
    return shows


def doubled(shown: np.ndarray) -> np.ndarray:
    deep = shown.dtype == np.uint16
    levels = np.ascontiguousarray(shown).astype(np.uint16 if deep else np.uint8)
    result = to_image(imresize(to_tensor(levels), scale=2), bits=16 if deep else 8)
    if shown.shape[2] in (2, 4):  # alpha stays between its neighbours
        alpha = levels[..., -1]
        bounds = [
            each(alpha, size=3, mode="nearest").repeat(2, 0).repeat(2, 1)
            for each in (scipy.ndimage.minimum_filter, scipy.ndimage.maximum_filter)
        ]
        result[..., -1] = np.clip(result[..., -1], *bounds)
    return result


def test_corpus(bicubic: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    shows = corpus(tmp_path / "in")
    assert len(shows) > 250
    assert main(["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().out.splitlines()
    for name, shown in shows.items():
        own = [line for line in lines if f"/in/{name}" in line and not line.startswith("note")]
        assert len(own) == 1, (name, own)
        assert own[0].startswith("error: ") == (shown is None), own
        if shown is not None:
            target = Path(re.search(r" -> (\S+) \(", own[0]).group(1))
            image = read_picture(target)
            made = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
            expected = doubled(shown)
            tolerance = 8 if "JPEG" in name or "CMYK" in name else int(shown.dtype == np.uint16)  # JPEG decoders differ
            assert made.shape == expected.shape and made.dtype == expected.dtype, name
            assert np.abs(made.astype(int) - expected).max() <= tolerance, name
    good = sum(shown is not None for shown in shows.values())
    assert f"{good} upscaled, {len(shows) - good} failed" in lines[-1]
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == good


def mutated(data: bytes, dice: random.Random) -> bytes:
    bad, how = bytearray(data), dice.random()
    if how < 0.2:
        return data[: dice.randrange(len(data))]
    for _ in range(dice.choice([1, 1, 2, 8, 32])):
        start = dice.randrange(len(bad))
        if how < 0.7:
            bad[start] ^= 1 << dice.randrange(8)
        elif how < 0.85:
            del bad[start : start + dice.randrange(1, 20)]
        else:
            bad[start:start] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 20)))
        if not bad:
            break
    return bytes(bad)


def rich_files() -> dict[str, bytes]:
    """Small files with alpha and metadata, in which there is much to break."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif[0x8769] = {0xA002: 14, 0x829A: 0.005, 0x927C: b"note"}
    loaded = Image.Exif()
    loaded.load(exif.tobytes())
    files = {name: data for name, data in containers().items() if len(data) < 6000}
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        image = PICTURES["RGB" if kind == "JPEG" else "RGBA"][0]()
        files[f"rich.{kind}"] = saved(image, kind, exif=loaded, dpi=(300, 300))
    files["key.png"] = raw_png(RGB.reshape(11, -1), 2, 8, (b"tRNS", RGB[0, 0].astype(">u2").tobytes()))
    return files


def damage(count: int, seed: int) -> tuple[int, int]:
    """(read, refused) of so many mutated files; what is read can be written in every format."""
    read = refused = 0
    files, dice = rich_files(), random.Random(seed)
    for number in range(count):
        name = dice.choice(sorted(files))
        try:
            image = decode_picture(mutated(files[name], dice), name)
        except ImageError as error:
            assert str(error).startswith(f"{name}: ")
            refused += 1
            continue
        read += 1
        assert image.pixels.dtype in (np.uint8, np.uint16) and image.pixels.ndim == 3
        assert image.alpha is None or image.alpha.shape == (*image.pixels.shape[:2], 1)
        if image.pixels.size > 10_000:
            continue
        whole = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
        suffix = (".png", ".jpg", ".webp", ".tif", ".bmp")[number % 5]
        encode_bands(io.BytesIO(), suffix, [whole], form_of(image), image.metadata)
    return read, refused


def test_damaged_files_never_escape() -> None:
    read, refused = damage(500, seed=1)
    assert read > 50 and refused > 150


@pytest.mark.slow
def test_many_more_damaged_files_never_escape() -> None:
    read, refused = damage(20_000, seed=2)
    assert read > 2000 and refused > 6000


# ---- bombs


def bombs() -> dict[str, bytes]:
    packed = zlib.compress(bytes(2**20))
    small = saved(Image.fromarray(np.zeros((48, 40, 3), np.uint8)), "JPEG")
    pages = saved(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[Image.fromarray(RGB)] * 50)

    wide = (struct.pack("<HHIH", 256, 4, 1, 14), struct.pack("<HHIH", 256, 4, 1, 65_000))
    tall = (struct.pack("<HHIH", 257, 4, 1, 11), struct.pack("<HHIH", 257, 4, 1, 65_000))

    def png(*header: int) -> bytes:
        palette = [(b"PLTE", bytes(6))] if header[3] == 3 else []
        return png_chunks((b"IHDR", struct.pack(">IIBBBBB", *header)), *palette, (b"IDAT", packed), (b"IEND", b""))

    return {
        "rgb.png": png(20_000, 20_000, 8, 2, 0, 0, 0),
        "deep.png": png(15_000, 15_000, 16, 6, 0, 0, 0),
        "bits.png": png(30_000, 30_000, 1, 3, 0, 0, 0),
        "wide.png": png(2**31 - 1, 1, 8, 0, 0, 0, 0),
        "jpeg.jpg": small.replace(struct.pack(">HH", 48, 40), struct.pack(">HH", 60_000, 60_000)),
        "bmp.bmp": saved(Image.fromarray(RGB), "BMP").replace(
            struct.pack("<ii", 14, 11), struct.pack("<ii", 50_000, 50_000)
        ),
        "tiff.tif": saved(Image.fromarray(RGB), "TIFF").replace(*wide).replace(*tall),
        "webp.webp": saved(Image.fromarray(RGB), "WEBP").replace(b"\x2f\x0d\x80\x02", b"\x2f\xff\xff\xff"),
        "film.gif.png": saved(
            Image.fromarray(RGB), "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)] * 50
        ),
        "pages.tif": pages,
        "vector.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>',
        "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\nshowpage\n",
    }


def innocent() -> dict[str, bytes]:
    """Small images with metadata that unpack to 128 MB."""
    huge = zlib.compress(bytes(128 * 2**20), 9)
    rows = RGB.reshape(11, -1)
    return {
        "icc.png": raw_png(rows, 2, 8, (b"iCCP", b"icc\0\0" + huge)),
        "xmp.png": raw_png(rows, 2, 8, (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + huge)),
        "text.png": raw_png(rows, 2, 8, (b"zTXt", b"Comment\0\0" + huge)),
    }


BOMB_RUN = """
import json, resource, sys
from srtoolbox.cli import main
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
checkpoint, good, bad, out = sys.argv[1:]
assert main(["upscale", checkpoint, good, "-o", out]) == 0
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**31, in_use + 2**31))
before = peak()
code = main(["upscale", checkpoint, bad, "-o", out])
print(json.dumps([code, peak() - before]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited as on Linux")
def test_bombs_are_refused_before_they_take_memory(bicubic: str, tmp_path: Path) -> None:
    for folder, files in (("good", {"x.png": file_of("PNG", "RGBA")}), ("bad", {**bombs(), **innocent()})):
        (tmp_path / folder).mkdir()
        for name, data in files.items():
            (tmp_path / folder / name).write_bytes(data)
            assert len(data) < 2**20, name
    folders = [str(tmp_path / name) for name in ("good", "bad", "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BOMB_RUN, bicubic, *folders]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    code, growth = json.loads(last)
    assert code == 1 and growth < 100 * 2**20
    for name in bombs():
        assert len([line for line in lines if line.startswith("error: ") and f"/{name}: " in line]) == 1, (name, lines)
    for name in innocent():
        assert (tmp_path / "out" / name.replace(".png", "_sr.png")).exists(), name
