"""Config: a loaded config with the file it came from and the place where each key was written."""

from __future__ import annotations

import keyword
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srtoolbox.config.evaluator.calls import FUNCTIONS
from srtoolbox.config.loader import Loader
from srtoolbox.config.locate import find_config
from srtoolbox.config.values import ConfigDict, Origin, Value, plain
from srtoolbox.errors import ConfigError

_WIDTH = 100


class Config(Mapping[str, Any]):
    """A config read by key or attribute: `cfg.model`, `cfg['model']`, `cfg.get('seed', 0)`.

    Args:
        values: plain data, for instance the config in a checkpoint.
        filename: the file it was read from, if any.
        used: top-level names that some expression of the config files reads.
        read_too_early: those of them that a file binds again, after a base has read them.
    """

    filename: str | None
    used: frozenset[str]
    read_too_early: frozenset[str]
    _values: ConfigDict

    def __init__(
        self,
        values: Mapping[str, Any],
        filename: str | None = None,
        *,
        used: frozenset[str] = frozenset(),
        read_too_early: frozenset[str] = frozenset(),
    ) -> None:
        own = {"filename": filename, "used": used, "read_too_early": read_too_early}
        self.__dict__.update(own, _values=ConfigDict(values))

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
        values = loader.load(filename)
        used, read_too_early = frozenset(loader.used), frozenset(loader.read_too_early)
        return cls(values, filename, used=used, read_too_early=read_too_early)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain dicts, lists and tuples; a deep copy."""
        return plain(self._values)

    def dump(self) -> str:
        """Return Python text that loads to the same config; names that shadow a function come last.

        Raises:
            ConfigError: a top-level key cannot be written as a Python name.
        """
        for key in self._values:
            if not _is_name(key) or key == "_base_":
                fault = "cannot be written as a Python name; rename it"
                raise ConfigError(f"the top-level key {key!r} {fault}")
        ordered = sorted(self._values, key=lambda key: key in FUNCTIONS)
        return "".join(f"{key} = {_text_of(self._values[key], '')}\n" for key in ordered)

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


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _text_of(value: object, indent: str) -> str:
    if isinstance(value, Mapping | list | tuple):
        line = _joined(value, "", one_line=True)
        if len(indent) + len(line) <= _WIDTH:
            return line
        return _joined(value, indent + "    ", one_line=False)
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, set):
        return "set(" + (_text_of(sorted(value, key=repr), indent) if value else "") + ")"
    if isinstance(value, str):
        return repr(value).replace("{{", r"{\x7b")  # a literal `{{` is no template
    return repr(value)


def _joined(value: Mapping | list | tuple, indent: str, one_line: bool) -> str:
    if isinstance(value, Mapping):
        is_call = all(map(_is_name, value))
        left, right, equals = ("dict(", ")", "=") if is_call else ("{", "}", ": ")
        keys = value if is_call else [_text_of(key, "") for key in value]
        pairs = zip(keys, value.values(), strict=True)
        parts = [f"{key}{equals}{_text_of(item, indent)}" for key, item in pairs]
    else:
        left, right = "[]" if isinstance(value, list) else "()"
        parts = [_text_of(item, indent) for item in value]
    if one_line:
        comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
        return left + ", ".join(parts) + comma + right
    return left + "".join(f"\n{indent}{part}," for part in parts) + "\n" + indent[:-4] + right
