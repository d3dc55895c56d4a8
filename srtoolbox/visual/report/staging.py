"""A folder that is complete or not there: built beside its place under a hidden name, moved there at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from srtoolbox.errors import SrtoolboxError
from srtoolbox.files import make_folder, read_json, sync_folder

KIND = "srtoolbox report"
"""`kind` in the `scores.json` of every report: by it a folder is known as ours."""


class StagedFolder:
    """Where a report is built until it is complete.

    Args:
        target: the report's folder: absent, empty, or an earlier report, which is replaced.

    Raises:
        SrtoolboxError: a folder with anything else in it, a file, or a place that cannot be written.
    """

    def __init__(self, target: str | Path) -> None:
        self.target = Path(os.path.abspath(target)).resolve()
        refuse_foreign(self.target)
        name = f".{self.target.name[:50]}.{os.getpid()}-{os.urandom(3).hex()}.tmp"
        self.path = self.target.with_name(name)
        try:
            make_folder(self.path)
        except OSError as error:
            raise SrtoolboxError(f"{self.target}: cannot be written ({error.strerror})") from error

    def commit(self) -> None:
        """Put the folder in its place; an earlier report goes.

        Raises:
            SrtoolboxError: somebody has put something else there meanwhile, or the disk fails.
        """
        refuse_foreign(self.target)
        old = self.path.with_suffix(".old.tmp")
        try:
            for folder, _, _ in os.walk(self.path):
                sync_folder(Path(folder))
            if self.target.exists():
                os.replace(self.target, old)
            try:
                os.replace(self.path, self.target)
            except OSError:
                if old.exists():
                    os.replace(old, self.target)
                raise
            sync_folder(self.target.parent)
        except OSError as error:
            raise SrtoolboxError(f"{self.target}: cannot be written ({error.strerror})") from error
        shutil.rmtree(old, ignore_errors=True)

    def discard(self) -> None:
        """Take away what was not committed."""
        shutil.rmtree(self.path, ignore_errors=True)


def refuse_foreign(target: Path) -> None:
    """Raise a SrtoolboxError where a folder must not be replaced: it is not a report, or holds something else too."""
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
    found = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    more = sorted({path.relative_to(target).as_posix() for path in found} - ours)
    if more:
        listed = ", ".join(more[:3]) + (f" and {len(more) - 3} more" if len(more) > 3 else "")
        raise SrtoolboxError(f"--report {target}: holds files that are not the report's: {listed}. Move them first")
