"""The keys of a config that belong to no component: the top level, `data`, `optim`, `runtime`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from srtoolbox.check.faults import Report, joined
from srtoolbox.check.type_hints import advice, described, fits
from srtoolbox.registry import did_you_mean


class Value(NamedTuple):
    """A plain value: its type, the smallest number allowed, the only values allowed, the form of a string in words."""

    hint: Any
    least: float | None = None
    above: float | None = None
    among: tuple = ()
    form: re.Pattern | None = None
    told: str = ""


class Part(NamedTuple):
    """A component of a kind, or (many) a named map or list of them; `components.py` checks it."""

    kind: str
    many: bool = False
    listed: bool = False


class Section(NamedTuple):
    """A dict with fixed keys; `required` ones must be there when training."""

    keys: Mapping[str, Any]
    required: tuple[str, ...] = ()


class Each(NamedTuple):
    """A dict with free keys whose values are all alike."""

    inner: Any


_SETS = {"datasets": Part("dataset", many=True), "metrics": Part("metric", many=True)}
_OPTIM = Section(
    {
        "optimizer": Part("optimizer"),
        "scheduler": Part("scheduler", listed=True),
        "milestones": Value(list[int] | None),
        "clip": Value(float | None, above=0),
        "param_groups": Value(dict | None),
        "frozen": Value(list[str] | str | None),
    },
    required=("optimizer",),
)
_RUNTIME = Section(
    {
        "device": Value(
            str | None, form=re.compile(r"cpu|cuda(:\d+)?|auto|mps"), told="'cpu', 'cuda', 'cuda:N', 'mps' or 'auto'"
        ),
        "amp": Value(str | None, among=("bf16", "fp16", None)),
        "channels_last": Value(bool),
        "compile": Value(bool),
        "threads": Value(int | None, least=1),
        "deterministic": Value(bool),
        "dist_timeout": Value(float, above=0),
        "max_skipped": Value(int, least=1),
        "rollbacks": Value(int, least=0),
    }
)
_TRAIN = Section(
    {"dataset": Part("dataset"), "batch_size": Value(int, least=1), "workers": Value(int, least=0)},
    required=("dataset", "batch_size"),
)
TOP = Section(
    {
        "scale": Value(float, above=0),
        "model": Part("model"),
        "optim": Each(_OPTIM),
        "data": Section(
            {"train": _TRAIN, "val": Section({**_SETS, "interval": Value(int, least=1)}), "test": Section(_SETS)},
            required=("train",),
        ),
        "max_iters": Value(int, least=1),
        "accumulate": Value(int, least=1),
        "hooks": Part("hook", many=True),
        "runtime": _RUNTIME,
        "seed": Value(int, least=0),
        "work_dir": Value(str | None),
        "load_from": Value(str | None),
        "custom_imports": Value(list[str] | str | None),
    },
    required=("model", "optim", "data", "max_iters"),
)


class Found(NamedTuple):
    """A place where the schema wants a component."""

    path: str
    value: Any
    part: Part


def check_section(report: Report, section: Section, values: Any, path: str, *, training: bool) -> list[Found]:  # noqa: ANN401
    """Check the keys and plain values of a section; returns the places of components in it."""
    if not isinstance(values, Mapping):
        report.add(path, f"a dict is needed here, got {values!r}")
        return []
    found: list[Found] = []
    for key, value in values.items():
        where = joined(path, key)
        if key in section.keys:
            found += _check_entry(report, section.keys[key], value, where, training=training)
        elif path:
            hint = did_you_mean(key, section.keys) or f" It takes {', '.join(section.keys)}."
            report.add(where, f"{path} takes no {key!r}.{hint}")
    for key in section.required if training else ():
        if values.get(key) is None:
            report.add(path, f"{joined(path, key)} is missing, and training needs it")
    return found


def _check_entry(report: Report, entry: Any, value: Any, where: str, *, training: bool) -> list[Found]:  # noqa: ANN401
    if isinstance(entry, Part):
        return [] if value is None else [Found(where, value, entry)]
    if isinstance(entry, Section):
        return [] if value is None else check_section(report, entry, value, where, training=training)
    if isinstance(entry, Each):
        if not isinstance(value, Mapping):
            report.add(where, f"a dict is needed here, got {value!r}")
            return []
        parts = [_check_entry(report, entry.inner, v, joined(where, k), training=training) for k, v in value.items()]
        return [found for part in parts for found in part]
    _check_value(report, entry, value, where)
    return []


def _check_value(report: Report, entry: Value, value: Any, where: str) -> None:  # noqa: ANN401
    if entry.among and value not in entry.among:
        allowed = ", ".join(map(repr, entry.among))
        report.add(where, f"one of {allowed} is needed, got {value!r}.{did_you_mean(value, filter(None, entry.among))}")
    elif not fits(value, entry.hint):
        report.add(where, f"{described(entry.hint)} is needed, got {value!r}{advice(value, entry.hint)}")
    elif entry.form and value is not None and not entry.form.fullmatch(value):
        report.add(where, f"{entry.told} is needed, got {value!r}")
    elif value is not None and entry.least is not None and value < entry.least:
        report.add(where, f"at least {entry.least} is needed, got {value!r}")
    elif value is not None and entry.above is not None and value <= entry.above:
        report.add(where, f"more than {entry.above} is needed, got {value!r}")
