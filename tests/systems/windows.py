"""The ways of Windows with files, on this system: what this process has open or mapped is neither replaced nor removed,
and what it has open to read only is not flushed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from srtoolbox import system
from srtoolbox.io import files

CHANGES = ("replace", "rename", "unlink", "remove", "rmdir")


def is_in_use(path: str | os.PathLike) -> bool:
    """True if this process has a file, or one in a folder, open or mapped."""
    real = os.path.realpath(path)
    used = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            used.append(os.readlink(f"/proc/self/fd/{name}"))
    maps = Path("/proc/self/maps").read_text()
    return any(each == real or each.startswith(real + os.sep) for each in used) or f" {real}\n" in maps


def refuse_files_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `os.replace` and its like refuse what is open, as on Windows."""

    def refusing(change: Callable[..., None]) -> Callable[..., None]:
        def checked(*paths: str | os.PathLike, **named: object) -> None:
            for path in paths:
                if not isinstance(path, int) and "dir_fd" not in named and is_in_use(path):
                    raise PermissionError(errno.EACCES, "Access is denied", os.fspath(path))
            change(*paths, **named)

        return checked

    for name in CHANGES:
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def refuse_to_flush_what_is_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `os.fsync` refuse descriptors that cannot be written to, as on Windows."""
    import fcntl  # not on Windows, which refuses by itself

    real = os.fsync

    def checked(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", checked)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toolbox takes the system for Windows, whose files in use stay as they are."""
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    monkeypatch.setattr(files, "_PAUSES", (0.0, 0.0))
    refuse_files_in_use(monkeypatch)
    refuse_to_flush_what_is_only_read(monkeypatch)
