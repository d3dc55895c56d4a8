"""Finding config files: on disk, else among the configs that travel with the package."""

from __future__ import annotations

import os
from pathlib import Path

from srtoolbox.errors import ConfigError
from srtoolbox.text import did_you_mean


def packaged_folder() -> Path | None:
    """Return the folder of the configs: inside an installed package, beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    folders = (package / "configs", package.parent / "configs")
    return next((folder for folder in folders if folder.is_dir()), None)


def packaged_names() -> list[str]:
    """Return the names of the package's configs ('espcn/espcn_x3_t91.py'), without `_base_`."""
    folder = packaged_folder()
    if folder is None:
        return []
    paths = [path.relative_to(folder) for path in folder.rglob("*.py")]
    return sorted(path.as_posix() for path in paths if not {"_base_", "__init__.py"} & {*path.parts})


def find_config(name: str | os.PathLike) -> str:
    """Return the path of a config: `name` itself if it is a file, else the packaged one.

    'espcn/espcn_x3.py', 'configs/espcn/espcn_x3.py' and a bare 'espcn_x3' that is unique all find it.

    Raises:
        ConfigError: nothing has that name; the nearest one is suggested.
    """
    name = os.fspath(name)
    if os.path.isfile(name):
        return name
    asked = Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    folder, names = packaged_folder(), packaged_names()
    stem = asked.removesuffix(".py")
    matches = [packaged for packaged in names if packaged.removesuffix(".py") == stem]
    matches = matches or [packaged for packaged in names if Path(packaged).stem == stem]
    if folder is not None and len(matches) == 1:
        return _path_to_show(folder / matches[0])
    if matches:
        raise ConfigError(f"{name}: several packaged configs have this name: {', '.join(matches)}")
    hint = did_you_mean(asked, names)
    raise ConfigError(f"{name}: no such config file, on disk or in the package.{hint}")


def find_base(name: str, folder: str) -> str | None:
    """Return the file of a `_base_` entry: beside the config that names it, else in the package.

    Only a full name ('espcn/espcn_x3_t91.py', '_base_/runtime.py') is looked up in the package;
    './x.py' never is.

    Args:
        name: as written.
        folder: where the config that names it lies.
    """
    path = os.path.normpath(os.path.join(folder, name))
    if os.path.isfile(path):
        return path
    packaged = packaged_folder()
    parts = name.replace(os.sep, "/").split("/")
    is_full = not os.path.isabs(name) and not {".", ".."} & {*parts}
    if packaged is not None and is_full and (packaged / name).is_file():
        return _path_to_show(packaged / name)
    return None


def _path_to_show(path: Path) -> str:
    """Return the path of a packaged config, relative where it lies below the current folder."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
