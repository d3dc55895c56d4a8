"""The images in a folder, and the files in it that look like images but are not read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from srtoolbox.errors import ImageError
from srtoolbox.image.files.file_types import advice, read_suffixes, unread_kind

_BROKEN = "broken link"
_NAMED = 3  # of each kind; the others are counted


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

    Hidden files and folders are skipped. Links to folders are followed, each real folder once, so
    loops end.

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
    """The kind of a file that looks like an image and is not read; None for all others.

    A broken link without a suffix is one: it may have led to a folder of images.
    """
    if not path.suffix and path.is_symlink():
        return _BROKEN if not path.exists() else None
    return unread_kind(path.suffix)


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
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    what = f"{kind}s" if kind == _BROKEN and len(names) > 1 else kind
    return f"{len(names)} {what} ({shown}{'' if kind == _BROKEN else ': ' + advice(kind)})"


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
