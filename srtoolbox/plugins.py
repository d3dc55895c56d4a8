"""Plugins: components written outside the package, imported before a config is checked.

Named by the config (`custom_imports`), on the command line (`--plugin FILE`) or by installed
packages (entry points in the group `srtoolbox.plugins`). A config that came out of a checkpoint
imports nothing: it has no file. A worker process that is not forked loads the same ones again.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from srtoolbox.config import Config, resolve_config
from srtoolbox.errors import ConfigError, SrtoolboxError, line_at_fault

GROUP = "srtoolbox.plugins"


class Plugin(NamedTuple):
    """A loaded plugin: a module, with the real path of its file if it was loaded by path."""

    module: str
    path: str | None = None


_loaded: dict[str, Plugin] = {}
"""By real path, 'module NAME' or 'group:name'."""


def load_plugins(config: Config | None, files: Sequence[str | os.PathLike] = ()) -> None:
    """Import all plugins, each once in a process.

    Args:
        config: its `custom_imports` name modules ('my_package.losses') or files, whose paths the
            loader has made absolute; None or a config without a file imports none.
        files: Python files of the command line, relative to the current folder. They are added to
            the config's `custom_imports`, so that a saved config names all the code it needs.

    Raises:
        ConfigError: a plugin is missing or fails; the message names the line, and who asked for it.
    """
    for entry in entry_points(group=GROUP):
        asked_by = f"entry point {entry.name!r} ({entry.value})"
        _once(f"{GROUP}:{entry.name}", Plugin(entry.module), asked_by, entry.load)
    if config is not None and config.filename is not None:
        for name in _custom_imports(config):
            asked_by = f"{config.origin('custom_imports')}: custom_imports: {name!r}"
            if name.endswith(".py"):
                _load_file(Path(config.filename).parent / name, asked_by)
            else:
                _once(f"module {name}", Plugin(name), asked_by)
    for file in files:
        _load_file(Path(file), f"--plugin {file}")
    if config is not None and files:
        paths = [os.path.abspath(file) for file in files]
        config["custom_imports"] = list(dict.fromkeys([*_custom_imports(config), *paths]))


def load_config(
    source: Config | Mapping[str, Any] | str | os.PathLike[str],
    overrides: Sequence[str] = (),
    entries: Mapping[str, object] | None = None,
    *,
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> Config:
    """Return a config whose plugins are imported.

    Args:
        source, overrides, entries: as of `resolve_config`.
        plugins: as the files of `load_plugins`.

    Raises:
        OptionError: overrides for a config that is no file.
        ConfigError: as `Config.fromfile` and `load_plugins`.
    """
    config = resolve_config(source, overrides, entries)
    load_plugins(config, plugins)
    return config


def advice_for_missing(custom_imports: object) -> str:
    """Return how to load the code that a checkpoint needs: what its run's config imported."""
    names = [custom_imports] if isinstance(custom_imports, str) else custom_imports or []
    names = [str(name) for name in names] if isinstance(names, list | tuple) else []
    files = [name for name in names if name.endswith(".py")]
    present = [name for name in files if os.path.isfile(name)]
    modules = [name for name in names if name not in files]
    if modules:
        config = f"name a config with custom_imports = {modules + present!r} by --config"
        return f"Its run imported {', '.join(modules)}: {config}, or import it before load_network"
    options = " ".join(f"--plugin {shlex.quote(name)}" for name in present or ["FILE"])
    call = f"srtoolbox.plugins.load_plugins(None, {present or ['FILE']!r})"
    missing = [name for name in files if name not in present]
    absent = f"; its run had {', '.join(missing)}, which is not there" if missing else ""
    return f"Add {options} (in Python: {call}){absent}"


def _custom_imports(config: Config) -> list[str]:
    names = (config.get("custom_imports") if config.filename is not None else None) or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        place = f"{config.origin('custom_imports')}: custom_imports"
        raise ConfigError(f"{place}: a list of modules or files is needed: ['./my_loss.py']")
    return list(names)


def loaded_plugins() -> dict[str, Plugin]:
    """Return the plugins of this process, in the order of loading, for another's `load_again`."""
    return dict(_loaded)


def load_again(plugins: Mapping[str, Plugin]) -> None:
    """Load the plugins of the parent in a worker process, each file under its module name there.

    Pickled objects name their classes by module, so this comes before anything is unpickled.

    Raises:
        ConfigError: a plugin fails here; the message names the line at fault.
    """
    for key, plugin in plugins.items():
        _once(key, plugin, f"plugin {plugin.path or plugin.module}, loaded again in a worker process")


def _load_file(path: Path, asked_by: str) -> None:
    if not path.is_file():
        raise ConfigError(f"{asked_by}: no such file ({path})")
    real = os.path.realpath(path)
    name = f"srtoolbox_plugin_{Path(real).stem}"
    while name in sys.modules:  # another file of the same name
        name += "_"
    _once(real, Plugin(name, real), asked_by)


def _once(key: str, plugin: Plugin, asked_by: str, load: Callable[[], object] | None = None) -> None:
    if key in _loaded:
        return
    try:
        if load is None:
            _import(plugin)
        else:
            load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{asked_by}: {_sentence(error)}") from error
    _loaded[key] = plugin


def _import(plugin: Plugin) -> None:
    name, path = plugin
    if path is None:
        importlib.import_module(name)
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("a plugin is a Python file, whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickling and `inspect` look classes up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _sentence(error: BaseException) -> str:
    """Return the error after the place in the plugin that it comes from."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    message = str(error) if isinstance(error, SrtoolboxError) else f"{type(error).__name__}: {error}"
    place = line_at_fault(error)
    return f"{place}: {message}" if place else message
