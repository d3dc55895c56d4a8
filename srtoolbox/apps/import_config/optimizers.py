"""Optimizers: how those of other projects are written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srtoolbox.apps.import_config.counterpart import Counterpart, translate
from srtoolbox.apps.import_config.options import Options
from srtoolbox.text import did_you_mean

NUMBERS = ("lr", "weight_decay", "eps", "momentum", "warmup_steps")


def read_optimizer(options: Options, table: Mapping[str, Counterpart], target: str, owner: str) -> dict[str, Any]:
    """Return our config of an optimizer, which stands at `target`.

    Raises:
        ConfigError: its class is missing, or has no counterpart here.
    """
    kind = options.peek("type")
    if kind is None:
        raise options.fault("type", "the optimizer's type is missing")
    if str(kind).lower() not in table:
        hint = did_you_mean(kind, table, else_list=True)
        raise options.fault("type", f"the optimizer {kind!r} has no counterpart here.{hint}")
    for name in NUMBERS:
        if name in options:
            options.number(name, float, 0.0)
    result = translate(options, table[str(kind).lower()], "optimizer", target, owner)
    for key, value in result.items():
        if key in NUMBERS and isinstance(value, str):  # 1e-4 is a string in YAML
            result[key] = float(value)
        if isinstance(value, list):
            result[key] = tuple(value)
    return result
