"""The named variants of networks build, and have the parameters that the configs' READMEs tell."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from srtoolbox.config import Config
from srtoolbox.interfaces import fuse_branches, network_kind, variants_of
from srtoolbox.registry import NETWORKS

CONFIGS = Path(__file__).parents[3] / "configs"
QUICK = ("carn", "edsr", "safmn")
"""Families that are counted in the default run; building the larger ones takes half a second each."""
FAMILIES = [name for name in NETWORKS if network_kind(NETWORKS.get(name)) == "generator"]
VARIANTS = {name: family for family in FAMILIES for name in variants_of(NETWORKS.get(family))}
SOLID = [name for name, family in VARIANTS.items() if family not in ("Adapter", "Spandrel")]
"""Those that need no more than a scale."""


def arguments_of(name: str) -> dict[str, Any]:
    return dict(variants_of(NETWORKS.get(VARIANTS[name]))[name])


def build(config: dict[str, Any]) -> nn.Module:
    with torch.device("meta"):
        return NETWORKS.build(config)


@pytest.mark.parametrize("name", SOLID)
def test_each_argument_of_a_variant_differs_from_the_default(name: str) -> None:
    told, family = arguments_of(name), NETWORKS.get(VARIANTS[name])
    arguments = inspect.signature(family).parameters
    assert told.keys() <= arguments.keys()
    assert all(arguments[key].default != value for key, value in told.items())
    assert bool(told) == (name != next(iter(variants_of(family)))), "the first, alone, are the defaults"


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLID)
def test_each_variant_builds(name: str) -> None:
    config = {"type": VARIANTS[name], "scale": 4, **arguments_of(name)}
    assert build(config).scale == config["scale"]


def test_names_are_words_and_unique() -> None:
    names = [name for family in FAMILIES for name in variants_of(NETWORKS.get(family))]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z][\w+-]*", name) for name in names)
    families = {family.lower(): family for family in FAMILIES}
    assert all(VARIANTS[name] == families.get(name.lower(), VARIANTS[name]) for name in names)


def test_a_class_without_variants_is_the_only_one_and_inherits_none() -> None:
    hat = NETWORKS.get("HAT")
    assert list(variants_of(hat)) == ["HAT", "HAT-S", "HAT-L"]
    assert variants_of(type("Mine", (hat,), {})) == {"Mine": {}}
    assert variants_of(nn.Conv2d) == {"Conv2d": {}}


def rows(readme: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the network and the parameters of each row of a README's table of configs.

    A row begins with configs, or with 'the same' as the one before; then may come changes.
    """
    file, column = "", 0
    for line in readme.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| config |"):
            column = next((n for n, cell in enumerate(cells) if cell.startswith("parameters")), 0)
        elif not line.startswith("|"):
            column = 0
        elif column and (told := cells[column]).strip("-:"):
            files = re.findall(r"`(\w+\.py)`", cells[0])
            file = files[0] if files else file
            words = [code for code in re.findall(r"`([^`]*)`", cells[0]) if "=" in code]
            changes = [override(word) for code in words for word in re.split(r", (?=\w+=)", code)]
            for name in files or [file]:
                yield dict(Config.fromfile(readme.parent / name, changes)["model"]["generator"]), told


def override(text: str) -> str:
    """Return a change of a README as one of a config: an argument is the network's."""
    key, _, value = text.partition("=")
    key = key if key == "scale" or "." in key else f"model.generator.{key}"
    return f"{key}={eval(value)!r}"


def bounds(told: str) -> tuple[float, float]:
    """Return what a printed number may be rounded from: '1.52 M', '27 059', '0.910 M'."""
    match = re.match(r"([\d ]*\d)(\.\d+ M)?", told)
    assert match, told
    value = float(match[0].replace(" ", "").rstrip("M"))
    half = 0.5 * 10 ** -len(match[2][1:-2]) if match[2] else 0.0
    factor = 1e6 if match[2] else 1
    return (value - half) * factor - 0.01, (value + half) * factor + 0.01


READMES = [path for path in sorted(CONFIGS.glob("*/README.md")) if list(rows(path))]


@pytest.mark.parametrize(
    "readme",
    [pytest.param(path, marks=() if path.parent.name in QUICK else pytest.mark.slow) for path in READMES],
    ids=lambda path: path.parent.name,
)
def test_the_readmes_tell_how_many_parameters(readme: Path) -> None:
    for config, told in rows(readme):
        network = build(config)
        fuse_branches(network)
        least, most = bounds(told)
        assert least <= sum(weights.numel() for weights in network.parameters()) <= most, (config, told)


@pytest.mark.slow
def test_the_readmes_tell_of_the_variants_of_their_networks() -> None:
    told = [config for readme in READMES for config, _ in rows(readme)]
    untold = {
        name
        for name in SOLID
        if VARIANTS[name] in {config["type"] for config in told} and not any(is_variant(c, name) for c in told)
    }
    assert untold == {"SRVGGNetCompact", "SRVGGNetCompact-32"}, "these alone have no README of their own"


def is_variant(config: dict[str, Any], name: str) -> bool:
    """True if a config's network is the variant, at any scale."""
    family = NETWORKS.get(VARIANTS[name])
    defaults = {key: p.default for key, p in inspect.signature(family).parameters.items()}
    both = [{**defaults, **arguments, "scale": 0} for arguments in (config, arguments_of(name))]
    first, second = ({k: list(v) if isinstance(v, tuple) else v for k, v in full.items()} for full in both)
    first.pop("type", None)
    return config["type"] == VARIANTS[name] and first == second
