"""Networks that there are: families, their variants, configs and files, told without PyTorch.

`networks.json` beside this file holds what the classes, the configs and the docs say;
`python tools/maintenance/write_zoo.py` writes it, and a test compares.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("networks.json")
PACKAGE = Path(__file__).parents[2]
COUNTED = (2, 3, 4)
"""Scales whose parameters are counted."""
USUAL_SCALE = 4
"""The scale that parameters are told for, where no other is asked for."""


@dataclass(frozen=True)
class Variant:
    """One network of a family.

    Attributes:
        arguments: those that differ from the defaults of its class.
        parameters: by the scale; where branches are fused for inference, after that.
        field: its receptive field at x4, as in `interfaces.NetworkFacts`.
        windows: whether it attends in windows.
    """

    name: str
    arguments: Mapping[str, Any]
    parameters: Mapping[int, int]
    field: int | None
    windows: bool

    def nearest(self, scale: int) -> int:
        """Return a scale that its parameters are told for, this or the nearest."""
        return min(self.parameters, key=lambda known: abs(known - scale))


@dataclass(frozen=True)
class Training:
    """A config that trains a network.

    Attributes:
        config: its name, as commands take it.
        variant: the name of the variant; None: another network of the family.
        is_small: whether it is a recipe for a CPU or one GPU.
        is_measured: whether the README beside it has scores of a training by it.
    """

    config: str
    scale: int
    variant: str | None
    is_small: bool
    is_measured: bool


@dataclass(frozen=True)
class Family:
    """A class of networks that configs can name.

    Attributes:
        source: its file.
        paper: authors, title, venue and number.
        scales: None: any.
        colour: that of the defaults.
        layouts: namings of tensors by which files are recognised, '' for its authors' own.
        exports: formats that its checkpoints are written in.
        files: public files that were measured here.
    """

    name: str
    source: Path
    paper: str
    scales: tuple[int, ...] | None
    colour: str
    variants: tuple[Variant, ...]
    trainings: tuple[Training, ...] = ()
    layouts: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Its name and those of its variants."""
        return list(dict.fromkeys([self.name, *(variant.name for variant in self.variants)]))

    @property
    def cited(self) -> str:
        """The paper in short, 'Lim 2017'."""
        found = re.match(r"(After )?(?:[a-z].*? of |Part of .*? of )?([A-Z]\w+)\b.*?\b((?:19|20)\d\d)\b", self.paper)
        return f"{'after ' if found[1] else ''}{found[2]} {found[3]}" if found else ""

    def trainings_of(self, variant: Variant) -> list[Training]:
        """Return the configs of a variant; with the first go the small ones that are none's."""
        is_first = variant is self.variants[0]
        return [t for t in self.trainings if t.variant == variant.name or (is_first and t.is_small and not t.variant)]

    def text(self) -> str:
        """Return the documentation of the class, with its arguments."""
        return ast.get_docstring(self._class) or ""

    def summary(self) -> str:
        """Return the first line of its file."""
        return (ast.get_docstring(self._module) or "").partition("\n")[0]

    def signature(self) -> str:
        """Return its arguments with their defaults, as Python."""
        found = [node for node in self._class.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        if not found:
            return f"{self.name}(...)"
        arguments = copy.deepcopy(found[0].args)
        for argument in (*arguments.args, *arguments.kwonlyargs):
            argument.annotation = None
        del arguments.args[0]
        return f"{self.name}({ast.unparse(arguments)})"

    @cached_property
    def _module(self) -> ast.Module:
        return ast.parse(self.source.read_text(encoding="utf-8"))

    @cached_property
    def _class(self) -> ast.ClassDef:
        found = [node for node in self._module.body if isinstance(node, ast.ClassDef) and node.name == self.name]
        return found[0] if found else ast.ClassDef(self.name, [], [], [], [])


Row = tuple[Family, Variant]


@cache
def families() -> Mapping[str, Family]:
    """Return the families of networks that upscale, by name."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: from_json(name, values) for name, values in table.items()}


def from_json(name: str, values: Mapping[str, Any]) -> Family:
    """Return the family of an entry of the table."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    variants = tuple(
        Variant(name, **{**told, "parameters": {int(scale): count for scale, count in told["parameters"].items()}})
        for name, told in values.pop("variants").items()
    )
    trainings = tuple(Training(config, **told) for config, told in values.pop("trainings").items())
    source = PACKAGE / values.pop("source")
    return Family(name, source, variants=variants, trainings=trainings, **values)


def as_json(family: Family) -> dict[str, Any]:
    """Return the entry of a family in the table, without its name."""
    values = asdict(family)
    values["source"] = family.source.relative_to(PACKAGE).as_posix() if family.source.is_relative_to(PACKAGE) else ""
    for key, name in (("variants", "name"), ("trainings", "config")):
        values[key] = {entry.pop(name): entry for entry in values[key]}
    return {key: value for key, value in values.items() if key != "name"}


@dataclass(frozen=True)
class Wish:
    """Demands on a network; None and False: it does not matter.

    Attributes:
        words: names of variants or families, or parts of these or of papers, 'lim 2017': one of
            them.
        scale: a scale that it can be built for.
        max_parameters: at that scale, or the usual one.
        colour: 'rgb' or 'y', that of its defaults.
        windows: attention in windows (True) or not (False).
        exact: a finite receptive field, so that tiles give what the whole image gives.
        trained: a config whose training was measured here.
        checked: a public file that was measured here.
    """

    words: Sequence[str] = ()
    scale: int | None = None
    max_parameters: float | None = None
    colour: str | None = None
    windows: bool | None = None
    exact: bool = False
    trained: bool = False
    checked: bool = False

    def takes(self, family: Family, variant: Variant) -> bool:
        """Return whether a variant is what is wanted, whatever its name."""
        return (
            (self.scale is None or can_scale(family, variant, self.scale))
            and (
                self.max_parameters is None
                or variant.parameters[variant.nearest(self.scale or USUAL_SCALE)] <= self.max_parameters
            )
            and self.colour in (None, family.colour)
            and self.windows in (None, variant.windows)
            and (variant.field is not None or not self.exact)
            and (any(training.is_measured for training in family.trainings_of(variant)) or not self.trained)
            and ((bool(family.files) and variant is family.variants[0]) or not self.checked)
        )


def can_scale(family: Family, variant: Variant, scale: int) -> bool:
    """Return whether a variant can be built for a scale."""
    if scale in variant.parameters:
        return True
    is_known = family.scales is None or scale in family.scales
    return is_known and scale not in COUNTED and "scale" not in variant.arguments


def choose(wish: Wish, among: Iterable[Family] | None = None) -> Iterator[Row]:
    """Yield the variants that a wish takes, with their families."""
    known = list(families().values() if among is None else among)
    names = {name.lower() for family in known for name in family.names}
    words = [word.lower() for word in wish.words]
    for family in known:
        for variant in family.variants:
            own = (variant.name.lower(), family.name.lower())
            text = f"{variant.name} {family.name} {family.cited}".lower()
            is_named = not words or any(word in own if word in names else word in text for word in words)
            if is_named and wish.takes(family, variant):
                yield family, variant


def ordered(rows: Iterable[Row], by: str, scale: int | None = None) -> list[Row]:
    """Return variants by 'parameters' at a scale, by 'year' of the paper, or as they are."""
    at = scale or USUAL_SCALE
    if by == "parameters":
        return sorted(rows, key=lambda row: row[1].parameters[row[1].nearest(at)])
    return sorted(rows, key=lambda row: row[0].cited[-4:]) if by == "year" else list(rows)


def find(name: str, among: Mapping[str, Family] | None = None) -> Family | None:
    """Return the family of this name, or that of the variant of this name, in any case."""
    known = families() if among is None else among
    names = {spelt.lower(): family for family in known.values() for spelt in family.names}
    return names.get(name.lower())


def facts(family: Family, variant: Variant) -> dict[str, Any]:
    """Return what is known of a variant, as JSON has it."""
    trainings = [asdict(training) for training in family.trainings_of(variant)]
    own = {key: value for key, value in asdict(family).items() if key in ("paper", "scales", "colour", "layouts")}
    return {"family": family.name, **asdict(variant), **own, "trainings": trainings, "files": family.files}
