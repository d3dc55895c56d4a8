"""Plugins: components written outside the package, imported before a config is checked.

Named by the config (`custom_imports`), on the command line (`--plugin FILE`) or by installed packages (entry points in
the group `srtoolbox.plugins`). A config that came out of a checkpoint imports nothing: it has no file.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from srtoolbox.config import Config
from srtoolbox.errors import ConfigError, SrtoolboxError

GROUP = "srtoolbox.plugins"
_loaded: set[str] = set()  # real paths of files and 'group:name' of entry points, for the life of the process


def load_plugins(config: Config | None, files: Sequence[str | os.PathLike] = ()) -> None:
    """Import all plugins, each once in a process.

    Args:
        config: whose `custom_imports` name modules ('my_package.losses') or files (the config has made the path of
            './my_loss.py' absolute, from the folder of the file that names it); None or a config without a file
            imports none.
        files: Python files given on the command line, relative to the current folder. They are added to the config's
            `custom_imports`, so that the config a run saves names all the code it needs.

    Raises:
        ConfigError: a plugin is missing or fails; the message names the line at fault, and who asked for it.
    """
    for entry in entry_points(group=GROUP):
        _once(f"{GROUP}:{entry.name}", entry.load, f"entry point {entry.name!r} ({entry.value})")
    for name in _custom_imports(config):
        asked_by = f"{config.origin('custom_imports')}: custom_imports: {name!r}"
        if name.endswith(".py"):
            _load_file(Path(config.filename).parent / name, asked_by)
        else:
            _once(f"module {name}", lambda name=name: importlib.import_module(name), asked_by)
    for file in files:
        _load_file(Path(file), f"--plugin {file}")
    if config is not None and files:
        paths = [os.path.abspath(file) for file in files]
        config["custom_imports"] = list(dict.fromkeys([*_custom_imports(config), *paths]))


def _custom_imports(config: Config | None) -> list[str]:
    if config is None or config.filename is None:
        return []
    names = config.get("custom_imports") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        origin = config.origin("custom_imports")
        raise ConfigError(f"{origin}: custom_imports: a list of modules or files is needed: ['./my_loss.py']")
    return list(names)


def _load_file(path: Path, asked_by: str) -> None:
    if not path.is_file():
        raise ConfigError(f"{asked_by}: no such file ({path})")
    real = os.path.realpath(path)
    _once(real, lambda: _import_file(real), asked_by)


def _import_file(path: str) -> None:
    name = f"srtoolbox_plugin_{Path(path).stem}"
    while name in sys.modules:  # another file of the same name
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickling and `inspect` look classes up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _once(key: str, load: Callable[[], object], asked_by: str) -> None:
    if key in _loaded:
        return
    try:
        load()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{asked_by}: {_told(error)}") from error
    _loaded.add(key)


def _told(error: BaseException) -> str:
    """The error with the place in the plugin it comes from: the last frame outside the import machinery and us."""
    message = str(error) if isinstance(error, SrtoolboxError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    here = os.path.dirname(os.path.abspath(__file__))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", here)) and os.sep + "importlib" + os.sep not in frame.filename
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}: {message}" if frames else message
