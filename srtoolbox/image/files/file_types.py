"""Image formats: all suffixes, the first bytes of the files, which are read and written."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from PIL import features

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
TIFF_SUFFIXES = (".tif", ".tiff")
DEEP_SUFFIXES = (".png", *TIFF_SUFFIXES)
"""Of formats written with 16 bits."""
QUALITY_SUFFIXES = (*JPEG_SUFFIXES, ".webp")
"""Of formats written at a quality of 1 ... 100."""
WRITE_SUFFIXES = frozenset({".png", ".bmp", ".webp", *JPEG_SUFFIXES, *TIFF_SUFFIXES})
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
_STARTS = {
    b"GIF8": "GIF",
    b"\xff\x0a": JXL,
    b"\0\0\0\x0cJXL \r\n\x87\n": JXL,
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"II\xbc": "JPEG XR",
    b"8BPS": "Photoshop",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"DDS ": "DDS",
    b"\0\0\1\0": "icon",
    b"icns": "icon",
    b"<svg": "SVG",
    b"qoif": "QOI",
    b"gimp xcf": "GIMP",
    b"II*\0\x10\0\0\0CR": RAW,
    b"IIRO": RAW,
    b"IIRS": RAW,
    b"MMOR": RAW,
    b"IIU\0": RAW,
    b"FUJIFILMCCD-RAW": RAW,
    b"FOVb": RAW,
    b"\0MRM": RAW,
    b"II\x1a\0\0\0HEAPCCDR": RAW,
    b"\x1aE\xdf\xa3": VIDEO,
    **{b"P%d%c" % (number, blank): "PNM" for number in range(1, 8) for blank in b"\n\r\t "},
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
START_BYTES = 64
"""The length of the beginning that `kind_of` wants to see."""


def read_suffixes() -> frozenset[str]:
    """Suffixes, in small letters, of the formats that are read with what is installed here."""
    optional = [suffix for name, suffixes in _OPTIONAL.items() if is_readable(name) for suffix in suffixes]
    return WRITE_SUFFIXES | {".apng", ".dib", ".gif", ".mpo", *optional}


def unread_kind(suffix: str) -> str | None:
    """The name of the format, where a suffix is an image's that is not read here; else None."""
    name = _NAMES.get(suffix.lower())
    return name if name is not None and not is_readable(name) else None


def is_unwritable(suffix: str) -> bool:
    """True for the suffix of an image, or a page, that is not written."""
    suffix = suffix.lower()
    return suffix in (read_suffixes() | set(_NAMES) | {".pdf"}) - WRITE_SUFFIXES


def is_readable(kind: str) -> bool:
    """True if files that `kind_of` names so can be read: by Pillow alone, or by an extra that is installed."""
    if kind == AVIF:
        return bool(features.check("avif"))
    if kind in _PACKAGES:
        return importlib.util.find_spec(_PACKAGES[kind]) is not None
    return kind == "GIF"


def kind_of(start: bytes) -> str | None:
    """Name the format of a file by its first bytes; None if always read (but GIF) or unknown."""
    if start[4:8] == b"ftyp":
        brands = {start[8:12], *(start[at : at + 4] for at in range(16, min(len(start), _box_length(start)), 4))}
        if brands & {b"avif", b"avis"}:
            return AVIF
        if brands & _HEIF_BRANDS:
            return HEIC
        return RAW if b"crx " in brands else VIDEO
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return VIDEO
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return WEB_PAGE
    return next((kind for beginning, kind in _STARTS.items() if start.startswith(beginning)), None)


def _box_length(start: bytes) -> int:
    return int.from_bytes(start[:4], "big")


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
