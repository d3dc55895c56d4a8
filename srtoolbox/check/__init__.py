"""check(config): every fault of a config at once, before anything is built.

Sections first, then components, then how they fit. The signature of a registered class, also of
a plugin's, is the schema of its config.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from srtoolbox import dist
from srtoolbox.check.components import PARTS, Component, check_component, check_part, check_saving
from srtoolbox.check.faults import Report, joined
from srtoolbox.check.networks import build_networks, check_fit, check_networks_of_hooks, check_starts
from srtoolbox.check.optim import check_optim
from srtoolbox.check.pipelines import check_pipelines, check_pool, check_steps
from srtoolbox.check.schema import TOP, TRAIN, Place, check_section
from srtoolbox.check.truth import check_truth
from srtoolbox.config import Config
from srtoolbox.config.overrides import COMMAND_LINE
from srtoolbox.errors import ConfigError
from srtoolbox.logger import LOGGER
from srtoolbox.registry import parameters_of

__all__ = ["PARTS", "check", "check_training_data", "mode_of"]


def mode_of(config: Config) -> str:
    """Return 'train' for a config that has anything to train with, else 'test'."""
    data = config.get("data")
    has_training_data = isinstance(data, Mapping) and bool(data.get("train"))
    return "train" if "max_iters" in config or "optim" in config or has_training_data else "test"


def check(config: Config, mode: str = "train") -> None:
    """Find every fault of a config.

    Args:
        config: as loaded; plugins it needs must be imported (`load_plugins`).
        mode: 'train' demands what training needs; 'test' does without `optim`, `max_iters` and
            `data.train`.

    Raises:
        ConfigError: there are faults: `faults` holds a Fault for each, whose text is
            `file:line: path: message. Did you mean ...?`.
    """
    report = Report(config, is_training=mode == "train")
    places = check_section(report, TOP, config, "")
    if not report.is_training:
        _check_test_parts(report)
    components = [component for place in places for component in check_part(report, place)]
    _check_names(report, components)
    _check_schedule_lengths(report)
    networks = build_networks(report, components)
    check_steps(report, components)
    context = config.to_dict()
    # inner ones first: nothing is built of a part that cannot be
    for component in reversed(components):
        check_component(report, component, context)
    check_truth(report)
    check_fit(report, components, networks)
    check_pipelines(report, components)
    check_optim(report, config, networks)
    check_networks_of_hooks(report, components)
    if report.is_training:
        check_starts(report, components)
        check_pool(report)
        check_saving(report)
    if report.faults:
        raise ConfigError(report.faults)
    for warning in report.warnings if dist.is_main_launch() else ():
        LOGGER.warning("%s", warning)


def check_training_data(config: Config) -> None:
    """Find every fault of what makes training samples: `data.train` and `model.preprocess`.

    Raises:
        ConfigError: as `check`; also where there is no `data.train`.
    """
    report = Report(config, is_training=True)
    data, model = config.get("data"), config.get("model")
    train = data.get("train") if isinstance(data, Mapping) else None
    if train is None:
        report.add("data", "data.train is missing: without it nothing is given to a network in training")
        raise ConfigError(report.faults)
    places = check_section(report, TRAIN, train, "data.train")
    if isinstance(model, Mapping) and model.get("preprocess") is not None:
        places.append(Place("model.preprocess", model["preprocess"], PARTS["preprocess"]))
    components = [component for place in places for component in check_part(report, place)]
    check_steps(report, components)
    context = config.to_dict()
    for component in reversed(components):  # as in `check`
        check_component(report, component, context)
    check_pipelines(report, components)
    if report.faults:
        raise ConfigError(report.faults)


def _check_test_parts(report: Report) -> None:
    config = report.config
    data = config.get("data")
    parts = [data.get("test"), data.get("val")] if isinstance(data, Mapping) else []
    if config.get("model") is None:
        report.add("", "model is missing")
    if not any(isinstance(part, Mapping) and part.get("datasets") for part in parts):
        fault = "data.test.datasets (or data.val.datasets) is missing: there is nothing to test on"
        report.add("data", fault)


def _check_names(report: Report, components: Sequence[Component]) -> None:
    """Check the top-level names that are no keys: helpers, free unless an effect may be expected.

    Of one near a key, of one typed on the command line, of one that a base has read already.
    """
    config = report.config
    for name in config:
        if name in TOP.keys:
            continue
        if name in config.read_too_early:
            fault = "nothing reads it here, and what a base computed from its own value stays"
            report.add(name, f"{fault}. Change those entries, or give {name}=... on the command line")
        elif name not in config.used:
            near = difflib.get_close_matches(name.lower(), TOP.keys, n=1, cutoff=0.75)
            is_typed = config.origin(name) == COMMAND_LINE
            if near or is_typed:  # at this cutoff 'model_name' is free
                places = {*_paths_of_key(config, name, "")}
                places |= {joined(c.path, name) for c in components if name in parameters_of(c.entry)}
                target = repr(near[0]) if near else " or ".join(sorted(places)[:3])
                hint = f". Did you mean {target}?" if target else ""
                report.add(name, f"not a key of configs, and nothing reads it{hint}")


def _check_schedule_lengths(report: Report) -> None:
    """Warn of a cosine as long as the run of a base, where a later file has changed the run."""
    config = report.config
    if "max_iters" not in config.read_too_early:
        return
    own, optim = config.origin("max_iters"), config.get("optim")
    for network, entry in optim.items() if isinstance(optim, Mapping) else ():
        schedule = entry.get("scheduler") if isinstance(entry, Mapping) else None
        length = config["max_iters"]
        if not isinstance(schedule, Mapping) or schedule.get("T_max", length) == length:
            continue
        path = f"optim.{network}.scheduler.T_max"
        origin = config.origin(path)
        if own and origin and origin.file != own.file:
            message = f"a base took it from its own max_iters, and the run has {length} iterations"
            report.warn(path, f"{message}. Set it too, or give max_iters=... on the command line")


def _paths_of_key(value: object, name: str, path: str) -> Iterator[str]:
    """Yield the places below the top level of keys that are called `name`."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        if key == name and path:
            yield joined(path, key)
        yield from _paths_of_key(item, name, joined(path, key))
