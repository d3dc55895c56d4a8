"""Finding a config, on disk or in the package, and reading it with its bases into a ConfigDict."""

from __future__ import annotations

import ast
import bisect
import contextlib
import copy
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from srtoolbox.config.evaluator import Evaluator, assignments
from srtoolbox.config.evaluator.budget import FILE_BYTES, YAML_BYTES, Budget, Refused
from srtoolbox.config.formats import BaseValues, read_json, read_yaml, substituted, with_base_values, with_words
from srtoolbox.config.overrides import PLUGINS, Overrides
from srtoolbox.config.toml import read_toml
from srtoolbox.config.values import ConfigDict, Origin, Value, inherited, merge, without_delete
from srtoolbox.errors import ConfigError
from srtoolbox.io.files import ESCAPE_HINT, slash_hint
from srtoolbox.text import did_you_mean

VARIABLES = "_variables_"
PLAIN = {".yaml": read_yaml, ".yml": read_yaml, ".toml": read_toml, ".json": read_json}


class Loader:
    """Loads one config.

    Attributes:
        used: the top-level names that some expression reads.
        read_too_early: those of them that a base reads and a later file binds again without
            reading them, which the base does not see.
        variables: the values that the files on the way to the base being read give its names.

    Raises:
        ConfigError: from `load`: anything is refused, missing or fails, with file and line.
    """

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self.overrides = Overrides(overrides)
        self.budget = Budget()
        self.used: set[str] = set()
        self.read_too_early: set[str] = set()
        self.open: list[str] = []  # real paths from the config down to the base being read
        self.variables: dict[str, Value] = {}
        data_root = os.environ.get("SRTOOLBOX_DATA") or "data"
        self.prebound = {"data_root": self.overrides.outer("data_root", data_root)}

    def load(self, path: str) -> ConfigDict:
        """Return the config at `path`, bases merged in and overrides applied."""
        config = self._file(path)
        self.overrides.at_end(config, tuple(self.prebound))
        _resolve_plugins(config, path)
        return config

    def _file(self, path: str) -> ConfigDict:
        real = os.path.realpath(path)
        with _refusals_at(Origin(path, 1)):
            self.budget.open_file()
            self.open.append(real)
            text = substituted(_read(path), path)
        suffix = os.path.splitext(path)[1]
        if suffix == ".py":
            config = self._python(text, path)
        elif suffix in PLAIN:
            config = self._plain(text, path, PLAIN[suffix])
        else:
            raise ConfigError(f"{path}: a config is a .py, .yaml, .yml, .toml or .json file")
        self.open.pop()
        return config

    def _python(self, text: str, path: str) -> ConfigDict:
        text, words = with_words(text)
        module = _parsed(text, path)
        variables = self._header(module, VARIABLES, ConfigDict(), path)
        bases = assignments(module, "_base_")
        if len(bases) > 1:
            raise ConfigError(f"{path}:{bases[1].lineno}: _base_ is assigned a second time")
        base = self._bases(path, self._header(module, "_base_", [], path), variables)
        module = BaseValues(words, path).visit(module) if words else module
        names = ConfigDict.at(Origin(path))
        evaluator = Evaluator(path, self.budget, names, {**self.prebound, "_base_": base})
        evaluator.run(module, self._at_assignment)
        self.read_too_early |= {name for name in names if name in base and name in self.used}
        self.read_too_early -= evaluator.used
        self.used |= evaluator.used
        return self._merged(base, names, path)

    def _header(self, module: ast.Module, name: str, default: Value, path: str) -> tuple[Value, Origin]:
        """Return the value of a name that is read before the file runs, and its place."""
        nodes = assignments(module, name)
        if not nodes:
            return default, Origin(path)
        return Evaluator(path, self.budget).evaluate(nodes[-1].value), Origin(path, nodes[-1].lineno)

    def _plain(self, text: str, path: str, read: Callable[[str, str, Budget], Value]) -> ConfigDict:
        text, words = with_words(text, quote='"')
        own = read(text, path, self.budget)
        if not isinstance(own, ConfigDict):
            kind = type(own).__name__
            raise ConfigError(f"{path}:1: a config is a mapping of keys, this is a {kind}")
        origin, place = (own.origin_of(name) or Origin(path) for name in ("_base_", VARIABLES))
        variables = dict.pop(own, VARIABLES, ConfigDict()), place
        base = self._bases(path, (dict.pop(own, "_base_", []), origin), variables)
        if words:
            own = with_base_values(own, words, base, origin)
        for key in list(own):
            own.put(key, self._at_assignment(key, own[key]), own.origin_of(key))
        return self._merged(base, own, path)

    def _at_assignment(self, name: str, value: Value) -> Value:
        """Return the command line's value of a name, or a later file's, else `value`."""
        if name in self.variables:
            value = copy.deepcopy(self.variables[name])
        return self.overrides.at_assignment(name, value)

    def _merged(self, base: ConfigDict, own: ConfigDict, path: str) -> ConfigDict:
        for names in (base, own):
            for key, value in names.items():
                with _refusals_at(names.origin_of(key) or Origin(path, 1)):
                    self.budget.measure(value)
        own = ConfigDict(own)
        _resolve_plugins(own, path)
        for key in list(own):
            if not isinstance(key, str):
                place = own.origin_of(key)
                raise ConfigError(f"{place}: the top-level key {key!r} is not a string")
            if key.startswith("__") or key in ("_deprecation_", VARIABLES):
                del own[key]
        return without_delete(merge(base, own))

    def _bases(self, path: str, header: tuple[Value, Origin], replaced: tuple[Value, Origin]) -> ConfigDict:
        """Return the configs named in `_base_`, side by side, marked as inherited.

        `replaced` are the values of `_variables_`, for those that the bases bind to these names.
        """
        names, origin = header
        variables, place = replaced
        if not isinstance(variables, ConfigDict):
            need = f"{VARIABLES} is a dict such as dict(scale=4)"
            raise ConfigError(f"{place}: {need}, got {variables!r}")
        names = names if isinstance(names, list | tuple) else [names]
        base, outer = ConfigDict.at(Origin(path)), self.variables
        self.variables = {**variables, **outer}
        for name in names:
            if not isinstance(name, str):
                kind = type(name).__name__
                raise ConfigError(f"{origin}: _base_ is a file name or a list of them, not {kind}")
            config = self._file(self._base_path(name, origin, path))
            for key, value in config.items():
                if key in base:
                    places = f"{base.origin_of(key)} and {config.origin_of(key)}"
                    advice = "Keep it in one of them, or chain the two files."
                    raise ConfigError(f"{origin}: two bases define {key!r}: {places}. {advice}")
                base.put(key, value, config.origin_of(key))
        self.variables = outer
        for name in variables:
            place = variables.origin_of(name) or origin
            if name not in base:
                hint = did_you_mean(name, base)
                raise ConfigError(f"{place}: {VARIABLES}: no base sets {name!r}.{hint}")
            base.put(name, base[name], place)
        return inherited(base)

    def _base_path(self, name: str, origin: Origin, path: str) -> str:
        if "::" in name:
            fault = "is in another package; copy that config here"
            raise ConfigError(f"{origin}: _base_ {name!r} {fault}")
        base = find_base(name, os.path.dirname(path))
        if base is None:
            beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
            slashes = slash_hint(name)
            hint = f" {slashes[0].upper()}{slashes[1:]}." if slashes else ""
            hint += did_you_mean(name, packaged_names())
            fault = f"not found (looked for {beside}, then among the packaged configs)"
            raise ConfigError(f"{origin}: _base_ file {name!r} {fault}.{hint}")
        if os.path.realpath(base) in self.open:
            fault = "leads back to a file that is being read: a cycle"
            raise ConfigError(f"{origin}: _base_ {name!r} {fault}")
        return base


@contextlib.contextmanager
def _refusals_at(origin: Origin) -> Iterator[None]:
    """Turn a refusal into a ConfigError that names its place."""
    try:
        yield
    except Refused as refusal:
        raise ConfigError(f"{origin}: {refusal}") from None


def _resolve_plugins(names: ConfigDict, path: str) -> None:
    """Make the paths of the config's plugin files absolute, so that they hold wherever it is saved.

    Those of a base are absolute already; a file of the command line lies beside the config.
    """
    folder = os.path.dirname(os.path.abspath(path))

    def absolute(name: Value) -> Value:
        is_file = isinstance(name, str) and name.endswith(".py")  # else a module
        return os.path.normpath(os.path.join(folder, name)) if is_file else name

    value = names.get(PLUGINS)
    if isinstance(value, str | list | tuple):
        paths = absolute(value) if isinstance(value, str) else [absolute(item) for item in value]
        names.put(PLUGINS, paths, names.origin_of(PLUGINS))


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES + 1)
        limit = YAML_BYTES if path.endswith((".yaml", ".yml")) else FILE_BYTES
        if len(data) > limit:
            line = 1 + data.count(b"\n", 0, limit)
            fault = f"here the file grows larger than {limit // 1024} KiB, which is refused"
            raise ConfigError(f"{path}:{line}: {fault}")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Refused(f"is not UTF-8 text (byte {error.start})") from None


def _parsed(text: str, path: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of '\\d', which Python keeps as it stands
            return ast.parse(text, path)
    except SyntaxError as error:
        hint = f". {ESCAPE_HINT}" if "unicodeescape" in str(error.msg) else ""  # 'C:\\Users'
        raise ConfigError(f"{path}:{error.lineno or 1}: {error.msg}{hint}") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{path}:{_too_deep_line(text)}: nested too deep to be read") from None
    except ValueError as error:
        raise ConfigError(f"{path}:1: {error}") from None


def _too_deep_line(text: str) -> int:
    """Return the last line of the shortest head of the text that the parser gives up on, too."""
    lines = text.splitlines(keepends=True)

    def is_too_deep(count: int) -> bool:
        try:
            ast.parse("".join(lines[:count]))
        except (RecursionError, MemoryError):
            return True
        except SyntaxError:
            pass
        return False

    return 1 + bisect.bisect_left(range(1, len(lines)), True, key=is_too_deep)


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

    'espcn/espcn_x3.py', 'configs/espcn/espcn_x3.py' and, if unique, 'espcn_x3' all find it.

    Raises:
        ConfigError: nothing has that name; the nearest one is suggested.
    """
    name = os.fspath(name)
    if os.path.isfile(name):
        return name
    asked = Path(name).as_posix().removeprefix("./").removeprefix("configs/")
    folder, names = packaged_folder(), packaged_names()
    stem = asked.removesuffix(".py")
    matches = [path for path in names if path.removesuffix(".py") == stem]
    matches = matches or [path for path in names if Path(path).stem == stem]
    if folder is not None and len(matches) == 1:
        return _path_to_show(folder / matches[0])
    if matches:
        raise ConfigError(f"{name}: several packaged configs have this name: {', '.join(matches)}")
    hint = did_you_mean(asked, names)
    raise ConfigError(f"{name}: no such config file, on disk or in the package.{hint}")


def find_base(name: str, folder: str) -> str | None:
    """Return the file of a `_base_` entry: beside the config that names it, else in the package.

    Only a full name ('espcn/espcn_x3_t91.py', '_base_/runtime.py') is looked up in the package;
    './x.py' never is. `folder` is that of the config that names it.
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
