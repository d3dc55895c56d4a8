"""The collected faults of one config, each with the line that it is about."""

from __future__ import annotations

from srtoolbox.config import Config
from srtoolbox.config.overrides import COMMAND_LINE
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError, line_at_fault


class Report:
    """Faults and warnings of one config, each once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.warnings: list[str] = []
        """Of what is possible, and hardly meant."""
        self.faulty_paths: set[str] = set()
        self._faults: dict[Fault, tuple[bool, bool, str, int]] = {}  # with its place in the order

    def add(self, path: str, message: str, *, key: str | None = None) -> None:
        """Note a fault of the entry at `path`; its line is that of `key` in it, if one is named."""
        fault = self._located(path, message, key)
        origin = self.config.origin(_full_path(path, key))
        file, line = origin or (self.config.filename or "", None)
        is_typed, is_base = file == COMMAND_LINE.file, file != self.config.filename
        self._faults.setdefault(fault, (is_typed, is_base, file, line or 0))
        self.faulty_paths.add(path)

    def add_failure(self, path: str, error: Exception) -> None:
        """Note that a component cannot be built; its constructor may name the argument at fault."""
        faults = error.faults if isinstance(error, ConfigError) else []
        for fault in faults or [Fault(None, reason_of_failure(error))]:
            self.add(path, f"cannot be built: {fault.message}", key=fault.key)

    def warn(self, path: str, message: str, *, key: str | None = None) -> None:
        """Note a warning, placed as a fault is."""
        self.warnings.append(self._located(path, message, key))

    def _located(self, path: str, message: str, key: str | None) -> Fault:
        place = self.config.origin(_full_path(path, key)) or self.config.filename or ""
        return Fault(key, message, path, str(place))

    @property
    def faults(self) -> list[Fault]:
        """All faults by file (the config itself first, the command line last) and line."""
        return sorted(self._faults, key=self._faults.__getitem__)

    def is_clean(self, path: str) -> bool:
        """True if neither `path` nor anything in it has a fault so far."""
        return not any(p == path or p.startswith(path + ".") for p in self.faulty_paths)


def _full_path(path: str, key: str | None) -> str:
    return joined(path, key) if key else path


def joined(path: str, key: object) -> str:
    """Return `path.key`."""
    return f"{path}.{key}" if path else str(key)


def reason_of_failure(error: Exception) -> str:
    """Return the first line of a constructor's error, after its class where the text needs that.

    The error of a user's own code comes after its file and line.
    """
    is_key = isinstance(error, KeyError) and error.args  # which quotes its text
    text = str(error.args[0]) if is_key else str(error)
    message = (text.strip().splitlines() or [""])[0]
    place = None if isinstance(error, SrtoolboxError) else line_at_fault(error, own=True)
    if place is not None:
        return f"{place}: {type(error).__name__}: {message}".removesuffix(": ")
    if message and isinstance(error, SrtoolboxError | ValueError | RuntimeError):
        return message
    return f"{type(error).__name__}: {message}".removesuffix(": ")
