"""Named tensors compared: their differences in a line or two, and a network's names for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from srtoolbox.devices import without_memory
from srtoolbox.registry import NETWORKS

_NUMBER = re.compile(r"(?<![a-z0-9])\d+|\d+(?=\.|$)")
_SHOWN = 3


def differences(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """Return what `other` lacks, has besides or has in another shape, grouped; '' where none.

    >>> one = torch.zeros(1)
    >>> differences({"a.0.bias": one, "a.1.bias": one, "b.bias": one}, {"b.bias": one})
    '2 missing (a.{0,1}.bias)'
    """
    missing, unexpected = [key for key in own if key not in other], [key for key in other if key not in own]
    parts = []
    for fault, keys in (("missing", missing), ("unexpected", unexpected)):
        groups = group_keys(keys)
        rest = f" and {len(groups) - _SHOWN} groups more" if len(groups) > _SHOWN else ""
        parts += [f"{len(keys)} {fault} ({', '.join(groups[:_SHOWN])}{rest})"] if keys else []
    reshaped = [key for key in own if key in other and own[key].shape != other[key].shape]
    shapes = [(key, *(tuple(state[key].shape) for state in (other, own))) for key in reshaped]
    texts = [f"{key} {shape} for {expected}" for key, shape, expected in shapes[:_SHOWN]]
    texts += ["..."] if len(reshaped) > _SHOWN else []
    parts += [f"{len(reshaped)} of another shape ({', '.join(texts)})"] if reshaped else []
    return "; ".join(parts)


def group_keys(keys: Iterable[str]) -> list[str]:
    """Return names that differ in numbers or in the last word as one.

    >>> group_keys(["body.0.bias", "body.1.bias", "body.2.bias"])
    ['body.{0..2}.bias']
    """
    leaves: dict[str, list[str]] = {}
    for key in keys:
        stem, _, leaf = key.rpartition(".")
        leaves.setdefault(stem, []).append(leaf)
    families: dict[tuple[str, tuple[str, ...]], list[tuple[int, ...]]] = {}
    for stem, words in leaves.items():
        numbers = tuple(int(number) for number in _NUMBER.findall(stem))
        families.setdefault((_NUMBER.sub("\0", stem), tuple(words)), []).append(numbers)
    return [_group_name(template, words, numbers) for (template, words), numbers in families.items()]


def _group_name(template: str, words: tuple[str, ...], numbers: Sequence[tuple[int, ...]]) -> str:
    texts = iter([_range_text(column) for column in zip(*numbers, strict=True)])
    stem = re.sub("\0", lambda _: next(texts), template)
    leaf = words[0] if len(words) == 1 else "{" + ",".join(words) + "}"
    return f"{stem}.{leaf}" if stem else leaf


def _range_text(column: Collection[int]) -> str:
    """Return '3', '{1,2}', '{0..22}', or '{0..31,..}' where some between are missing."""
    values = sorted(set(column))
    if len(values) < 3:
        return str(values[0]) if len(values) == 1 else "{" + ",".join(map(str, values)) + "}"
    gap = "" if values[-1] - values[0] == len(values) - 1 else ",.."
    return f"{{{values[0]}..{values[-1]}{gap}}}"


def state_for(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the tensors as the state_dict of a config's network; None where they do not fit.

    Nothing is initialised and no memory taken for weights.
    """
    try:
        with without_memory():
            own = NETWORKS.build(config).state_dict()
    except Exception:  # a constructor can fail in any way at arguments out of a file
        return None
    renamed = rename_like(own, tensors)
    return None if differences(own, renamed) else renamed


def rename_like(own: Iterable[str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a file as a network names them.

    All names of a network that does its work by another one begin alike: those of an Adapter with
    `network.`, those of a plugin's maybe with `model.`. A file holds them without, or they were
    taken for a wrapper's (`find_weights`).

    >>> list(rename_like(["network.a.weight", "network.b.weight"], {"a.weight": torch.ones(1)}))
    ['network.a.weight']
    """
    names, prefix = set(own), ""
    for word in next(iter(names), "").split("."):
        if any(prefix + key in names for key in tensors):
            return {prefix + key: value for key, value in tensors.items()}
        prefix += f"{word}."
        if not all(name.startswith(prefix) for name in names):
            break
    return dict(tensors)
