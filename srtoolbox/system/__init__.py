"""Linux, macOS and Windows: the one place that imports or names what not all of them have.

Each function does its task by what the system at hand has, or says that it cannot.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import logging
import mmap
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # asked for before use
try:
    import msvcrt
except ImportError:  # all others
    msvcrt = None  # type: ignore[assignment]  # likewise
try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # likewise

IS_WINDOWS = os.name == "nt"
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGBREAK") if hasattr(signal, name)
)
"""Signals to save and stop: SIGUSR1 is POSIX's (SLURM sends it), SIGBREAK (Ctrl-Break) Windows'."""
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Errors of `FileLock.acquire` where a file system has no locks, as some of a network."""
_LOGGER = logging.getLogger("srtoolbox")  # `logger.py` imports this module
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class FileLock:
    """An exclusive lock between processes, and within one, on an empty file that nobody else opens.

    It ends with the process, however that ends: a file left behind locks nothing. Processes forked
    or spawned by the holder do not hold it (`flock`, which the libraries use, is held by forked
    ones too: workers that outlive a killed run would go on holding it). Whose it is must be written
    into a file beside it: on Windows a locked file cannot be read by others, and on POSIX systems
    the lock ends when its process closes any descriptor of the file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def is_held(self) -> bool:
        """True if this object has the lock; in a process forked by the holder it has not."""
        return self._identity in _held

    def acquire(self) -> bool:
        """Take or keep the lock and return True; return False at once where somebody else has it.

        Raises OSError where the file cannot be made, or the file system has no locks.
        """
        if self.is_held:
            return True
        with _guard:
            while True:
                if _identity_of(self.path) in _held:  # closing the file would give it up
                    return False
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)  # not inherited
                try:
                    is_ours = _lock(descriptor)
                    status = os.fstat(descriptor)
                    identity = (status.st_dev, status.st_ino)
                except OSError:
                    os.close(descriptor)
                    with contextlib.suppress(OSError):
                        self.path.unlink()  # where there are no locks it is nobody's
                    raise
                if is_ours and _identity_of(self.path) == identity:
                    self._descriptor, self._identity = descriptor, identity
                    _held.add(identity)
                    return True
                os.close(descriptor)
                if not is_ours:
                    return False  # else its last holder has just removed the file: lock the new one

    def release(self, *, remove: bool = False) -> None:
        """Let others have it, where it is held; with `remove` take the file away, too."""
        if not self.is_held or self._descriptor is None:
            return
        with _guard:
            if remove and not IS_WINDOWS:  # first: nobody takes the lock on a file that goes
                with contextlib.suppress(OSError):
                    self.path.unlink()
            if fcntl is None and msvcrt is not None:  # POSIX unlocks by closing
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                msvcrt.locking(self._descriptor, msvcrt.LK_UNLCK, 1)
            os.close(self._descriptor)
            if remove and IS_WINDOWS:  # which removes no open file
                with contextlib.suppress(OSError):
                    self.path.unlink()
            _held.discard(self._identity)
            self._descriptor = self._identity = None


def acquire_or_warn(lock: FileLock, advice: str) -> bool:
    """`lock.acquire()`; where a file system has no locks, True, and a warning with the advice.

    The lock keeps the folder that its file lies in. Raises OSError where the file cannot be made.
    """
    try:
        return lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _LOGGER.warning("%s: cannot be locked (%s): %s", lock.path.parent, error.strerror, advice)
        return True


_held: set[tuple[int, int]] = set()  # by this process: (device, inode)
_guard = threading.Lock()


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _lock(descriptor: int) -> bool:
    """True if the lock could be had. Raises OSError where there are no locks."""
    try:
        if fcntl is not None:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def _forget_locks() -> None:
    """In a forked process: it has inherited what this module knows, but no lock."""
    global _guard  # one that another thread held at the fork is never released here
    _held.clear()
    _guard = threading.Lock()


_leaves_garbage = False


@contextlib.contextmanager
def garbage_left_alone() -> Iterator[None]:
    """Let processes that are forked inside never collect what this one has, used or not.

    Of its threads a child has only the one that forked it: what waits for others as it goes, such
    as a decoder of videos, would wait for ever.
    """
    global _leaves_garbage
    before, _leaves_garbage = _leaves_garbage, True
    try:
        yield
    finally:
        _leaves_garbage = before


def _leave_garbage() -> None:
    """In a forked process, before anything can be collected there."""
    if _leaves_garbage:
        gc.freeze()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
    os.register_at_fork(after_in_child=_leave_garbage)


def is_own(path: Path) -> bool:
    """True if this user owns a file or link, or the system does not tell. Raises OSError."""
    return not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()


def kill_process(pid: int) -> None:
    """End another process at once, however it is stuck. Raises OSError."""
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows ends a process by either


def start_apart(command: Sequence[str], output: BinaryIO) -> subprocess.Popen:
    """Start a process that Ctrl-C in this one's terminal does not reach.

    All it prints goes to a file.

    Raises OSError where there is no such program.
    """
    return subprocess.Popen(  # noqa: S603 - the user's own command
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=not IS_WINDOWS,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if IS_WINDOWS else 0,
    )


def pass_on(process: subprocess.Popen, signum: int) -> None:
    """Send a signal to stop to such a process.

    On Windows, which knows no other there, Ctrl-Break.
    """
    with contextlib.suppress(OSError):  # it has ended
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signum) if IS_WINDOWS else signum)


def parent_of(pid: int) -> int | None:
    """Return the number of a process's parent.

    None where the system, unlike Linux, does not say.
    """
    try:
        return int(_status(pid)[1])
    except (OSError, IndexError, ValueError):
        return None


def started_at(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch; None as above."""
    try:
        since_boot = int(_status(pid)[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, AttributeError, IndexError, ValueError):
        return None


def environment_of(pid: int) -> bytes | None:
    """Return the variables a process began with, `NAME=value` parted by zeros; None as above."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None


def _status(pid: int) -> list[str]:
    """/proc/<pid>/stat from the state on, which follows the name in parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def address_space_left(pages: int) -> int | None:
    """Return the bytes that `ulimit -v` leaves with `pages` taken; None without a limit."""
    if resource is None:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit - pages * resource.getpagesize()


def forget_pages(address: int, size: int) -> None:
    """Give pages of a mapped file back to the system, which keeps them.

    Read again, they are mapped anew.
    Where the system has no such call nothing happens.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        start = address - address % mmap.PAGESIZE
        advise = ctypes.CDLL(None).madvise
        advise(ctypes.c_void_p(start), ctypes.c_size_t(address + size - start), ctypes.c_int(mmap.MADV_DONTNEED))


# ---- free memory where there is no /proc/meminfo: by a call on Windows, by `vm_stat` on macOS


def available_bytes() -> int | None:
    """Return the bytes that can be taken without swapping; None where the system does not tell."""
    library = getattr(ctypes, "windll", None)
    if library is not None:
        status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
        if not library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None
        return min(status.free_physical, status.free_commit)  # promises end at RAM and page file
    try:
        done = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_vm_stat(done.stdout)


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("physical", "free_physical", "commit", "free_commit")),
        *((name, ctypes.c_uint64) for name in ("virtual", "free_virtual", "free_extended")),
    )


def parse_vm_stat(text: str) -> int | None:
    """Return the bytes of free, speculative and inactive pages.

    The last two are given up on need.
    """
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {name: int(count) for name, count in re.findall(r"^Pages (\w+):\s+(\d+)\.", text, flags=re.MULTILINE)}
    if size is None or "free" not in pages:
        return None
    return int(size[1]) * sum(pages.get(name, 0) for name in ("free", "speculative", "inactive"))
