"""The options of another project, read key by key: what nobody has read in the end is a fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from srtoolbox.apps.import_config.record import Fate, Record
from srtoolbox.config import ConfigDict
from srtoolbox.config.values import Value
from srtoolbox.errors import ConfigError
from srtoolbox.text import did_you_mean

T = TypeVar("T")
EMPTY = "empty there"


class Options:
    """A mapping of an option file, with the record of what becomes of its keys.

    Args:
        values: as loaded; each key knows its file and line.
        record: where each key's fate is noted.
        path: the mapping's own key in the file, '' for the whole.
    """

    def __init__(self, values: ConfigDict, record: Record, path: str = "") -> None:
        self._values, self.record, self.path = values, record, path
        self._open = list(values)
        self._asked: set[str] = set()
        self._noted: set[str] = set()
        self._sections: dict[str, Options] = {}

    def __contains__(self, name: object) -> bool:
        """True if the file gives the key a value."""
        return self._values.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the keys as the file has them."""
        return iter(list(self._values))

    def key(self, name: str) -> str:
        """Return the key's whole name, 'train.optim_g.lr'."""
        return f"{self.path}.{name}" if self.path else name

    def place(self, name: str = "") -> str:
        """Return 'file:line' of a key, or of the mapping; the file alone where the whole lacks the key."""
        return str(self._values.origin_of(name) or self.record.file)

    def line(self, name: str) -> str:
        """Return the key's line in the file, 'base.py:12' in another one, '' where no file has it."""
        origin = self._values.origin_of(name) if name in self._values else None
        if origin is None or origin.line is None:
            return ""
        is_own = os.path.realpath(origin.file) == os.path.realpath(self.record.file)
        return f"{origin.line}" if is_own else f"{os.path.basename(origin.file)}:{origin.line}"

    def fault(self, name: str, message: str) -> ConfigError:
        """Return an error about a key, for `raise`."""
        return ConfigError(f"{self.place(name)}: {self.key(name)}: {message}")

    def peek(self, name: str, default: Value = None) -> Value:
        """Return a value without having read it."""
        self._asked.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def take(self, name: str, default: Value = None) -> Value:
        """Return the value of a key, which the caller accounts for; `default` where it is empty."""
        value = self.peek(name, default)
        self.record.reading = f"{self.place(name)}: {self.key(name)}"
        if name in self._open:
            self._open.remove(name)
            if self._values.get(name) is None:
                self.note(Fate.SAME, name, "", EMPTY)
        return value

    def first(self, *names: str) -> str:
        """Return the first of several names of one thing that the file has, else the first of all."""
        self._asked.update(names)
        return next((name for name in names if name in self), names[0])

    def number(self, name: str, kind: Callable[[Any], T], default: T) -> T:
        """Return a number, also one that YAML takes for a string (1e-4, 5e3); whole ones of floats.

        Raises:
            ConfigError: the value is no number.
        """
        value = self.take(name, default)
        try:
            number = float(value)
            if isinstance(value, bool) or (kind is int and not number.is_integer()):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            what = "a whole number" if kind is int else "a number"
            raise self.fault(name, f"{what} is wanted, got {value!r}") from None
        return kind(number)

    def section(self, name: str) -> Options:
        """Return the mapping under a key, the same each time; an empty one where there is none.

        Raises:
            ConfigError: the key holds something else.
        """
        if name in self._sections:
            return self._sections[name]
        value = self.take(name)
        if value is None:
            value = ConfigDict.at(self._values.origin_of(name))
        if not isinstance(value, ConfigDict):
            raise self.fault(name, f"a mapping of options is wanted, got {value!r}")
        self._sections[name] = Options(value, self.record, self.key(name))
        return self._sections[name]

    def listed(self, name: str) -> list[Options]:
        """Return the mappings in the list, or lists, under a key; one that stands alone is a list of one.

        Raises:
            ConfigError: the key holds something else.
        """
        return self._listed(name, name, self.take(name))

    def _listed(self, name: str, place: str, value: object) -> list[Options]:
        if isinstance(value, ConfigDict):
            return [self._sections.setdefault(place, Options(value, self.record, self.key(place)))]
        if value is not None and not isinstance(value, list | tuple):
            raise self.fault(name, f"a list of mappings is wanted, got {value!r}")
        parts = [self._listed(name, f"{place}[{number}]", item) for number, item in enumerate(value or ())]
        return [options for part in parts for options in part]

    def _is_section(self, name: str) -> bool:
        """True for a key whose own keys are told one by one."""
        return any(place == name or place.startswith(f"{name}[") for place in self._sections)

    def ignore(self) -> None:
        """Take all keys as read: the caller has said what became of the mapping."""
        self._open.clear()

    def note(self, fate: Fate, name: str, target: str = "", text: str = "") -> None:
        """Note what became of a key, and that it has been read."""
        self._asked.add(name)
        self._noted.add(name)
        if name in self._open:
            self._open.remove(name)
        self.record.add(fate, self.key(name), self.line(name), target, text)

    def mapped(self, name: str, target: str, text: object = "") -> None:
        """Note that a key became one of ours."""
        self.note(Fate.MAPPED, name, target, text if isinstance(text, str) else f"{text}")

    def same(self, name: str, text: str) -> None:
        """Note that a key says what holds here anyway; nothing where it is absent, or told already."""
        self.take(name)
        if name in self and name not in self._noted and not self._is_section(name):
            self.note(Fate.SAME, name, "", text)

    def different(self, name: str, target: str, text: str) -> None:
        """Note that a key's counterpart does something else, and what."""
        self.note(Fate.DIFFERENT, name, target, text)

    def lost(self, name: str, text: str, target: str = "") -> None:
        """Note that a key has no counterpart, and what that means."""
        self.note(Fate.LOST, name, target, text)

    def close(self, owner: str) -> None:
        """Note every key that nobody took as lost, with the nearest name that is known; empty ones lose nothing."""
        for name in list(self._open):
            if name not in self:
                self.note(Fate.SAME, name, "", EMPTY)
                continue
            hint = did_you_mean(name, self._asked - {name})
            self.lost(name, f"not known as a key of {owner}, and left out.{hint}")
