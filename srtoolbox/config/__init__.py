"""Configs: files evaluated as data, with inheritance, overrides and the origin of every key."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srtoolbox.config.formats import dump
from srtoolbox.config.loader import Loader, find_config
from srtoolbox.config.values import ConfigDict, Origin, Value, plain
from srtoolbox.errors import OptionError

__all__ = ["Config", "ConfigDict", "Origin", "resolve_config"]


class Config(Mapping[str, Any]):
    """A config read by key or attribute: `cfg.model`, `cfg['model']`, `cfg.get('seed', 0)`.

    Args:
        values: plain data, for instance the config in a checkpoint.
        filename: the file it was read from, if any.

    Attributes:
        used: top-level names that some expression of the config files reads.
        read_too_early: those of them that a file binds again, after a base has read them.
    """

    filename: str | None
    used: frozenset[str] = frozenset()
    read_too_early: frozenset[str] = frozenset()
    _values: ConfigDict

    def __init__(self, values: Mapping[str, Any], filename: str | None = None) -> None:
        self.__dict__.update(filename=filename, _values=ConfigDict(values))

    @classmethod
    def fromfile(cls, path: str | os.PathLike, overrides: Sequence[str] = ()) -> Config:
        """Load a .py, .yaml or .json config without running anything in it.

        Args:
            path: a file, or the name of a packaged config ('espcn/espcn_x3_t91.py').
            overrides: 'key.sub=value' texts, as typed on a command line.

        Raises:
            ConfigError: the file or a base is missing, refused or wrong, with file and line.
        """
        filename = find_config(path)
        loader = Loader(overrides)
        config = cls(loader.load(filename), filename)
        used, read_too_early = frozenset(loader.used), frozenset(loader.read_too_early)
        config.__dict__.update(used=used, read_too_early=read_too_early)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain dicts, lists and tuples; a deep copy."""
        return plain(self._values)

    def entries(self) -> list[tuple[str, Any]]:
        """Return path ('model.type') and value of all that is no dict and no list with dicts."""
        return list(_entries(self.to_dict(), ""))

    def dump(self) -> str:
        """Return Python text that loads to the same config; names that shadow a function come last.

        Raises:
            ConfigError: a top-level key cannot be written as a Python name.
        """
        return dump(self._values)

    def origin(self, path: str) -> Origin | None:
        """Return the place of the key 'a.b.0.c', or of its nearest parent that is there."""
        value: object = self._values
        origin: Origin | None = None
        for part in path.split("."):
            if isinstance(value, ConfigDict):
                key = part if part in value or not part.isdecimal() else int(part)
                if key not in value:
                    return origin
                origin = value.origin_of(key) or origin
                value = value[key]
            elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
                origin = (value._origin if isinstance(value, ConfigDict) else None) or origin
            else:
                return origin
        return origin

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __setitem__(self, key: str, value: object) -> None:
        self._values[key] = value

    def __getattr__(self, name: str) -> Value:
        if name.startswith("_"):  # of a protocol this class has not, or of an unfilled instance
            raise AttributeError(name)
        return getattr(self._values, name)

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(type(self), name) or name in vars(self):
            example = f"cfg[{name!r}] = ..."
            raise AttributeError(f"{name!r} is a name of Config itself; set such a key by {example}")
        setattr(self._values, name, value)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Config({self.filename or 'from data'}: {', '.join(self._values)})"


def _entries(value: object, path: str) -> Iterator[tuple[str, Any]]:
    items: list[tuple[object, object]]
    if isinstance(value, Mapping) and value:
        items = list(value.items())
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        items = list(enumerate(value))
    else:
        yield path, value
        return
    for key, item in items:
        yield from _entries(item, f"{path}.{key}" if path else str(key))


def resolve_config(
    source: Config | Mapping[str, Any] | str | os.PathLike[str],
    overrides: Sequence[str] = (),
    entries: Mapping[str, object] | None = None,
) -> Config:
    """Return the config of a file, or a copy of one that is there.

    Args:
        source: a file, the name of a packaged config, a `Config`, or plain data.
        overrides: 'key.sub=value' texts, for a file.
        entries: values to set by path, 'seed' or 'runtime.device', but None; in a file they act as
            overrides do, where the key is assigned.

    Raises:
        OptionError: overrides for a config that is no file.
        ConfigError: as `Config.fromfile`.
    """
    entries = {path: value for path, value in (entries or {}).items() if value is not None}
    if isinstance(source, str | os.PathLike):
        texts = list(overrides)
        for path, value in entries.items():
            key, _, inner = path.partition(".")
            # a dict goes into one that is there, and over None
            whole = {inner: value} if inner else value
            texts.append(f"{key}={whole!r}")
        return Config.fromfile(source, texts)
    if overrides:
        raise OptionError("overrides are for a config that is a file; change the config itself")
    config = copy.deepcopy(source) if isinstance(source, Config) else Config(copy.deepcopy(dict(source)))
    for path, value in entries.items():
        key, _, inner = path.partition(".")
        config[key] = {**(config.get(key) or {}), inner: value} if inner else value
    return config
