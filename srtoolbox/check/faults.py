"""Collecting faults, each with the place in the config files it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from srtoolbox.config import Config, Origin
from srtoolbox.config.overrides import COMMAND_LINE
from srtoolbox.errors import SrtoolboxError, line_at_fault


class Report:
    """Faults of one config as `file:line: path: message`, each once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._faults: dict[str, Origin | None] = {}
        self.warnings: list[str] = []  # of what is possible, and hardly meant
        self.faulty: set[str] = set()  # paths that have a fault, for checks that only make sense without one

    def add(self, path: str, message: str, *, at: str | None = None) -> None:
        """Note a fault of `path`. The file and line are those of the key `at` in it, where given."""
        self._faults.setdefault(*self._located(path, message, at))
        self.faulty.add(path)

    def warn(self, path: str, message: str, *, at: str | None = None) -> None:
        """Note what is worth a word, though no fault; placed as a fault is."""
        self.warnings.append(self._located(path, message, at)[0])

    def _located(self, path: str, message: str, at: str | None) -> tuple[str, Origin | None]:
        origin = self.config.origin(f"{path}.{at}" if at and path else at or path)
        where = f"{origin}: " if origin else f"{self.config.filename}: " if self.config.filename else ""
        return (f"{where}{path}: {message}" if path else f"{where}{message}"), origin

    @property
    def faults(self) -> list[str]:
        """All faults by file (the config itself first, the command line last) and line."""

        def place(item: tuple[str, Origin | None]) -> tuple[bool, bool, str, int]:
            file, line = item[1] or (self.config.filename or "", None)
            return file == COMMAND_LINE.file, file != self.config.filename, file, line or 0

        return [line for line, _ in sorted(self._faults.items(), key=place)]

    def clean(self, path: str) -> bool:
        """Whether neither `path` nor anything in it has a fault so far."""
        return not any(known == path or known.startswith(path + ".") for known in self.faulty)


def joined(path: str, key: object) -> str:
    """`path.key`."""
    return f"{path}.{key}" if path else str(key)


def named_key(message: str, cfg: Mapping[str, Any]) -> str | None:
    """The first argument of a component that a message about it names, if any: the fault stands on its line."""
    return next((word for word in re.findall(r"\w+", message) if word in cfg and word != "type"), None)


def reason(error: Exception) -> str:
    """The first line of what a constructor said, led by the error's class unless the text speaks for itself.

    A fault in a user's own code is led by its file and line.
    """
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)  # a KeyError quotes
    message = (told.strip().splitlines() or [""])[0]
    place = None if isinstance(error, SrtoolboxError) else line_at_fault(error, own=True)
    if place is not None:
        return f"{place}: {type(error).__name__}: {message}".removesuffix(": ")
    if message and isinstance(error, SrtoolboxError | ValueError | RuntimeError):
        return message
    return f"{type(error).__name__}: {message}".removesuffix(": ")
