"""A folder that is complete or not there: built under a hidden name, moved at the end."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

from srtoolbox.errors import SrtoolboxError
from srtoolbox.io.files import make_folder, read_json, replace, sync_folder
from srtoolbox.system import FileLock

KIND = "srtoolbox report"
"""`kind` in the `scores.json` of every report: by it a folder is known as ours."""
_HIDDEN = re.compile(r"\..+\.\d+-[0-9a-f]{6}(\.old)?\.tmp|\..+\.\d+-[0-9a-f]{6}\.lock")


class StagedFolder:
    """A folder in which a report is built; what killed processes left of one here is cleared.

    Args:
        target: the report's folder: absent, empty, or an earlier report, which is replaced.

    Raises:
        SrtoolboxError: a folder with anything else in it, a file, or a place that cannot be
            written.
    """

    def __init__(self, target: str | Path) -> None:
        self.target = Path(os.path.abspath(target)).resolve()
        clear_leftovers(self.target)
        refuse_foreign(self.target)
        name = f".{self.target.name[:50]}.{os.getpid()}-{os.urandom(3).hex()}.tmp"
        self.path = self.target.with_name(name)
        self._lock = FileLock(lock_path(self.path))
        try:
            make_folder(self.path.parent)
            with contextlib.suppress(OSError):  # where files have no locks nobody can clear it either
                self._lock.acquire()
            make_folder(self.path)
        except OSError as error:
            self._lock.release(remove=True)
            raise SrtoolboxError(f"{self.target}: cannot be written ({error.strerror})") from error

    def commit(self) -> None:
        """Put the folder in its place; an earlier report goes.

        Raises:
            SrtoolboxError: somebody has put something else there meanwhile, or the disk fails.
        """
        refuse_foreign(self.target)
        old = replaced(self.path)
        try:
            for folder, _, _ in os.walk(self.path):
                sync_folder(Path(folder))
            if self.target.exists():
                replace(self.target, old)
            try:
                replace(self.path, self.target)
            except OSError:
                if old.exists():
                    replace(old, self.target)
                raise
            sync_folder(self.target.parent)
        except OSError as error:
            raise SrtoolboxError(f"{self.target}: cannot be written ({error.strerror})") from error
        shutil.rmtree(old, ignore_errors=True)
        self._lock.release(remove=True)

    def discard(self) -> None:
        """Take away what was not committed, and let go of the place."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release(remove=True)


def replaced(path: Path) -> Path:
    """Return the place of the earlier report while the one in `path` takes its own."""
    return path.with_suffix(".old.tmp")


def lock_path(path: Path) -> Path:
    """Return the lock's path: beside the folder, as Windows moves none with an open file."""
    return path.with_suffix(".lock")


def clear_leftovers(target: Path) -> None:
    """Delete what killed processes left of reports here; a report that one set aside comes back."""
    try:
        leftovers = sorted(
            path
            for path in target.parent.iterdir()
            if path.name.startswith(f".{target.name[:50]}.") and _HIDDEN.fullmatch(path.name)
        )
    except OSError:  # no such folder yet
        return
    for path in (path for path in leftovers if path.suffix == ".lock"):
        _clear(path.with_suffix(".tmp"), target)
    for path in (path for path in leftovers if path.name.endswith(".old.tmp")):
        if not path.with_name(path.name.removesuffix(".old.tmp") + ".tmp").exists() and target.exists():
            shutil.rmtree(path, ignore_errors=True)


def _clear(path: Path, target: Path) -> None:
    """Delete the folder built in `path` unless somebody is at it."""
    lock = FileLock(lock_path(path))
    with contextlib.suppress(OSError):  # no locks: then it may be somebody's
        if lock.acquire():
            if replaced(path).is_dir() and not target.exists():
                with contextlib.suppress(OSError):  # a place that cannot be written is told of later
                    replace(replaced(path), target)
            shutil.rmtree(path, ignore_errors=True)
            lock.release(remove=True)


def refuse_foreign(target: Path) -> None:
    """Raise a SrtoolboxError where a folder is no report, or holds something else too."""
    if not target.exists():
        return
    if not target.is_dir():
        raise SrtoolboxError(f"--report {target}: is a file; name a folder")
    if target == Path.cwd() or os.path.ismount(target):
        raise SrtoolboxError(f"--report {target}: cannot be replaced as a whole; name a folder in it: {target}/report")
    if not any(target.iterdir()):
        return
    ours: set[str] = set()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        scores = read_json(target / "scores.json")
        if scores["kind"] == KIND:
            ours = set(scores["files"])
    if not ours:
        raise SrtoolboxError(f"--report {target}: the folder is there and is no report of srtoolbox; name another one")
    paths = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    more = sorted({path.relative_to(target).as_posix() for path in paths} - ours)
    if more:
        listed = ", ".join(more[:3]) + (f" and {len(more) - 3} more" if len(more) > 3 else "")
        raise SrtoolboxError(f"--report {target}: holds files that are not the report's: {listed}. Move them first")
