"""How two sets of named tensors differ, in a line or two however many tensors there are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from torch import Tensor

_NUMBER = re.compile(r"(?<![a-z0-9])\d+|\d+(?=\.|$)")
_SHOWN = 3


def differences(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """'' where names and shapes agree, else what `other` lacks, has besides, or has in another shape, grouped.

    >>> one = torch.zeros(1)
    >>> differences({"a.0.bias": one, "a.1.bias": one, "b.bias": one}, {"b.bias": one})
    '2 missing (a.{0,1}.bias)'
    """
    reshaped = [key for key in own if key in other and own[key].shape != other[key].shape]
    parts = [
        _part("missing", [key for key in own if key not in other]),
        _part("unexpected", [key for key in other if key not in own]),
        _shapes(reshaped, own, other),
    ]
    return "; ".join(part for part in parts if part)


def group_keys(keys: Iterable[str]) -> list[str]:
    """Names that differ in numbers or in the last word as one: `body.{0..22}.rdb{1..3}.conv{1..5}.{weight,bias}`."""
    leaves: dict[str, list[str]] = {}
    for key in keys:
        stem, _, leaf = key.rpartition(".")
        leaves.setdefault(stem, []).append(leaf)
    families: dict[tuple[str, tuple[str, ...]], list[tuple[int, ...]]] = {}
    for stem, words in leaves.items():
        numbers = tuple(int(number) for number in _NUMBER.findall(stem))
        families.setdefault((_NUMBER.sub("\0", stem), tuple(words)), []).append(numbers)
    return [_written(template, words, numbers) for (template, words), numbers in families.items()]


def _written(template: str, words: tuple[str, ...], numbers: Sequence[tuple[int, ...]]) -> str:
    texts = iter([_one_of(column) for column in zip(*numbers, strict=True)])
    stem = re.sub("\0", lambda _: next(texts), template)
    leaf = words[0] if len(words) == 1 else "{" + ",".join(words) + "}"
    return f"{stem}.{leaf}" if stem else leaf


def _one_of(column: Collection[int]) -> str:
    """'3', '{1,2}', '{0..22}' or '{0..31,..}' where some between are not there."""
    values = sorted(set(column))
    if len(values) < 3:
        return str(values[0]) if len(values) == 1 else "{" + ",".join(map(str, values)) + "}"
    gap = "" if values[-1] - values[0] == len(values) - 1 else ",.."
    return f"{{{values[0]}..{values[-1]}{gap}}}"


def _part(what: str, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    groups = group_keys(keys)
    rest = f" and {len(groups) - _SHOWN} groups more" if len(groups) > _SHOWN else ""
    return f"{len(keys)} {what} ({', '.join(groups[:_SHOWN])}{rest})"


def _shapes(keys: Sequence[str], own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    if not keys:
        return ""
    shown = [f"{key} {tuple(other[key].shape)} for {tuple(own[key].shape)}" for key in keys[:_SHOWN]]
    return f"{len(keys)} of another shape ({', '.join(shown)}{', ...' if len(keys) > _SHOWN else ''})"
