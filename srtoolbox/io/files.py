"""Writing files, so that no reader ever meets half a one; and their names.

`atomic_write` writes a temporary file in the same folder, flushes it to the disk, renames it over
the target and flushes the folder; logs are written by lines. Checkpoints are committed by a sidecar
(`weights/checkpoint.py`).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from srtoolbox import system
from srtoolbox.errors import SrtoolboxError, WriteError

_BUFFER = 1 << 20  # bytes: few system calls, though a file of tensors comes in small pieces
_PAUSES = (0.02, 0.05, 0.1, 0.3, 0.6, 1.0)  # seconds between attempts to replace a file
ESCAPE_HINT = r"write paths with /, or as r'D:\photos'"
ESCAPES = {ord(sign): rf"\{letter}" for sign, letter in zip("\a\b\f\n\r\t\v", "abfnrtv", strict=True)}
"""Signs that a backslash and a letter make in quotes, as they were typed (for `str.translate`)."""
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_SIGNS = re.compile(r'[<>:"|?*\x00-\x1f]')
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{6}\.tmp")
# of file systems that cannot flush folders, and of folders that may be written to but not read
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)


def atomic_write(
    path: str | os.PathLike,
    writer: Callable[[BinaryIO], object],
    *,
    size: int | Callable[[], int] | None = None,
    before_rename: Callable[[], object] = lambda: None,
) -> None:
    """Create or replace `path` with what `writer(file)` writes: the file is the old or the new one.

    When it returns, the new file and its name are on the disk, safe from a power loss.

    Args:
        path: the file; folders are made.
        writer: called once with the open temporary file.
        size: bytes it will write, where that is known or can be counted, for the message about a
            full disk.
        before_rename: called when all is on the disk, under the name of the temporary file.

    Raises:
        WriteError: the disk is full or the folder cannot be written; names the path, the bytes
            needed and those free. Nothing half-written is left.
    """
    path = Path(path)
    refused = refused_name(path)
    if refused:
        raise WriteError(f"{path}: cannot be written ({refused})")
    # urandom: no other thread or machine on the same folder has this name, and the run's random
    # states stay as they are
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}-{os.urandom(3).hex()}.tmp")
    with write_errors(path, size):
        make_folder(path.parent)
        try:
            with open(temporary, "xb", buffering=_BUFFER) as file:
                writer(file)
                file.flush()
                os.fsync(file.fileno())
            before_rename()
            replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):  # the fault that brought us here is the one to tell
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextlib.contextmanager
def write_errors(path: str | os.PathLike, size: int | Callable[[], int] | None = None) -> Iterator[None]:
    """Raise the OSErrors of a block as WriteError, which names the path."""
    try:
        yield
    except OSError as error:
        size = size() if callable(size) else size
        raise WriteError(write_fault(Path(path), error, size)) from error


def open_new(path: str | os.PathLike) -> BinaryIO:
    """Open a file that is not there yet, to write what comes; folders are made. Raises OSError.

    For files of this process alone, as in a temporary folder: half of it can be read meanwhile.
    """
    make_folder(Path(path).parent)
    return open(path, "xb", buffering=_BUFFER)


def replace(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """`os.replace`, tried again for two seconds on Windows while either of the two is open."""
    # which mostly is a moment: a virus scanner, an indexer, another rank that reads
    for pause in _PAUSES if system.IS_WINDOWS else ():
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(source, target)


def prepare_folder(folder: Path) -> None:
    """Make a folder, safe from a power loss, and delete what killed writers left in it.

    Only for a folder nobody else is writing to. Raises WriteError.
    """
    with write_errors(folder):
        make_folder(folder)
        sync_folder(folder.parent)  # whoever made it
        for path in folder.glob(".*.tmp"):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; flush the new ones' entries to the disk. Raises OSError."""
    if folder.is_dir():
        return
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(new):
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where its file system can.

    Raises OSError on failure.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def sync_file(path: str | os.PathLike) -> None:
    """Flush a file that was appended to, if it is there, and its name; raises WriteError."""
    with write_errors(path), contextlib.suppress(FileNotFoundError):
        with open(path, "r+b") as file:  # Windows flushes none that is open to read only
            os.fsync(file.fileno())
        sync_folder(Path(path).parent)


def shorten(path: str | os.PathLike, size: int) -> None:
    """Cut a file to `size` bytes where it is longer, and flush it; raises WriteError."""
    with write_errors(path):
        if os.path.getsize(path) > size:
            with open(path, "r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())


def write_bytes(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """`atomic_write` of bytes at hand."""
    atomic_write(path, lambda file: file.write(data), size=len(data))


def write_text(path: str | os.PathLike, text: str) -> None:
    """`atomic_write` of text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: object) -> None:
    """`atomic_write` of a JSON value; non-finite numbers become strings, 'inf', '-inf', 'nan'."""
    write_text(path, json.dumps(finite_json(value), indent=2, ensure_ascii=False) + "\n")


def finite_json(value: object) -> object:
    """`value` with the strings 'inf', '-inf', 'nan' for non-finite numbers, as JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(item) for item in value]
    return value


def sha256(path: str | os.PathLike) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """The SHA-256 of files, each read once until its inode, size or times change."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def __call__(self, path: str | os.PathLike) -> str:
        """Return the hex digest of a file. Raises OSError."""
        stat = os.stat(path)
        now = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
        before, digest = self._known.get(os.fspath(path), (None, ""))
        if before != now:
            digest = sha256(path)
            self._known[os.fspath(path)] = now, digest
        return digest


def read_json(path: str | os.PathLike) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in a file. Raises OSError or ValueError."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def append_line(path: str | os.PathLike, line: str) -> None:
    """Add one line to a log (see `append_bytes`)."""
    append_bytes(path, line.encode("utf-8") + b"\n")


def append_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Add to a file, made if it is not there, by one system call: a kill tears nothing older.

    Raises:
        WriteError: the disk is full or failing; nothing of `data` is in the file.
    """
    with write_errors(path, len(data)), open(path, "ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(data) != len(data):  # the disk took a part of it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(before)
            raise


@contextlib.contextmanager
def appended_by_others(path: Path) -> Iterator[BinaryIO]:
    """Yield a file, made with its folder if need be, to which another process adds what it prints.

    Raises:
        WriteError: it cannot be made.
    """
    with write_errors(path):
        make_folder(path.parent)
        file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed below
    with file:
        yield file


def write_fault(path: Path, error: OSError, size: int | None = None) -> str:
    """Say why `path` could not be written: of a full disk the bytes needed, free and missing."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        may_be_open = system.IS_WINDOWS and isinstance(error, PermissionError)
        hint = "; another program may have it open: close that and try again" if may_be_open else ""
        return f"{path}: cannot be written ({error.strerror or error}{hint})"
    folder = next((each for each in path.parents if each.is_dir()), Path.cwd())
    free = shutil.disk_usage(folder).free
    needed = f"{_amount(size)} needed, " if size is not None else ""
    missing = f", {_amount(size - free)} missing" if size is not None and size > free else ""
    kind = "disk full" if error.errno == errno.ENOSPC else "disk quota used up"
    return f"{path}: {kind}: {needed}{_amount(free)} free{missing}. Free some space; what was written before is intact."


def _amount(size: int) -> str:
    return f"{size} bytes ({size / 2**20:.1f} MiB)"


# ---- names


def windows_fault(name: str) -> str | None:
    """Say why Windows cannot hold a file or folder of this name; None where it can.

    It would write to a device, to a hidden stream of another file, or under a shorter name.
    """
    if _DEVICES.fullmatch(name):
        return f"{name.partition('.')[0].upper()} is the name of a device, whatever comes behind the dot"
    if name[-1:] in (".", " ") and name.strip("."):
        return "a name cannot end in a dot or a space"
    sign = _SIGNS.search(name)
    return f"a name cannot hold {sign[0]!r}" if sign else None


def refused_name(path: str | os.PathLike) -> str | None:
    """Say why this system cannot write `path` under its name; None where it can, as off Windows."""
    if not system.IS_WINDOWS:
        return None
    path = Path(path)
    parts = path.parts[1:] if path.anchor else path.parts
    fault = next(((part, fault) for part in parts if (fault := windows_fault(part))), None)
    return f"Windows has no file of the name {fault[0]!r}: {fault[1]}" if fault else None


def is_case_blind(folder: str | os.PathLike) -> bool:
    """True if a folder, or the nearest existing one above it, ignores the case of names."""
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
    """True if a name has letters whose cases all systems equate; the upper case of 'ß' is 'SS'."""
    return name.isascii() and name.swapcase() != name


def place_of(path: str | os.PathLike) -> Path:
    """Return one path for one entry of a folder, to compare, not to open.

    A link is its own entry.
    """
    return Places()(path)


class Places:
    """`place_of` for many entries, while no folder is moved: each is looked at once."""

    def __init__(self) -> None:
        self._folders: dict[str, tuple[Path, bool]] = {}
        self._places: dict[str, Path] = {}

    def __call__(self, path: str | os.PathLike) -> Path:
        """Return the place of an entry."""
        text = os.fspath(path)
        if text not in self._places:
            self._places[text] = self._place(Path(path))
        return self._places[text]

    def _place(self, path: Path) -> Path:
        parent = path.parent
        key = str(parent)
        if key not in self._folders:
            folder = parent.resolve()
            self._folders[key] = folder, is_case_blind(folder)
        folder, ignores_case = self._folders[key]
        place = folder / path.name
        if not ignores_case:
            return place
        return Path(*(unicodedata.normalize("NFC", part).casefold() for part in place.parts))


def slash_hint(path: str | os.PathLike) -> str:
    """Say what to write where a backslash in a path was meant for a separator, else nothing."""
    text = os.fspath(path)
    escaped = next((ESCAPES[ord(sign)] for sign in text if ord(sign) in ESCAPES), None)
    if escaped:
        return f"{escaped} in quotes is one sign, no {escaped[1:]} behind a backslash: {ESCAPE_HINT}"
    return "write paths with /, which every system takes" if "\\" in text and os.sep == "/" else ""


class Claims:
    """The owner of each file, none written twice: names may be one by case or a replaced sign."""

    def __init__(self) -> None:
        self._owners: dict[Path, str] = {}

    def claim(self, path: Path, owner: str) -> Path:
        """Return `path`, now the owner's; raises SrtoolboxError where another one has it."""
        other = self._owners.setdefault(place_of(path), owner)
        if other != owner:
            raise SrtoolboxError(f"{other} and {owner} would both be written to {path}: rename one of them")
        return path
