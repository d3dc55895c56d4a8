"""Top-level names of a config that do nothing: misspelt keys, and helpers that are set where nothing hears of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report, joined
from srtoolbox.check.schema import TOP
from srtoolbox.config.overrides import COMMAND_LINE
from srtoolbox.registry import parameters_of


def check_names(report: Report, components: Sequence[Component]) -> None:
    """Names of one's own are free, but not where one may expect them to do something.

    That is: one that comes near a known key; any that was typed on the command line; one that a base has read already.
    """
    config = report.config
    for name in config:
        if name in TOP.keys:
            continue
        if name in config.unheard:
            told = "nothing reads it here, and what a base computed from its own value stays"
            report.add(name, f"{told}. Change those entries, or give {name}=... on the command line")
        elif name not in config.used:
            near = difflib.get_close_matches(name.lower(), TOP.keys, n=1, cutoff=0.75)  # lets 'model_name' pass
            typed = config.origin(name) == COMMAND_LINE
            if near or typed:
                meant = f"{near[0]!r}" if near else " or ".join(sorted(set(_places(config, components, name)))[:3])
                hint = f". Did you mean {meant}?" if meant else ""
                report.add(name, f"not a key of configs, and nothing reads it{hint}")


def check_spans(report: Report) -> None:
    """Warn of a schedule that spans the run of a base, where a later file has made the run longer or shorter."""
    config = report.config
    if "max_iters" not in config.unheard:
        return
    own, optim = config.origin("max_iters"), config.get("optim")
    for network, entry in optim.items() if isinstance(optim, Mapping) else ():
        schedulers = entry.get("scheduler") if isinstance(entry, Mapping) else None
        if not isinstance(schedulers, Mapping) or schedulers.get("T_max", config["max_iters"]) == config["max_iters"]:
            continue
        path = f"optim.{network}.scheduler.T_max"
        origin = config.origin(path)
        if own and origin and origin.file != own.file:
            told = f"a base took it from its own max_iters, and the run has {config['max_iters']} iterations"
            report.warn(path, f"{told}. Set it too, or give max_iters=... on the command line")


def _places(config: Mapping[str, Any], components: Sequence[Component], name: str) -> Iterator[str]:
    """Where the config has a key `name`, or a component takes an argument of that name."""
    yield from _keys(config, name, "")
    for component in components:
        if name in parameters_of(component.entry):
            yield joined(component.path, name)


def _keys(value: Any, name: str, path: str) -> Iterator[str]:  # noqa: ANN401 - any config value
    for key, item in value.items() if isinstance(value, Mapping) else ():
        if key == name and path:
            yield joined(path, key)
        yield from _keys(item, name, joined(path, key))
