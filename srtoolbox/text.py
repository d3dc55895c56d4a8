"""Wording of messages: numbers with their nouns, nearest names, reasons."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def counted(number: int, one: str, more: str | None = None) -> str:
    """Return `1 image`, `2 images` or `1,500 images`.

    Args:
        number: the count.
        one: the noun for one of them.
        more: the noun for several, where that is not `one` with an s.
    """
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def reason_of(error: Exception) -> str:
    """Return the text of an error; of the system's without the path, which the message has."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text (torch adds places), or the name of its class."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def did_you_mean(wrong: object, names: Iterable[str], *, else_list: bool = False) -> str:
    """Return ' Did you mean ...?' for the nearest name, else '' or, with `else_list`, all names.

    Two neighbouring letters in the wrong order are one slip: such a name is the nearest.
    """
    names = sorted(names)
    lowered = {name.lower(): name for name in names}
    word = str(wrong).lower()
    swapped = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    near = [name for name in (word, *swapped) if name in lowered]
    near = near or difflib.get_close_matches(word, lowered, n=1, cutoff=0.6)
    if not near and len(word) > 3:
        start = word[: max(3, len(word) - 2)]
        near = [name for name in lowered if name.startswith(start)]
    if near:
        return f" Did you mean {lowered[near[0]]!r}?"
    return f" Known: {', '.join(names)}." if else_list and names else ""
