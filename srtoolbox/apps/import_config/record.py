"""The record of an import: what became of each key of the other project's file, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from srtoolbox.text import counted

WIDTH = 100
_LINE, _KEY = 5, 40


class Fate(Enum):
    """What became of a key; the value heads its part of the report."""

    LOST = "no counterpart"
    DIFFERENT = "different here"
    MAPPED = "mapped"
    SAME = "no key needed"


class Entry(NamedTuple):
    """A line of the report.

    Args:
        fate: what became of the key.
        key: the key in the other project's file, 'train.optim_g.lr'.
        line: its line there, None where the file does not have it.
        target: the key of the config that it became, '' where there is none.
        text: the value here, or a sentence: what is different, or what the loss of it means.
    """

    fate: Fate
    key: str
    line: int | None
    target: str
    text: str

    def __str__(self) -> str:
        line = "" if self.line is None else str(self.line)
        head = f"{line:>{_LINE}}  {self.key:<{_KEY}}"
        arrow = f" -> {self.target}" if self.target else ""
        equals = " = " if self.fate is Fate.MAPPED and self.target else ": "
        text = self.text if not arrow and not self.text else arrow + (equals if arrow else "  ") + self.text
        whole = f"{head}{text}".rstrip(" :=")
        if len(whole) <= WIDTH or self.fate is Fate.MAPPED:
            return whole
        below = textwrap.fill(self.text, WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
        return f"{head}{arrow}".rstrip() + "\n" + below


class Record:
    """The entries of one import, in the order in which they were made."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, fate: Fate, key: str, line: int | None, target: str = "", text: str = "") -> None:
        """Note what became of a key."""
        self.entries.append(Entry(fate, key, line, target, text))

    def of(self, fate: Fate) -> list[Entry]:
        """Return the entries of one fate, by their lines in the file."""
        entries = [entry for entry in self.entries if entry.fate is fate]
        return sorted(entries, key=lambda entry: entry.line or 0)

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
