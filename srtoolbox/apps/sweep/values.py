"""The values of a sweep, as typed: `key=[a, b]` is one run for each value, `key=value` holds in all.

A search takes ranges, too: `key=log(1e-5, 1e-2)`, `uniform(0, 1)`, `int(4, 16)`. Each item of a
list is read as the value of an override is. So a key whose values are lists is swept by a list of
lists, `milestones=[[100, 200], [300]]`, and `[[100, 200]]` is that list in all runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from srtoolbox.config import Config
from srtoolbox.config.overrides import Override, parse_override
from srtoolbox.errors import ConfigError, OptionError

_OPENING, _CLOSING = "([{", ")]}"
_RANGE = re.compile(r"(log|uniform|int)\(([^,()]+),([^,()]+)\)")
_NO_RANGE = re.compile(r"\w+\([-+.,eE\d\s]*\)")  # log(1e-5), loguniform(1e-5,1)
_RULE = re.compile(r"(?P<score>[^=@]+/[^=@]+)=(?P<than>[^=@]+)(@(?P<after>[0-9]+))?")


@dataclass(frozen=True)
class Choices:
    """The values of one key.

    Attributes:
        key: as 'optim.generator.optimizer.lr'.
        overrides: a text for each value, `key=value`.
        values: what these texts say; of a range its two ends.
        is_swept: False for a single value that was given without a list.
        range: 'log', 'uniform', 'int', or '' for values of a list.
    """

    key: str
    overrides: tuple[str, ...]
    values: tuple[Any, ...]
    is_swept: bool = True
    range: str = ""


def read_choices(texts: Sequence[str]) -> list[Choices]:
    """Read `key=[a, b]` and `key=value`, in the order typed.

    Raises:
        ConfigError: a text that is no override, a list without values, a value given twice, a range
            that is none, or a key that is swept and given once more.
    """
    choices = [_read(parse_override(text)) for text in texts]
    swept = [each.key for each in choices if each.is_swept]
    for key in swept:
        if sum(each.key == key for each in choices) > 1:
            raise ConfigError(f"command line: {key} is given twice: once, with all its values, as {key}=[a,b,c]")
    return choices


def _read(item: Override) -> Choices:
    key, text = ".".join(item.path), item.text.partition("=")[2].strip()
    if key == "work_dir":
        raise item.error("each run has a work dir of its own, below that of the sweep (--work-dir)")
    match = None if item.appends else _RANGE.fullmatch(text)
    if match:
        return _read_range(item, key, *match.groups())
    if _NO_RANGE.fullmatch(text):
        raise item.error("a range is log(low,high), uniform(low,high) or int(low,high)")
    if item.appends or not (text.startswith("[") and text.endswith("]")):
        return Choices(key, (item.text,), (item.value,), is_swept=False)
    overrides = tuple(f"{key}={each}" for each in split_items(item))
    values = tuple(parse_override(each).value for each in overrides)
    for number, value in enumerate(values):
        if _is_among(value, values[:number]):
            raise item.error(f"{value!r} is given twice: each value is one run")
    return Choices(key, overrides, values)


def _read_range(item: Override, key: str, kind: str, *texts: str) -> Choices:
    low, high = (parse_override(f"{key}={text.strip()}").value for text in texts)
    kinds = int if kind == "int" else (int, float)
    if not all(isinstance(end, kinds) and not isinstance(end, bool) and math.isfinite(end) for end in (low, high)):
        raise item.error(f"{kind}(low,high) takes two {'whole ' if kind == 'int' else ''}numbers")
    if not low < high:
        raise item.error(f"the first number of {kind}(low,high) is the smaller one")
    if kind == "log" and not low > 0:
        raise item.error("both numbers of log(low,high) are above 0")
    return Choices(key, (f"{key}={low!r}", f"{key}={high!r}"), (low, high), range=kind)


def _is_among(value: object, others: Sequence[object]) -> bool:
    return any(type(value) is type(other) and value == other for other in others)


def split_items(item: Override) -> list[str]:
    """Return the texts of the items of a list, `[1e-3, Adam, [1, 2]]`.

    Raises:
        ConfigError: no items, an empty one, or brackets and quotes that do not match.
    """
    items, depth, quote = [""], 0, ""
    text = item.text.partition("=")[2].strip()[1:-1]
    for sign in text:
        if quote or sign in "\"'":
            quote = ("" if sign == quote else quote) if quote else sign
        else:
            depth += (sign in _OPENING) - (sign in _CLOSING)
            if depth < 0:
                break
        if sign == "," and depth == 0 and not quote:
            items.append("")
        else:
            items[-1] += sign
    if depth or quote:
        raise item.error("its brackets or quotes do not match")
    items = [each.strip() for each in items]
    if len(items) > 1 and not items[-1]:  # [1, 2,]
        items.pop()
    if items == [""]:
        raise item.error("a list without values is no run; that every run has an empty list is [[]]")
    if "" in items:
        raise item.error("a value is missing between two commas")
    return items


def stop_rules(texts: Sequence[str]) -> list[str]:
    """Return the overrides that add a hook for each rule, 'set5/psnr=25@1000' (from iteration 1000 on).

    Raises:
        OptionError: a text that is no rule.
    """
    overrides = []
    for number, text in enumerate(texts, start=1):
        match = _RULE.fullmatch(text)
        try:
            than = float(match["than"]) if match else math.nan
        except ValueError:
            than = math.nan
        if match is None or not math.isfinite(than):
            form = "SET/METRIC=VALUE@ITERATION, such as set5/psnr=25@1000: worse than 25 from iteration 1000 on"
            raise OptionError(f"stop-worse is {form}; got {text!r}")
        arguments = f"score={match['score']!r}, than={than}, after={int(match['after'] or 0)}"
        overrides.append(f"hooks.stop_worse_{number}=dict(type='StopWorseHook', {arguments})")
    return overrides


def combinations(choices: Sequence[Choices]) -> list[tuple[str, ...]]:
    """Return the overrides of each run: all combinations, the last key changing fastest."""
    return list(product(*(each.overrides for each in choices)))


def ends(choices: Sequence[Choices]) -> list[tuple[str, ...]]:
    """Return the overrides of runs in which each value, and each end of a range, is tried once."""
    first = tuple(each.overrides[0] for each in choices)
    others = [(*first[:at], text, *first[at + 1 :]) for at, each in enumerate(choices) for text in each.overrides[1:]]
    return [first, *others]


def list_hints(config: Config, choices: Sequence[Choices]) -> list[str]:
    """Return a sentence for each key that the config has a list at, and that is swept over its items."""
    hints = []
    for each in choices:
        is_list = isinstance(_at(config, each.key), list | tuple)
        if each.is_swept and is_list and not any(isinstance(value, list | tuple) for value in each.values):
            items = ", ".join(text.partition("=")[2] for text in each.overrides)
            hints.append(
                f"command line: {each.key} is a list in the config, and [{items}] is one run for each item: "
                f"{each.key}=[[{items}]] is this list in all runs, {each.key}=[[...],[...]] one run for each list"
            )
    return hints


def _at(config: Config, path: str) -> object:
    value: Any = config
    for part in path.split("."):
        if isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif hasattr(value, "keys") and part in value:
            value = value[part]
        else:
            return None
    return value
