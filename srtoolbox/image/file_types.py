"""Image formats: suffixes, first bytes, which are read and written; the images in a folder."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import features

from srtoolbox.errors import ImageError

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
TIFF_SUFFIXES = (".tif", ".tiff")
DEEP_SUFFIXES = (".png", *TIFF_SUFFIXES)
"""Of formats written with 16 bits."""
QUALITY_SUFFIXES = (*JPEG_SUFFIXES, ".webp")
"""Of formats written at a quality of 1 ... 100."""
WRITE_SUFFIXES = frozenset({".png", ".bmp", ".webp", *JPEG_SUFFIXES, *TIFF_SUFFIXES})
BROWSER_TYPES = {
    **dict.fromkeys(JPEG_SUFFIXES, "image/jpeg"),
    **{f".{name}": f"image/{name}" for name in ("png", "webp", "bmp", "avif")},
}
"""Media types of the formats that browsers show."""
MAX_SIDES = {**dict.fromkeys(JPEG_SUFFIXES, 65535), ".webp": 16383}

AVIF, HEIC, JXL, RAW, VIDEO, WEB_PAGE = "AVIF", "HEIC", "JPEG XL", "camera raw", "a video", "a web page"
_OPTIONAL = {AVIF: (".avif", ".avifs"), HEIC: (".heic", ".heif", ".hif"), JXL: (".jxl",)}
_PACKAGES = {HEIC: "pillow_heif", JXL: "pillow_jxl"}
_UNREAD = {
    RAW: ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .3fr .fff .iiq .erf .mrw "
    ".kdc .dcr .rwl .raw",
    "JPEG 2000": ".jp2 .j2k .jpf .jpx .jpc .j2c",
    "JPEG XR": ".jxr .wdp .hdp",
    "Photoshop": ".psd .psb",
    "OpenEXR": ".exr",
    "Radiance HDR": ".hdr",
    "PNM": ".ppm .pgm .pbm .pnm .pam .pfm",
    "TGA": ".tga",
    "DDS": ".dds",
    "icon": ".ico .icns",
    "SVG": ".svg .svgz",
    "PCX": ".pcx",
    "QOI": ".qoi",
    "GIMP": ".xcf",
}
_NAMES = {suffix: name for name, suffixes in _UNREAD.items() for suffix in suffixes.split()} | {
    suffix: name for name, suffixes in _OPTIONAL.items() for suffix in suffixes
}
_OLYMPUS = (b"IIRO", b"IIRS", b"MMOR")
_STARTS: dict[str, tuple[bytes, ...]] = {
    "GIF": (b"GIF8",),
    JXL: (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "JPEG XR": (b"II\xbc",),
    "Photoshop": (b"8BPS",),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "Radiance HDR": (b"#?RADIANCE",),
    "DDS": (b"DDS ",),
    "icon": (b"\0\0\1\0", b"icns"),
    "SVG": (b"<svg",),
    "QOI": (b"qoif",),
    "GIMP": (b"gimp xcf",),
    RAW: (b"II*\0\x10\0\0\0CR", b"II\x1a\0\0\0HEAPCCDR", b"IIU\0", b"FUJIFILMCCD-RAW", *_OLYMPUS, b"FOVb", b"\0MRM"),
    VIDEO: (b"\x1aE\xdf\xa3",),
    "PNM": tuple(b"P%d%c" % (number, blank) for number in range(1, 8) for blank in b"\n\r\t "),
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
START_BYTES = 64
"""The length of the beginning that `kind_of` wants to see."""


def read_suffixes() -> frozenset[str]:
    """Suffixes, in small letters, of the formats that are read with what is installed here."""
    optional = [suffix for name, suffixes in _OPTIONAL.items() if is_readable(name) for suffix in suffixes]
    return WRITE_SUFFIXES | {".apng", ".dib", ".gif", ".mpo", *optional}


def is_unwritable(suffix: str) -> bool:
    """True for the suffix of an image, or a page, that is not written."""
    suffix = suffix.lower()
    return suffix in (read_suffixes() | set(_NAMES) | {".pdf"}) - WRITE_SUFFIXES


def is_readable(kind: str) -> bool:
    """True if files of a `kind_of` can be read: by Pillow, or by an extra that is installed."""
    if kind == AVIF:
        return bool(features.check("avif"))
    if kind in _PACKAGES:
        return importlib.util.find_spec(_PACKAGES[kind]) is not None
    return kind == "GIF"


def kind_of(start: bytes) -> str | None:
    """Name the format of a file by its first bytes; None if always read (but GIF) or unknown."""
    if start[4:8] == b"ftyp":
        stop = min(len(start), int.from_bytes(start[:4], "big"))  # of the box
        brands = {start[8:12], *(start[at : at + 4] for at in range(16, stop, 4))}
        if brands & {b"avif", b"avis"}:
            return AVIF
        if brands & _HEIF_BRANDS:
            return HEIC
        return RAW if b"crx " in brands else VIDEO
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return VIDEO
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return WEB_PAGE
    return next((kind for kind, starts in _STARTS.items() if start.startswith(starts)), None)


def advice(kind: str) -> str:
    """Say what to do with a file of a kind that is not read."""
    if kind == AVIF:
        return "pip install -U 'pillow>=11.3'"
    if kind in _PACKAGES:
        return "pip install 'srtoolbox[formats]'"
    if kind == RAW:
        return "develop it, and save it as TIFF or PNG"
    return {VIDEO: "`upscale_video` takes it", WEB_PAGE: "download the image itself"}.get(kind, "save it as PNG")


def listed(suffixes: Iterable[str] = WRITE_SUFFIXES) -> str:
    """Suffixes as messages list them."""
    return ", ".join(sorted(suffixes))


# ---- folders

_BROKEN = "broken link"


class Unread(NamedTuple):
    """A file that looks like an image and is not read."""

    path: Path
    kind: str
    """Its format, or 'broken link'."""


class Listing(NamedTuple):
    """The files of interest in a folder and its sub-folders; paths are relative to it, sorted."""

    images: list[Path]
    unread: list[Unread]


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Return the paths of all images that are read below a folder: see `scan_folder`."""
    return scan_folder(folder).images


def scan_folder(folder: str | os.PathLike) -> Listing:
    """Find the images in a folder and its sub-folders, by suffix in any case.

    Hidden files and folders are skipped. Links to folders are followed, each real folder once.

    Raises:
        ImageError: `folder` is no folder, or one in it cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"{root}: not a folder" if root.exists() else f"{root}: no such folder")
    images: list[Path] = []
    unread: list[Unread] = []
    suffixes = read_suffixes()
    for path in _files(root):
        if path.suffix.lower() in suffixes:
            images.append(path.relative_to(root))
        elif (kind := unread_kind_of(path)) is not None:
            unread.append(Unread(path.relative_to(root), kind))
    return Listing(sorted(images, key=Path.as_posix), sorted(unread, key=lambda each: each.path.as_posix()))


def unread_kind_of(path: Path) -> str | None:
    """The kind of a file that looks like an image and is not read; None for all others."""
    if not path.suffix and path.is_symlink():  # a broken one may have led to a folder of images
        return _BROKEN if not path.exists() else None
    name = _NAMES.get(path.suffix.lower())
    return name if name is not None and not is_readable(name) else None


def unread_sentence(unread: Iterable[Unread]) -> str:
    """Count and name files that are not read, and say what to do; '' where there are none."""
    kinds: dict[str, list[str]] = {}
    for path, kind in unread:
        kinds.setdefault(kind, []).append(str(path))
    number = sum(map(len, kinds.values()))
    if not number:
        return ""
    head = "1 file that looks like an image is" if number == 1 else f"{number} files that look like images are"
    return f"{head} not read: " + "; ".join(_described(kind, names) for kind, names in sorted(kinds.items()))


def _described(kind: str, names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    if kind == _BROKEN:
        return f"{len(names)} {kind}{'s' if len(names) > 1 else ''} ({shown})"
    return f"{len(names)} {kind} ({shown}: {advice(kind)})"


def _files(root: Path) -> Iterator[Path]:
    """All files that are not hidden; broken links count as files."""
    pending, seen = [root], {root.resolve()}
    while pending:
        current = pending.pop()
        try:
            for entry in sorted(current.iterdir()):
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    yield entry
                elif (real := entry.resolve()) not in seen:
                    seen.add(real)
                    pending.append(entry)
        except OSError as error:
            raise ImageError(f"{current}: cannot be listed ({error.strerror})") from error
