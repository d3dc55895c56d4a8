"""The plan of `upscale`: all it will read and write, decided and refused before any work."""

from __future__ import annotations

import glob
import os
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from srtoolbox.errors import ImageError
from srtoolbox.image.file_types import (
    WRITE_SUFFIXES,
    Unread,
    is_unwritable,
    listed,
    read_suffixes,
    scan_folder,
    unread_kind_of,
    unread_sentence,
)
from srtoolbox.io.files import Places, refused_name

STREAM = "-"
EXTENSIONS = ("png", "jpg", "webp", "tiff", "bmp", "same")
_NAME_BYTES = 120
"""Of the name of an image of an address: what comes behind it must fit into a file's name too."""
Kind = Literal["file", "url", "stream"]


class Naming(NamedTuple):
    """Names of results."""

    out: str | None = None
    """A folder, a file for a single result, '-' for standard output; None: beside each image."""
    suffix: str = "_sr"
    """What comes behind the name."""
    ext: str = "png"
    """One of EXTENSIONS."""


class Job(NamedTuple):
    """An image and where its result goes."""

    source: str
    """A path, an address or '-'."""
    kind: Kind
    target: Path | None
    """None: standard output."""


class Plan(NamedTuple):
    """The jobs, and what is left out."""

    jobs: list[Job]
    left_out: list[str]
    """Images that are results of an earlier run."""
    unread: str = ""
    """A sentence on what looks like an image in folders and is not read, or ''."""


class _Source(NamedTuple):
    """An image to upscale: what to call it, and the folder of its result."""

    source: str
    kind: Kind
    name: PurePosixPath | Path
    folder: Path


def plan(inputs: Sequence[str], naming: Naming) -> Plan:
    """Return one job per image; folders and patterns keep their structure under `out`.

    The output is `<name>_sr.png`, and `<name>.<suffix>_sr.png` where two images would have one. An
    image given twice is taken once. One that is the result of another (`a_sr.png` beside `a.jpg`)
    comes from an earlier run and is left out, unless results go elsewhere.

    Raises:
        SrtoolboxError: an input that is not there, a folder or pattern without images, two images
            with one output, an output that is an input, several images for one output file.
    """
    if not inputs:
        raise ImageError("no images to upscale are named")
    sources: dict[Path | str, _Source] = {}
    unread: dict[Path, Unread] = {}
    place_of = Places()
    for each in _sources(inputs, naming, unread, place_of):
        # equal for one image, whichever way it is named
        sources.setdefault(place_of(each.source) if each.kind == "file" else each.source, each)
    sentence = unread_sentence(unread.values())
    if not sources:
        raise ImageError(f"{', '.join(inputs)}: no images that are read; {sentence}")
    if naming.out is not None and is_single(naming.out):
        return Plan([_single(list(sources.values()), naming.out, place_of)], [], sentence)
    earlier = _earlier(sources, naming, place_of) if naming.suffix else []
    kept = {place: each for place, each in sources.items() if place not in earlier}
    images = _images(kept.values(), place_of)
    plain = Counter(place_of(each.folder / _names(each, naming)[0]) for each in kept.values())
    outputs: dict[Path, str] = {}
    jobs = []
    for each in kept.values():
        short, full = (each.folder / name for name in _names(each, naming))
        target = full if plain[place_of(short)] > 1 else short
        _check_target(each.source, target, images, outputs, place_of)
        jobs.append(Job(each.source, each.kind, target))
    return Plan(jobs, [sources[place].source for place in earlier], sentence)


def is_single(out: str | None) -> bool:
    """True if `-o` names one image, a file or standard output, and no folder.

    Raises:
        ImageError: it names an image of a format that is not written.
    """
    if out is None or out == STREAM:
        return out == STREAM
    if out.endswith(("/", os.sep)) or Path(out).is_dir():
        return False
    suffix = Path(out).suffix.lower()
    if is_unwritable(suffix):
        raise ImageError(f"{out}: no format that is written; name it {listed()}")
    return suffix in WRITE_SUFFIXES


def _earlier(sources: Mapping[Path | str, _Source], naming: Naming, place_of: Places) -> list[Path | str]:
    """Return the places of images that are results of others among them, in whatever format."""
    results = {
        place_of(each.folder / f"{stem}{naming.suffix}")
        for each in sources.values()
        for stem in (each.name.stem, each.name.name)
    }
    return [
        place
        for place in sources
        if isinstance(place, Path) and place.suffix.lower() in WRITE_SUFFIXES and place.with_suffix("") in results
    ]


def _single(sources: list[_Source], out: str, place_of: Places) -> Job:
    if len(sources) != 1:
        raise ImageError(f"-o {out}: one file for {len(sources)} images; give a folder")
    (each,) = sources
    target = None if out == STREAM else Path(out)
    if target is not None:
        _check_target(each.source, target, _images([each], place_of), {}, place_of)
    return Job(each.source, each.kind, target)


def _images(sources: Iterable[_Source], place_of: Places) -> set[Path]:
    """Return the files that are read: those named, and those that links among them lead to."""
    paths = [Path(each.source) for each in sources if each.kind == "file"]
    return {place for path in paths for place in (place_of(path), place_of(os.path.realpath(path)))}


def _check_target(source: str, target: Path, images: set[Path], outputs: dict[Path, str], place_of: Places) -> None:
    refused = refused_name(target)
    if refused:
        raise ImageError(f"{source} cannot be written to {target} ({refused}): give a --suffix")
    other = outputs.setdefault(place_of(target), source)
    if other is not source:
        both = f"{other} and {source} would both be written to {target}"
        raise ImageError(f"{both}: upscale them separately")
    if place_of(target) in images:
        advice = "give another folder (-o) or --suffix"
        raise ImageError(f"{source} would be written over the image {target}: {advice}")


def _names(each: _Source, naming: Naming) -> tuple[str, str]:
    """Return the usual name of an output, and one by which `photo.bmp` and `photo.tiff` differ."""
    own = each.name.suffix if each.name.suffix.lower() in WRITE_SUFFIXES else ".png"
    ext = own if naming.ext == "same" else f".{naming.ext}"
    return f"{each.name.stem}{naming.suffix}{ext}", f"{each.name.name}{naming.suffix}{ext}"


def _sources(inputs: Sequence[str], naming: Naming, unread: dict[Path, Unread], place_of: Places) -> Iterator[_Source]:
    """Yield the images to upscale; what folders hold and is not read goes into `unread`."""
    base = Path(naming.out) if naming.out and not is_single(naming.out) else None
    for text in inputs:
        if text == STREAM:
            if naming.out is None:
                raise ImageError(
                    "an image from standard input needs a place to go: -o FILE, -o DIR, or -o - for stdout"
                )
            yield _Source(STREAM, "stream", PurePosixPath("stdin"), base or Path())
        elif "://" in text:
            yield _Source(text, "url", _name_in(text), base or Path())
        elif os.path.isdir(text):
            yield from _in_folder(Path(text), base, unread, place_of)
        elif os.path.lexists(text):  # a broken link too: reading it tells
            yield _Source(text, "file", Path(text), base or Path(text).parent)
        elif glob.has_magic(text):
            yield from _in_pattern(text, base, unread, place_of)
        else:
            raise ImageError(f"{text}: no such image or folder")


def _in_folder(folder: Path, base: Path | None, unread: dict[Path, Unread], place_of: Places) -> Iterator[_Source]:
    listing = scan_folder(folder)
    if not listing.images and not listing.unread:
        raise ImageError(f"{folder}: no images in this folder")
    for path, kind in listing.unread:
        unread[place_of(folder / path)] = Unread(folder / path, kind)
    for name in listing.images:
        yield _Source(str(folder / name), "file", name, (base or folder) / name.parent)


def _in_pattern(pattern: str, base: Path | None, unread: dict[Path, Unread], place_of: Places) -> Iterator[_Source]:
    """Yield the images, by suffix, of a pattern, in which `**` is any number of folders."""
    fixed, suffixes = Path(*_before_magic(Path(pattern).parts)), read_suffixes()
    paths = [Path(text) for text in sorted(glob.glob(pattern, recursive=True))]
    paths = [path for path in paths if not path.is_dir()]
    images = [path for path in paths if path.suffix.lower() in suffixes]
    others = {
        place_of(path): Unread(path, kind)
        for path in paths
        if path.suffix.lower() not in suffixes and (kind := unread_kind_of(path)) is not None
    }
    if not images and not others:
        raise ImageError(f"{pattern}: describes no images ({listed(suffixes)})")
    unread.update(others)
    for path in images:
        folder = path.parent if base is None else base / path.parent.relative_to(fixed)
        yield _Source(str(path), "file", path, folder)


def _before_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _name_in(url: str) -> PurePosixPath:
    """Return the name for an image of an address: the last part of its path, fit for a file."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise ImageError(f"{url}: no address ({error})") from error
    if parts.scheme != "https":
        raise ImageError(f"{url}: only files and addresses https://... are read")
    if not parts.hostname:
        raise ImageError(f"{url}: no address (it names no host)")
    name = urllib.parse.unquote(parts.path).rpartition("/")[2]
    safe = "".join(sign if sign.isprintable() and sign not in '\\:*?"<>|' else "_" for sign in name)
    short = safe.encode()[-_NAME_BYTES:].decode(errors="ignore")
    return PurePosixPath(short.lstrip(".") or "picture")
