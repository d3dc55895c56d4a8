"""Collecting faults, each with the place in the config files it comes from."""

from __future__ import annotations

from srtoolbox.config import Config


class Report:
    """Faults of one config as `file:line: path: message`, in the order found, each once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.faults: list[str] = []
        self.faulty: set[str] = set()  # paths that have a fault, for checks that only make sense without one

    def add(self, path: str, message: str, *, at: str | None = None) -> None:
        """Note a fault of `path`. The file and line are those of the key `at` in it, where given."""
        origin = self.config.origin(f"{path}.{at}" if at and path else at or path)
        where = f"{origin}: " if origin else f"{self.config.filename}: " if self.config.filename else ""
        line = f"{where}{path}: {message}" if path else f"{where}{message}"
        if line not in self.faults:
            self.faults.append(line)
        self.faulty.add(path)

    def clean(self, path: str) -> bool:
        """Whether neither `path` nor anything in it has a fault so far."""
        return not any(known == path or known.startswith(path + ".") for known in self.faulty)


def joined(path: str, key: object) -> str:
    """`path.key`."""
    return f"{path}.{key}" if path else str(key)
