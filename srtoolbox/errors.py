"""The errors that users see: the message says what is wrong where, and what to do."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Sequence


class SrtoolboxError(Exception):
    """Base of every error whose message is written for the user."""


class OptionError(SrtoolboxError):
    """An impossible argument; the message begins with its name (of commands, after `--`)."""


class Fault(str):
    """A sentence about one thing that is wrong with a config, which knows the entry it is about.

    Args:
        key: the entry: an argument of the component, or a place in one (`losses.pixel`). The fault
            is reported at the line of that entry; None: at the line of the component.
        message: what is wrong and what is possible.
        path: the place of the component in the config; a component's own check leaves it out.
        place: `file:line`, which `srtoolbox.check` adds. The text is `place: path: message`.
    """

    key: str | None
    message: str
    path: str
    place: str

    def __new__(cls, key: str | None, message: str, path: str = "", place: str = "") -> Fault:
        fault = super().__new__(cls, ": ".join(part for part in (place, path, message) if part))
        fault.key, fault.message, fault.path, fault.place = key, message, path, place
        return fault

    def of(self, owner: str) -> Fault:
        """Return the same fault with a message that names the component first."""
        return Fault(self.key, f"{owner}: {self.message}", self.path, self.place)

    def __reduce__(self) -> tuple:
        return Fault, (self.key, self.message, self.path, self.place)


class ConfigError(SrtoolboxError):
    """A config that cannot be read or that asks for something impossible.

    Args:
        faults: what is wrong: a sentence, or several; `faults` keeps each as a Fault.
        key: the argument that a single sentence is about.
    """

    def __init__(self, faults: str | Sequence[str], *, key: str | None = None) -> None:
        sentences = [faults] if isinstance(faults, str) else faults
        self.faults = [item if isinstance(item, Fault) else Fault(key, item) for item in sentences]
        super().__init__("\n".join(self.faults))


class RegistryError(SrtoolboxError):
    """An unknown, doubly registered or wrongly called component."""


class ImageError(SrtoolboxError):
    """An image that cannot be read or written; the message names the file."""


class DataError(SrtoolboxError):
    """A store, pair or dataset that is incomplete or does not fit; the message names the files."""


class MissingDataError(DataError):
    """A folder or store that is not there at all; evaluation goes on with the other test sets."""

    def __init__(self, message: str, path: str | None = None) -> None:
        self.path = path
        super().__init__(message)


class CheckpointError(SrtoolboxError):
    """A checkpoint that is missing, damaged or does not fit."""


class WriteError(SrtoolboxError):
    """A full or failing disk, a read-only folder; names the path, and missing bytes."""


class PieceError(SrtoolboxError):
    """A piece of bulk work (`--shard`) that does not fit the others, or pieces that are missing."""


class RunError(SrtoolboxError):
    """A run that cannot start or go on: a used work_dir, a dead loader, losses not finite."""


def line_at_fault(error: BaseException, *, own: bool = False) -> str | None:
    """Return 'FILE:LINE' of the user's own code that led to an error, or None if only ours did.

    That is the last frame outside this package, Python's library and installed packages, which
    report faults of their callers; else, unless `own`, the last one outside this package and
    Python's import machinery.
    """
    ours = ("<frozen", os.path.dirname(os.path.abspath(__file__)) + os.sep)
    library = sysconfig.get_path("stdlib") + os.sep
    machinery, *installed = (f"{os.sep}{name}{os.sep}" for name in ("importlib", "site-packages", "dist-packages"))
    stack = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in stack if not frame.filename.startswith(ours) and machinery not in frame.filename]
    users = [
        frame
        for frame in frames
        if not frame.filename.startswith(library) and not any(folder in frame.filename for folder in installed)
    ]
    last = (users or ([] if own else frames))[-1:]
    return f"{last[0].filename}:{last[0].lineno}" if last else None
