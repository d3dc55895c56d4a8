"""Words for numbers in messages."""

from __future__ import annotations


def counted(number: int, one: str, more: str | None = None) -> str:
    """Return `1 image`, `2 images` or `1,500 images`.

    Args:
        number: how many.
        one: the noun for one of them.
        more: the noun for several, where that is not `one` with an s.
    """
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def reason_of(error: Exception) -> str:
    """Return what an error says, of one of the system without the path, which the message that quotes it has named."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
