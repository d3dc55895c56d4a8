"""A disk that fails on demand: every system call with which `srtoolbox.io.files` changes the disk passes through here.

`Disk` numbers these operations and, at one of them, kills the process (SIGKILL, with half of a write done) or fails
with an error number. `operations` says what was done, which is what the power-loss model replays (`faults/power.py`).
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from srtoolbox.io import files
from srtoolbox.io.threads import BackgroundCall
from srtoolbox.weights import checkpoint

KILL = -1
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)


class Operation(NamedTuple):
    """One change of the disk. `path` is where the file was when it was opened; renames do not change that."""

    kind: str
    """create, open (an existing file, to append), write, fsync, close, fsync_folder, rename, unlink, mkdir."""
    path: str
    target: str = ""
    """Of a rename."""
    data: bytes = b""
    """Of a write."""
    handle: int = 0
    """Which opening of a file a write, fsync or close belongs to."""


class Disk:
    """Counts, records and sabotages operations while active.

    Args:
        root: operations on paths elsewhere are left alone.
        at: the operation (from 0) at which the fault happens; None: never.
        fault: KILL, or an error number the operation fails with.
        lasting: whether all later operations that need space fail too, as on a full disk.
    """

    def __init__(self, root: Path, at: int | None = None, fault: int = KILL, *, lasting: bool = False) -> None:
        self.root, self.at, self.fault, self.lasting = os.path.realpath(root), at, fault, lasting
        self.operations: list[Operation] = []
        self.handles = 0

    def act(self, operation: Operation, do: Callable[[], Any], *, half: Callable[[], Any] | None = None) -> Any:
        """Do one operation, or fail at it. `half` is what has happened of it when a kill or a full disk comes."""
        if not os.path.realpath(operation.path).startswith(self.root):
            return do()
        number = len(self.operations)
        self.operations.append(operation)
        due = self.at is not None and (number == self.at or (self.lasting and number > self.at))
        if due and not (number > self.at and operation.kind in ("close", "unlink", "fsync_folder")):
            if half is not None:
                half()
            if self.fault == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(self.fault, os.strerror(self.fault), operation.path)
        return do()

    @contextlib.contextmanager
    def active(self) -> Iterator[Disk]:
        """Put this disk under the package."""
        real_open, folders = builtins.open, {}
        names = ("fsync", "replace", "unlink", "mkdir", "open", "close")
        real = {name: getattr(os, name) for name in names}

        def opened(path: Any, mode: str = "r", buffering: int = -1, **rest: Any) -> Any:
            if not set(mode) & set("wax"):
                return real_open(path, mode, buffering, **rest)
            kind = "open" if os.path.exists(path) else "create"
            self.handles += 1
            handle = self.handles
            raw = self.act(Operation(kind, str(path), handle=handle), lambda: _File(self, handle, path, mode))
            return raw if buffering == 0 else io.BufferedWriter(raw, max(buffering, io.DEFAULT_BUFFER_SIZE))

        def fsync(descriptor: int) -> None:
            path = _path_of(descriptor)
            kind = "fsync_folder" if descriptor in folders else "fsync"
            self.act(
                Operation(kind, path, handle=_File.by_number.get(descriptor, 0)), lambda: real["fsync"](descriptor)
            )

        def replace(source: Any, target: Any, **rest: Any) -> None:
            self.act(Operation("rename", str(source), str(target)), lambda: real["replace"](source, target, **rest))

        def unlink(path: Any, **rest: Any) -> None:
            if os.path.lexists(path):
                self.act(Operation("unlink", str(path)), lambda: real["unlink"](path, **rest))
            else:
                real["unlink"](path, **rest)

        def mkdir(path: Any, *args: Any, **rest: Any) -> None:
            if os.path.lexists(path):
                real["mkdir"](path, *args, **rest)
            else:
                self.act(Operation("mkdir", str(path)), lambda: real["mkdir"](path, *args, **rest))

        def os_open(path: Any, flags: int, *args: Any, **rest: Any) -> int:
            descriptor = real["open"](path, flags, *args, **rest)
            if os.path.isdir(path):
                folders[descriptor] = str(path)
            return descriptor

        def close(descriptor: int) -> None:
            folders.pop(descriptor, None)
            real["close"](descriptor)

        changes = {
            "fsync": fsync,
            "replace": replace,
            "unlink": unlink,
            "mkdir": mkdir,
            "open": os_open,
            "close": close,
        }
        with mock.patch.multiple(os, **changes), mock.patch.object(files, "open", opened, create=True):
            yield self


class _File(io.FileIO):
    """A file whose writes pass through the disk."""

    by_number: dict[int, int] = {}  # noqa: RUF012 - descriptors of open files

    def __init__(self, disk: Disk, handle: int, path: Any, mode: str) -> None:
        super().__init__(path, mode.replace("b", ""))
        self.disk, self.handle = disk, handle
        self.by_number[self.fileno()] = handle

    def write(self, data: Any) -> int:
        whole = bytes(data)
        operation = Operation("write", str(self.name), data=whole, handle=self.handle)
        write = super().write
        return self.disk.act(operation, lambda: write(whole), half=lambda: write(whole[: len(whole) // 2]))

    def close(self) -> None:
        if self.closed:
            return
        self.by_number.pop(self.fileno(), None)
        close = super().close
        try:
            self.disk.act(Operation("close", str(self.name), handle=self.handle), close)
        finally:
            close()


@contextlib.contextmanager
def writing_in_turn() -> Iterator[None]:
    """Let the main thread wait for what a thread writes for it, so that operations come in one order."""
    start = BackgroundCall.start

    def started(self: BackgroundCall, call: Callable[[], object]) -> None:
        start(self, call)
        self.wait()

    with mock.patch.object(BackgroundCall, "start", started):
        yield


def replace_atomic_write(patch: pytest.MonkeyPatch, atomic_write: Callable[..., None]) -> None:
    """Put another `atomic_write` wherever checkpoints and their sidecars are written."""
    patch.setattr(files, "atomic_write", atomic_write)
    patch.setattr(checkpoint, "atomic_write", atomic_write)


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def in_child(action: Callable[[], Any]) -> int:
    """Run `action` in a forked process. Returns its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
