"""Reading one config with all its bases into a ConfigDict."""

from __future__ import annotations

import ast
import copy
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from srtoolbox.config.evaluator.budget import FILE_BYTES, YAML_BYTES, Budget, Refused
from srtoolbox.config.evaluator.statements import Evaluator, base_assignments
from srtoolbox.config.evaluator.templates import extracted_base_values, substituted
from srtoolbox.config.formats import read_json, read_yaml
from srtoolbox.config.locate import find_base, packaged_names
from srtoolbox.config.merge import merge, without_delete
from srtoolbox.config.overrides import PLUGINS, Overrides
from srtoolbox.config.values import ConfigDict, Origin, inherited
from srtoolbox.errors import ConfigError
from srtoolbox.io.file_names import ESCAPE_HINT, slash_hint
from srtoolbox.registry import did_you_mean

DATA_ROOT = "data_root"
VARIABLES = "_variables_"


class Loader:
    """Loads one config; `used` collects the top-level names that some expression reads.

    `read_too_early` has those that a base reads and a later file binds again without reading them,
    which the base does not see.

    Raises:
        ConfigError: from `load`, for anything that is refused, missing or fails, with file and line.
    """

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self.overrides = Overrides(overrides)
        self.budget = Budget()
        self.used: set[str] = set()
        self.read_too_early: set[str] = set()
        self.open: list[str] = []  # real paths from the config down to the base being read
        data_root = os.environ.get("SRTOOLBOX_DATA") or "data"
        self.variables: dict[str, Any] = {}  # what the files on the way to the base being read give its names
        self.prebound = {DATA_ROOT: self.overrides.outer(DATA_ROOT, data_root)}

    def load(self, path: str) -> ConfigDict:
        """The config at `path`, bases merged in and overrides applied."""
        config = self._file(path)
        self.overrides.at_end(config, tuple(self.prebound))
        _resolve_plugins(config, path)
        return config

    def _within(self, origin: Origin, action: Callable[[], Any]) -> Any:  # noqa: ANN401 - what action returns
        try:
            return action()
        except Refused as refusal:
            raise ConfigError(f"{origin}: {refusal}") from None

    def _file(self, path: str) -> ConfigDict:
        real = os.path.realpath(path)
        self._within(Origin(path, 1), self.budget.open_file)
        self.open.append(real)
        text = self._within(Origin(path, 1), lambda: substituted(_read(path), path))
        suffix = os.path.splitext(path)[1]
        if suffix == ".py":
            config = self._python(text, path)
        elif suffix in (".yaml", ".yml", ".json"):
            config = self._plain(text, path, read_json if suffix == ".json" else read_yaml)
        else:
            raise ConfigError(f"{path}: a config is a .py, .yaml, .yml or .json file")
        self.open.pop()
        return config

    def _python(self, text: str, path: str) -> ConfigDict:
        text, words = extracted_base_values(text)
        module = _parsed(text, path)
        base = self._bases(*_python_bases(module, path, self.budget), path, _variables(module, path, self.budget))
        module = _BaseValues(words, path).visit(module) if words else module
        evaluator = Evaluator(path, self.budget, ConfigDict(origin=Origin(path)), {**self.prebound, "_base_": base})
        evaluator.run(module, self._at_assignment)
        self.read_too_early |= {name for name in evaluator.names if name in base and name in self.used}
        self.read_too_early -= evaluator.used
        self.used |= evaluator.used
        return self._merged(base, evaluator.names, path)

    def _plain(self, text: str, path: str, read: Callable[[str, str, Budget], ConfigDict]) -> ConfigDict:
        text, words = extracted_base_values(text, quote='"')
        own = read(text, path, self.budget)
        origin = own.origin_of("_base_") or Origin(path)
        base = self._bases(dict.pop(own, "_base_", []), origin, path, dict.pop(own, VARIABLES, ConfigDict()))
        if words:
            own = _filled(own, words, base, origin)
        for key in list(own):
            own.put(key, self._at_assignment(key, own[key]), own.origin_of(key))
        return self._merged(base, own, path)

    def _at_assignment(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any config value
        """Return what is bound to a name: what a file based on this one or the command line says, else `value`."""
        given = copy.deepcopy(self.variables[name]) if name in self.variables else value
        return self.overrides.at_assignment(name, given)

    def _merged(self, base: ConfigDict, own: ConfigDict, path: str) -> ConfigDict:
        for names in (base, own):
            for key, value in names.items():
                self._within(names.origin_of(key) or Origin(path, 1), lambda value=value: self.budget.measure(value))
        own = ConfigDict(own)
        _resolve_plugins(own, path)
        for key in list(own):
            if not isinstance(key, str):
                raise ConfigError(f"{own.origin_of(key)}: the top-level key {key!r} is not a string")
            if key.startswith("__") or key in ("_deprecation_", VARIABLES):
                del own[key]
        return without_delete(merge(base, own))

    def _bases(self, names: Any, origin: Origin, path: str, variables: ConfigDict) -> ConfigDict:  # noqa: ANN401 - as the file says
        """Return the configs named in `_base_`, side by side, marked as inherited, where `variables` replace theirs."""
        names = names if isinstance(names, list | tuple) else [names]
        base, outer = ConfigDict(origin=Origin(path)), self.variables
        self.variables = {**variables, **outer}
        for name in names:
            if not isinstance(name, str):
                raise ConfigError(f"{origin}: _base_ is a file name or a list of them, not {type(name).__name__}")
            config = self._file(self._base_path(name, origin, path))
            for key, value in config.items():
                if key in base:
                    raise ConfigError(
                        f"{origin}: two bases define {key!r}: {base.origin_of(key)} and {config.origin_of(key)}. "
                        "Keep it in one of them, or chain the two files."
                    )
                base.put(key, value, config.origin_of(key))
        self.variables = outer
        for name in variables:
            place = variables.origin_of(name) or origin
            if name not in base:
                raise ConfigError(f"{place}: {VARIABLES}: no base sets {name!r}.{did_you_mean(name, base)}")
            base.put(name, base[name], place)
        return inherited(base)

    def _base_path(self, name: str, origin: Origin, path: str) -> str:
        if "::" in name:
            raise ConfigError(f"{origin}: _base_ {name!r} is in another package; copy that config here")
        base = find_base(name, os.path.dirname(path))
        if base is None:
            looked = os.path.normpath(os.path.join(os.path.dirname(path), name))
            raise ConfigError(
                f"{origin}: _base_ file {name!r} not found (looked for {looked}, then among the packaged configs)."
                f"{f' {hint[0].upper()}{hint[1:]}.' if (hint := slash_hint(name)) else ''}"
                f"{did_you_mean(name, packaged_names())}"
            )
        if os.path.realpath(base) in self.open:
            raise ConfigError(f"{origin}: _base_ {name!r} leads back to a file that is being read: a cycle")
        return base


def _resolve_plugins(names: ConfigDict, path: str) -> None:
    """Make the plugin files that the config at `path` names absolute, so that they are found from wherever it is saved.

    What a base named is absolute already; a file given on the command line is beside the config.
    """
    value = names.get(PLUGINS)
    if isinstance(value, str):
        names.put(PLUGINS, _plugin_path(value, path), names.origin_of(PLUGINS))
    elif isinstance(value, list | tuple):
        found = [_plugin_path(item, path) if isinstance(item, str) else item for item in value]
        names.put(PLUGINS, found, names.origin_of(PLUGINS))


def _plugin_path(name: str, path: str) -> str:
    if not name.endswith(".py"):
        return name  # a module
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), name))


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES + 1)
        limit = YAML_BYTES if path.endswith((".yaml", ".yml")) else FILE_BYTES
        if len(data) > limit:
            line = 1 + data.count(b"\n", 0, limit)
            raise ConfigError(f"{path}:{line}: here the file grows larger than {limit // 1024} KiB, which is refused")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Refused(f"is not UTF-8 text (byte {error.start})") from None


def _parsed(text: str, path: str) -> ast.Module:
    try:
        with warnings.catch_warnings():  # of '\\d', which Python keeps as it stands; which version of it warns differs
            warnings.simplefilter("ignore")
            return ast.parse(text, path)
    except SyntaxError as error:
        hint = f". {ESCAPE_HINT}" if "unicodeescape" in str(error.msg) else ""  # 'C:\\Users'
        raise ConfigError(f"{path}:{error.lineno or 1}: {error.msg}{hint}") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{path}:{_too_deep_line(text)}: nested too deep to be read") from None
    except ValueError as error:
        raise ConfigError(f"{path}:1: {error}") from None


def _too_deep_line(text: str) -> int:
    """The line that ends the first statement the parser gave up on: the shortest head of the text that fails alike."""
    lines = text.splitlines(keepends=True)
    low, high = 1, len(lines)
    while low < high:
        middle = (low + high) // 2
        try:
            ast.parse("".join(lines[:middle]))
        except (RecursionError, MemoryError):
            high = middle
            continue
        except SyntaxError:
            pass
        low = middle + 1
    return low


def _python_bases(module: ast.Module, path: str, budget: Budget) -> tuple[Any, Origin]:
    nodes = base_assignments(module)
    if not nodes:
        return [], Origin(path)
    if len(nodes) > 1:
        raise ConfigError(f"{path}:{nodes[1].lineno}: _base_ is assigned a second time")
    return Evaluator(path, budget).evaluate(nodes[0].value), Origin(path, nodes[0].lineno)


def _variables(module: ast.Module, path: str, budget: Budget) -> ConfigDict:
    """Return the names that a file gives its bases, `_variables_ = dict(scale=4)`."""
    nodes = [node for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == VARIABLES]
    values = [Evaluator(path, budget).evaluate(node.value) for node in nodes[-1:]]
    if values and not isinstance(values[0], ConfigDict):
        raise ConfigError(f"{path}:{nodes[-1].lineno}: {VARIABLES} is a dict such as dict(scale=4), got {values[0]!r}")
    return values[0] if values else ConfigDict()


class _BaseValues(ast.NodeTransformer):
    """Puts `_base_.a.b` where a template `{{ _base_.a.b }}` stood."""

    def __init__(self, words: dict[str, str], path: str) -> None:
        self.words, self.path = words, path

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.words:
            return node
        value = ast.parse(f"_base_.{self.words[node.id]}", mode="eval").body
        for part in ast.walk(value):
            ast.copy_location(part, node)
        return value

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, str) and any(word in node.value for word in self.words):
            raise ConfigError(
                f"{self.path}:{node.lineno}: a {{{{ _base_.x }}}} template cannot stand inside a string; "
                "write f'{_base_.x}' instead"
            )
        return node


def _filled(value: Any, words: dict[str, str], base: ConfigDict, origin: Origin) -> Any:  # noqa: ANN401
    """`value` with each word that stands for a `{{ _base_.a.b }}` replaced by what the base has there."""
    if isinstance(value, ConfigDict):
        node = value.copy()
        for key, item in value.items():
            dict.__setitem__(node, key, _filled(item, words, base, value.origin_of(key) or origin))
        return node
    if isinstance(value, list):
        return [_filled(item, words, base, origin) for item in value]
    if not isinstance(value, str) or value not in words:
        return value
    found: Any = base
    for part in words[value].split("."):
        if not isinstance(found, ConfigDict) or part not in found:
            raise ConfigError(f"{origin}: the bases have no {words[value]!r}")
        found = found[part]
    return found
