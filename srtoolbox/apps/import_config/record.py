"""The record of an import: what became of each key of the other project's file, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from srtoolbox.text import counted

WIDTH = 100
_LINE, _KEY = 5, 40


def wrapped(text: str, mark: str) -> str:
    """Return a text in lines that begin with `mark`; paths and addresses stay whole."""
    return textwrap.fill(
        text, WIDTH, initial_indent=mark, subsequent_indent=mark, break_long_words=False, break_on_hyphens=False
    )


class Fate(Enum):
    """The fate of a key; the value heads its part of the report."""

    LOST = "no counterpart"
    DIFFERENT = "different here"
    MAPPED = "mapped"
    SAME = "no key needed"


class Entry(NamedTuple):
    """A line of the report.

    Args:
        fate: what became of the key.
        key: the key in the other project's file, 'train.optim_g.lr'.
        place: its line there, or 'base.py:12' in a file it is based on; '' where no file has it.
        target: the key of the config that it became, '' where there is none.
        text: the value here, or a sentence: what is different, or what the loss of it means.
    """

    fate: Fate
    key: str
    place: str
    target: str
    text: str

    def __str__(self) -> str:
        base, _, line = self.place.rpartition(":")
        key = f"{self.key} [{base}]" if base else self.key
        head = f"{line:>{_LINE}}  {key:<{_KEY}}"
        arrow = f" -> {self.target}" if self.target else ""
        equals = " = " if self.fate is Fate.MAPPED and self.target else ": "
        text = self.text if not arrow and not self.text else arrow + (equals if arrow else "  ") + self.text
        whole = f"{head}{text}".rstrip(" :=")
        if len(whole) <= WIDTH or self.fate is Fate.MAPPED:
            return whole
        below = wrapped(self.text, " " * 9)
        return f"{head}{arrow}".rstrip() + "\n" + below


def _order(place: str) -> tuple[str, int]:
    base, _, line = place.rpartition(":")
    return base, int(line or 0)


class Record:
    """The entries of one import, in the order in which they were made.

    Args:
        file: the file that is imported; lines of others are told with their names.

    Attributes:
        entries: in the order in which they were made.
        reading: the key whose value was read last, with its place.
    """

    def __init__(self, file: str) -> None:
        self.file = self.reading = file
        self.entries: list[Entry] = []

    def add(self, fate: Fate, key: str, place: str, target: str = "", text: str = "") -> None:
        """Note what became of a key."""
        self.entries.append(Entry(fate, key, place, target, text))

    def of(self, fate: Fate) -> list[Entry]:
        """Return the entries of one fate, by their lines in the file, those of its bases behind."""
        entries = [entry for entry in self.entries if entry.fate is fate]
        return sorted(entries, key=lambda entry: _order(entry.place))

    def counts(self) -> str:
        """Return '40 mapped, 3 no key needed, 2 different here, 1 no counterpart'."""
        return ", ".join(f"{len(self.of(fate))} {fate.value}" for fate in reversed(Fate) if self.of(fate))

    def report(self, head: Iterable[str]) -> str:
        """Return the whole report: its first lines, then the entries by fate."""
        return "\n".join([*head, *self._parts()]) + "\n"

    def _parts(self) -> Iterator[str]:
        for fate in Fate:
            entries = self.of(fate)
            if entries:
                yield f"\n{fate.value} ({counted(len(entries), 'key')})"
                yield from map(str, entries)
