"""Hide from the toolbox's own modules and plugins, and from nothing else, what Windows has not got.

A finder gives those modules their own `__import__`: it knows no `fcntl` and its like, and hands out `os`, `signal`,
`time` and `sys` as stand-ins that lack what POSIX alone has. The standard library, torch, pytest and the tests keep
theirs, as on Windows, where `Process.kill` works too. Standard library only: it runs in every process (`site/`).
"""

from __future__ import annotations

import builtins
import errno
import importlib.util
import os
import signal
import sys
import time
import types

MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
NAMES = {
    "os": "O_DIRECTORY O_CLOEXEC O_NOFOLLOW O_SYNC O_NONBLOCK chown chroot fchdir fchmod fchown fork forkpty getegid "
    "geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getsid getuid initgroups killpg lchown major "
    "mkfifo mknod nice pathconf posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev "
    "sched_getaffinity sched_setaffinity sched_yield sendfile set_blocking setgid setpgid setpriority setsid setuid "
    "statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4 waitid WNOHANG copy_file_range memfd_create "
    "register_at_fork",
    "signal": "SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 alarm "
    "pause pthread_kill pthread_sigmask setitimer getitimer sigpending sigwait siginterrupt",
    "time": "CLOCK_BOOTTIME CLOCK_MONOTONIC_RAW clock_gettime clock_gettime_ns tzset",
    "sys": "",
}
"""Names that the Python of Windows has not got (of 3.11: `set_blocking` came with 3.12), by module."""


class StandIn(types.ModuleType):
    """A module without some of its names and with others replaced; what is set on it is set on the module."""

    def __init__(self, module: types.ModuleType, lacking: set[str], other: dict[str, object]) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _lacking=lacking, _other=other, _before={})
        for name in ("__name__", "__doc__", "__spec__", "__loader__", "__package__"):
            self.__dict__[name] = getattr(module, name, None)

    def __getattr__(self, name: str) -> object:
        if name in self._lacking:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r} on Windows")
        return self._other[name] if name in self._other else getattr(self._module, name)

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self._module, name):
            self._before.setdefault(name, getattr(self._module, name))
        setattr(self._module, name, value)

    def __delattr__(self, name: str) -> None:
        """Give back what was there: pytest's monkeypatch takes its change away, since it is none of our own names."""
        if name in self._before:
            setattr(self._module, name, self._before[name])
        else:
            delattr(self._module, name)

    def __dir__(self) -> list[str]:
        return sorted(set(dir(self._module)) - self._lacking)


def _open(path: object, flags: int, *arguments: object, **named: object) -> int:
    """`os.open`: Windows opens no folders."""
    if not isinstance(path, int) and os.path.isdir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    return os.open(path, flags, *arguments, **named)


def _locking(descriptor: int, mode: int, count: int) -> None:
    """Lock or unlock bytes from the file's position on, as `msvcrt.locking` does."""
    import fcntl

    how = fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB
    fcntl.lockf(descriptor, how, count, os.lseek(descriptor, 0, os.SEEK_CUR))


def _stand_ins() -> dict[str, types.ModuleType]:
    other = {"os": {"name": "nt", "open": _open}, "sys": {"platform": "win32"}, "signal": {}, "time": {}}
    modules = {"os": os, "signal": signal, "time": time, "sys": sys}
    made = {name: StandIn(module, set(NAMES[name].split()), other[name]) for name, module in modules.items()}
    made["msvcrt"] = types.ModuleType("msvcrt", "The locks of Windows.")
    made["msvcrt"].__dict__.update(locking=_locking, LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2)
    return made


def is_ours(name: str) -> bool:
    """True for the toolbox's modules and those of plugins."""
    return name == "srtoolbox" or name.startswith(("srtoolbox.", "srtoolbox_plugin_"))


class HidingFinder:
    """Gives our modules, however they are found, the imports of Windows."""

    def __init__(self) -> None:
        self._stand_ins = _stand_ins()
        self._builtins = {**vars(builtins), "__import__": self._import}

    def find_spec(self, name: str, path: object = None, target: object = None) -> object | None:
        if not is_ours(name):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            self.hide_from(spec.loader)
        return spec

    def hide_from(self, loader: object) -> None:
        """Let a loader execute its module with our imports."""
        execute = loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            if is_ours(module.__name__):  # pytest's loader, for one, is shared by all modules that it rewrites
                module.__dict__["__builtins__"] = self._builtins
            execute(module)

        loader.exec_module = exec_module

    def _import(self, name: str, globals=None, locals=None, fromlist=(), level: int = 0) -> types.ModuleType:
        top = name.split(".")[0]
        if level == 0 and top in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
        if level == 0 and name in self._stand_ins:
            return self._stand_ins[name]
        module = builtins.__import__(name, globals, locals, fromlist, level)
        return self._stand_ins[top] if level == 0 and top in self._stand_ins and not fromlist else module


def install() -> None:
    """Begin to hide, once; the toolbox must not have been imported."""
    if any(type(finder).__name__ == HidingFinder.__name__ for finder in sys.meta_path):
        return
    assert not any(is_ours(name) for name in sys.modules), "the toolbox is imported already"
    finder = HidingFinder()
    sys.meta_path.insert(0, finder)
    _hide_from_plugins(finder)


def _hide_from_plugins(finder: HidingFinder) -> None:
    """Plugins are loaded from a file's path, by no finder."""
    real = importlib.util.spec_from_file_location

    def spec_from_file_location(name: str, *arguments: object, **named: object) -> object:
        spec = real(name, *arguments, **named)
        if spec is not None and spec.loader is not None and is_ours(name):
            finder.hide_from(spec.loader)
        return spec

    importlib.util.spec_from_file_location = spec_from_file_location
