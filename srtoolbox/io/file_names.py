"""Names of files: which of them Windows cannot hold, and which two are one file where case does not count."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import unicodedata
from pathlib import Path

from srtoolbox import system
from srtoolbox.errors import SrtoolboxError

ESCAPE_HINT = r"write paths with /, or as r'D:\photos'"
ESCAPES = {ord(sign): rf"\{letter}" for sign, letter in zip("\a\b\f\n\r\t\v", "abfnrtv", strict=True)}
"""Signs that a backslash and a letter make in quotes, as they were typed (for `str.translate`)."""
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_SIGNS = re.compile(r'[<>:"|?*\x00-\x1f]')


def windows_fault(name: str) -> str | None:
    """Say why Windows cannot hold a file or folder of this name; None where it can.

    It would not refuse most of these but do something else: write to a device, to a hidden stream
    of another file, or under a shorter name.
    """
    if _DEVICES.fullmatch(name):
        return f"{name.partition('.')[0].upper()} is the name of a device, whatever comes behind the dot"
    if name[-1:] in (".", " ") and name.strip("."):
        return "a name cannot end in a dot or a space"
    sign = _SIGNS.search(name)
    return f"a name cannot hold {sign[0]!r}" if sign else None


def refused_name(path: str | os.PathLike) -> str | None:
    """Say why the system at hand cannot write `path` under its name; None where it can, as anywhere but on Windows."""
    if not system.IS_WINDOWS:
        return None
    path = Path(path)
    parts = path.parts[1:] if path.anchor else path.parts
    fault = next(((part, fault) for part in parts if (fault := windows_fault(part))), None)
    return f"Windows has no file of the name {fault[0]!r}: {fault[1]}" if fault else None


def is_case_blind(folder: str | os.PathLike) -> bool:
    """True if a folder, or the nearest above it that exists, takes names that differ only in case for one."""
    folder = Path(os.path.abspath(folder))
    while not folder.is_dir():
        folder = folder.parent
    return _is_case_blind(folder)


@functools.lru_cache(maxsize=256)
def _is_case_blind(folder: Path) -> bool:
    inside = None
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        inside = next((entry.name for entry in entries if _has_case(entry.name)), None)
    path = folder / inside if inside else folder
    if not _has_case(path.name):
        return system.IS_WINDOWS
    other = path.with_name(path.name.swapcase())
    return other.exists() and other.samefile(path)


def _has_case(name: str) -> bool:
    """True if a name has letters of two cases that all systems take for each other; the upper case of 'ß' is 'SS'."""
    return name.isascii() and name.swapcase() != name


def place_of(path: str | os.PathLike) -> Path:
    """Return one path for one entry of one folder, to compare, not to open; a link counts as an entry of its own."""
    path = Path(path)
    folder = path.parent.resolve()
    if not is_case_blind(folder):
        return folder / path.name
    return Path(*(unicodedata.normalize("NFC", part).casefold() for part in (folder / path.name).parts))


def slash_hint(path: str | os.PathLike) -> str:
    """Say, where a path shows that a backslash was meant for a separator, what to write; else nothing."""
    text = os.fspath(path)
    escaped = next((ESCAPES[ord(sign)] for sign in text if ord(sign) in ESCAPES), None)
    if escaped:
        return f"{escaped} in quotes is one sign, no {escaped[1:]} behind a backslash: {ESCAPE_HINT}"
    return "write paths with /, which every system takes" if "\\" in text and os.sep == "/" else ""


class Claims:
    """The owner of each file: two names may be one by case or a replaced sign, and none is written twice."""

    def __init__(self) -> None:
        self._owners: dict[Path, str] = {}

    def claim(self, path: Path, owner: str) -> Path:
        """Return `path`, from now on the owner's.

        Raises:
            SrtoolboxError: another one has it.
        """
        other = self._owners.setdefault(place_of(path), owner)
        if other != owner:
            raise SrtoolboxError(f"{other} and {owner} would both be written to {path}: rename one of them")
        return path
