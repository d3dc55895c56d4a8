"""The collected faults of one config, each with the line that it is about."""

from __future__ import annotations

from srtoolbox.config import Config, Origin
from srtoolbox.config.overrides import COMMAND_LINE
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError, line_at_fault


class Report:
    """Faults of one config (`is_training`: for training), and warnings of what is hardly meant."""

    def __init__(self, config: Config, *, is_training: bool) -> None:
        self.config, self.is_training = config, is_training
        self.warnings: list[str] = []
        self.faulty_paths: set[str] = set()
        self._faults: dict[Fault, tuple[bool, bool, str, int]] = {}  # with its place in the order

    def add(self, path: str, message: str, *, key: str | None = None) -> None:
        """Note a fault of the entry at `path`; its line is that of `key` in it, if one is named."""
        origin = self._origin(path, key)
        is_typed, is_base = origin.file == COMMAND_LINE.file, origin.file != self.config.filename
        fault = Fault(key, message, path, str(origin))
        self._faults.setdefault(fault, (is_typed, is_base, origin.file, origin.line or 0))
        self.faulty_paths.add(path)

    def add_failure(self, path: str, error: Exception) -> None:
        """Note that a component cannot be built; its constructor may name the argument at fault."""
        faults = error.faults if isinstance(error, ConfigError) else []
        for fault in faults or [Fault(None, reason_of_failure(error))]:
            self.add(path, f"cannot be built: {fault.message}", key=fault.key)

    def warn(self, path: str, message: str, *, key: str | None = None) -> None:
        """Note a warning, placed as a fault is."""
        self.warnings.append(Fault(key, message, path, str(self._origin(path, key))))

    def _origin(self, path: str, key: str | None) -> Origin:
        origin = self.config.origin(joined(path, key) if key else path)
        return origin or Origin(self.config.filename or "")

    @property
    def faults(self) -> list[Fault]:
        """All faults by file (the config itself first, the command line last) and line."""
        return sorted(self._faults, key=self._faults.__getitem__)

    def is_clean(self, path: str) -> bool:
        """True if neither `path` nor anything in it has a fault so far."""
        return not any(p == path or p.startswith(path + ".") for p in self.faulty_paths)


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
