"""The one place for what systems differ in: locks end with their process; nobody else names what not all have."""

from __future__ import annotations

import ast
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from srtoolbox import system
from srtoolbox.apps.video.parts import PartsLock
from srtoolbox.data.stores.lmdb_writer import LmdbWriter
from srtoolbox.engine.job.workdir import RunLock
from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.tiling import memory
from srtoolbox.system import FileLock
from tests.systems import hidden

PACKAGE = Path(__file__).parents[2] / "srtoolbox"
MODULES = {*hidden.MODULES, "msvcrt", "winreg", "_winapi"}
WINDOWS_ONLY = {"os": "startfile O_BINARY", "signal": "SIGBREAK CTRL_BREAK_EVENT CTRL_C_EVENT"}
NAMES = {name: set(f"{names} {WINDOWS_ONLY.get(name, '')}".split()) for name, names in hidden.NAMES.items()}


def foreign_names(source: str) -> set[str]:
    """Return what a file imports or names that not every system has."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom):
            names = NAMES.get(node.module or "", ())
            found |= {alias.name for alias in node.names if node.module in MODULES or alias.name in names}
        elif isinstance(node, ast.Attribute) and node.attr in NAMES.get(ast.unparse(node.value), ()):
            found.add(ast.unparse(node))
    return found


def test_only_one_file_names_what_not_every_system_has() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "system/__init__.py"]
    found = {path.relative_to(PACKAGE).as_posix(): foreign_names(path.read_text("utf-8")) for path in files}
    assert not {name: names for name, names in found.items() if names}


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "from resource import getrlimit",
        "import signal\nsignal.signal(signal.SIGUSR1, f)",
        "def f():\n    from os import O_DIRECTORY",
        "if x:\n    n = len(os.sched_getaffinity(0))",
    ],
)
def test_the_rule_bites(source: str) -> None:
    assert foreign_names(source)


def test_files_of_another_user_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.is_own(tmp_path)
    if hasattr(os, "getuid"):
        monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
        assert not system.is_own(tmp_path)


TAKE = "import sys; from srtoolbox.system import FileLock; print(FileLock(sys.argv[1]).acquire())"


def can_be_taken(path: Path) -> bool:
    """True if another process gets the lock."""
    done = subprocess.run([sys.executable, "-c", TAKE, path], check=True, capture_output=True, text=True)
    return done.stdout.strip() == "True"


def test_a_lock_excludes_within_and_between_processes_until_it_is_released(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire() and first.acquire()
    assert not second.acquire()
    assert not can_be_taken(tmp_path / "lock"), "asking within the process has not given it up"
    first.release()
    assert second.acquire() and not first.acquire()
    second.release(remove=True)
    assert not (tmp_path / "lock").exists()


@pytest.mark.skipif(system.IS_WINDOWS, reason="Windows forks no processes")
def test_a_forked_process_holds_no_lock_and_takes_none_away(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    child = os.fork()
    if child == 0:
        is_held, is_taken = lock.is_held, lock.acquire()
        lock.release(remove=True)
        os._exit(is_held + 2 * is_taken)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "lock").exists() and lock.is_held and not can_be_taken(tmp_path / "lock")
    lock.release()


HOLDER = """
import multiprocessing, sys, time
if __name__ == "__main__":
    from srtoolbox.system import FileLock
    lock = FileLock(sys.argv[1])
    assert lock.acquire()
    worker = multiprocessing.get_context(sys.argv[2]).Process(target=time.sleep, args=(60,))
    worker.start()
    print(worker.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_lock_ends_with_its_holder_though_a_worker_lives_on(method: str, tmp_path: Path) -> None:
    (tmp_path / "holder.py").write_text(HOLDER)
    command = [sys.executable, tmp_path / "holder.py", tmp_path / "lock", method]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    worker = int(holder.stdout.readline())
    try:
        assert not FileLock(tmp_path / "lock").acquire()
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # it lives
        assert FileLock(tmp_path / "lock").acquire()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_file_removed_by_its_last_holder_is_not_locked_for_another(tmp_path: Path, monkeypatch) -> None:
    """Opened before the holder removed it, locked after: the lock is taken on the file that is there."""
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.acquire()
    real = system._lock

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(system, "_lock", real)
        (tmp_path / "lock").unlink()
        return real(descriptor)

    first.release()
    monkeypatch.setattr(system, "_lock", late)
    assert second.acquire() and (tmp_path / "lock").exists()
    assert not third.acquire() and not can_be_taken(tmp_path / "lock")
    second.release()


def test_a_file_system_without_locks_says_so_and_keeps_no_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(system, "fcntl", None)
    monkeypatch.setattr(system, "msvcrt", None)
    with pytest.raises(OSError) as caught:
        FileLock(tmp_path / "lock").acquire()
    assert caught.value.errno in system.NO_LOCKS and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("take", "advice"),
    [
        (lambda folder: RunLock(folder).acquire(), "see that no second run writes here"),
        (PartsLock, "see that no second job writes there"),
        (lambda folder: LmdbWriter(folder, {}, []).close(), "see that nobody else writes it"),
    ],
    ids=["run", "parts of a video", "store"],
)
def test_work_goes_on_with_a_warning_where_there_are_no_locks_but_not_where_the_file_cannot_be_made(
    take, advice: str, tmp_path: Path, monkeypatch, caplog
) -> None:
    def fail(descriptor: int) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(system, "_lock", fail)
    number = errno.ENOLCK
    take(tmp_path / "a")
    assert caplog.messages == [f"{tmp_path / 'a'}: cannot be locked ({os.strerror(number)}): {advice}"]
    number = errno.EROFS
    with pytest.raises(SrtoolboxError, match="Read-only file system"):
        take(tmp_path / "b")
    assert len(caplog.messages) == 1


class Msvcrt:
    """Windows' locks of ranges of bytes, by those of POSIX; as there, what is not unlocked must not be closed."""

    LK_UNLCK, LK_NBLCK = 0, 2

    def __init__(self) -> None:
        self.locked: set[int] = set()

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0 and count == 1
        fcntl.lockf(descriptor, fcntl.LOCK_UN if mode == self.LK_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB, count)
        (self.locked.discard if mode == self.LK_UNLCK else self.locked.add)(descriptor)


def test_windows_locks_are_taken_and_given_back_before_the_file_is_closed(tmp_path: Path, monkeypatch) -> None:
    windows = Msvcrt()
    monkeypatch.setattr(system, "fcntl", None)
    monkeypatch.setattr(system, "msvcrt", windows)
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire() and len(windows.locked) == 1 and not can_be_taken(tmp_path / "lock")
    lock.release(remove=True)
    assert not windows.locked and not list(tmp_path.iterdir())


VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                            400000.
Pages inactive:                          300000.
Pages speculative:                         2000.
Pages throttled:                              0.
Pages wired down:                        120000.
"Translation faults":                1234567890.
"""


def test_free_memory_of_macos_is_what_it_can_give_up() -> None:
    assert system.parse_vm_stat(VM_STAT) == 16384 * (10000 + 300000 + 2000)
    assert system.parse_vm_stat("") is None


def test_free_memory_of_windows_is_bounded_by_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        @staticmethod
        def GlobalMemoryStatusEx(pointer: object) -> int:  # noqa: N802
            status = pointer._obj
            assert status.length == 64  # of the structure in Windows' headers
            status.free_physical, status.free_commit = 5 << 30, 3 << 30
            return 1

    monkeypatch.setattr(ctypes, "windll", types.SimpleNamespace(kernel32=Kernel), raising=False)
    assert system.available_bytes() == 3 << 30
    monkeypatch.setattr(Kernel, "GlobalMemoryStatusEx", staticmethod(lambda pointer: 0))
    assert system.available_bytes() is None


def test_memory_is_asked_of_the_system_where_there_is_no_meminfo(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 7 << 30)
    assert list(memory._system(tmp_path / "none")) == [7 << 30]
    (tmp_path / "meminfo").write_text("MemAvailable: 1024 kB\n")
    assert list(memory._system(tmp_path / "meminfo")) == [1 << 20]


def test_pages_given_back_are_read_again(tmp_path: Path) -> None:
    data = bytes(range(256)) * 400
    (tmp_path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as own:
        view = np.frombuffer(own, np.uint8)
        system.forget_pages(view.ctypes.data + 5000, 60_000)
        assert view.tobytes() == data
        del view
