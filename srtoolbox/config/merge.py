"""Merging: dicts key by key, anything else replaces; `_delete_=True` replaces a dict and never stays in the result."""

from __future__ import annotations

from typing import Any

from srtoolbox.config.values import ConfigDict
from srtoolbox.errors import ConfigError

DELETE = "_delete_"


def merge(base: ConfigDict, child: ConfigDict, path: str = "") -> ConfigDict:
    """`child` over `base`, as a new ConfigDict; a key keeps the origin that set it last.

    Raises:
        ConfigError: a dict of the child stands over something else in the base.
    """
    merged = base.copy()
    for key, value in child.items():
        if key == DELETE:
            continue
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, ConfigDict) and key in base and not value.get(DELETE, False):
            if not isinstance(base[key], dict):
                raise ConfigError(
                    f"{child.origin_of(key)}: {where}: a dict cannot be merged into the {type(base[key]).__name__} set "
                    f"at {base.origin_of(key)}. Put {DELETE}=True into the dict to replace it."
                )
            value = merge(base[key], value, where)
        else:
            value = without_delete(value)
        merged.put(key, value, child.origin_of(key))
    return merged


def without_delete(value: Any) -> Any:  # noqa: ANN401 - any config value
    """A copy of `value` in which no dict holds `_delete_`."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        dict.pop(node, DELETE, None)
        for key, item in node.items():
            dict.__setitem__(node, key, without_delete(item))
        return node
    if isinstance(value, list | tuple):
        return type(value)([without_delete(item) for item in value])
    return value
