"""Free memory where there is no /proc/meminfo: by a call on Windows, by `vm_stat` on macOS."""

from __future__ import annotations

import ctypes
import re
import subprocess

_ATTEMPT_SECONDS = 5


def available_bytes() -> int | None:
    """Return the bytes that can be taken without swapping; None where the system does not tell."""
    kernel = getattr(ctypes, "windll", None)
    return _of_windows(kernel.kernel32) if kernel is not None else _of_macos()


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("physical", "free_physical", "commit", "free_commit")),
        *((name, ctypes.c_uint64) for name in ("virtual", "free_virtual", "free_extended")),
    )


def _of_windows(kernel32: ctypes.CDLL) -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    if not kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return min(status.free_physical, status.free_commit)  # what is promised to all may not exceed RAM and page file


def _of_macos() -> int | None:
    try:
        done = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=_ATTEMPT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_vm_stat(done.stdout)


def parse_vm_stat(text: str) -> int | None:
    """Return the bytes of free, speculative and inactive pages; the last two are given up when memory is wanted."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {name: int(count) for name, count in re.findall(r"^Pages (\w+):\s+(\d+)\.", text, flags=re.MULTILINE)}
    if size is None or "free" not in pages:
        return None
    return int(size[1]) * sum(pages.get(name, 0) for name in ("free", "speculative", "inactive"))
