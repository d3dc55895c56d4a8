"""Config: a loaded config with the file it came from and the place where each key was written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srtoolbox.config.dump import dump
from srtoolbox.config.loader import Loader
from srtoolbox.config.locate import find_config
from srtoolbox.config.values import ConfigDict, Origin, plain


class Config(Mapping[str, Any]):
    """A config read by key or attribute: `cfg.model.generator`, `cfg['model']`, `cfg.get('seed', 0)`.

    Args:
        values: plain data, for instance the config in a checkpoint.
        filename: the file it was read from, if any.
        used: top-level names that some expression of the config files reads.
        read_too_early: those of them that a file binds again too late: what a base computed from them stays.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        filename: str | None = None,
        *,
        used: frozenset[str] = frozenset(),
        read_too_early: frozenset[str] = frozenset(),
    ) -> None:
        self.__dict__.update(_values=ConfigDict(values), filename=filename, used=used, read_too_early=read_too_early)

    @classmethod
    def fromfile(cls, path: str | os.PathLike, overrides: Sequence[str] = ()) -> Config:
        """Load a .py, .yaml or .json config without running anything in it.

        Args:
            path: a file, or the name of a packaged config ('espcn/espcn_x3_t91.py').
            overrides: 'key.sub=value' texts, as typed on a command line.

        Raises:
            ConfigError: the file or a base is missing, refused or wrong; each message names file and line.
        """
        filename = find_config(path)
        loader = Loader(overrides)
        values = loader.load(filename)
        return cls(values, filename, used=frozenset(loader.used), read_too_early=frozenset(loader.read_too_early))

    def to_dict(self) -> dict[str, Any]:
        """The config as plain dicts, lists and tuples; a deep copy."""
        return plain(self._values)

    def dump(self) -> str:
        """Python text that loads to the same config."""
        return dump(self._values)

    def origin(self, path: str) -> Origin | None:
        """Where the key 'a.b.0.c' was written; of a key that is not there, where its nearest parent was."""
        value, origin = self._values, None
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

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - any config value
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:  # noqa: ANN401
        self._values[key] = value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("_"):  # a protocol method this class has not, or an instance not yet filled
            raise AttributeError(name)
        return getattr(self._values, name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        self._values[name] = value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Config({self.filename or 'from data'}: {', '.join(self._values)})"
