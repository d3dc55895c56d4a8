"""The check itself: sections, components, then how they fit together."""

from __future__ import annotations

from collections.abc import Mapping

from srtoolbox import dist
from srtoolbox.check.components import check_part, check_wiring_of
from srtoolbox.check.faults import Report
from srtoolbox.check.losses import check_losses
from srtoolbox.check.names import check_names, check_spans
from srtoolbox.check.networks import check_network
from srtoolbox.check.optim import check_optim
from srtoolbox.check.schema import TOP, check_section
from srtoolbox.check.wiring import check_colours, check_construction, check_crop, check_hooked_networks, check_scales
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError
from srtoolbox.logger import LOGGER


def mode_of(config: Config) -> str:
    """'train' for a config that has anything to train with, else 'test'."""
    data = config.get("data")
    trains = "max_iters" in config or "optim" in config or bool(isinstance(data, Mapping) and data.get("train"))
    return "train" if trains else "test"


def check(config: Config, mode: str = "train") -> None:
    """Find every fault of a config.

    Args:
        config: as loaded; plugins it needs must be imported (`load_plugins`).
        mode: 'train' demands what training needs; 'test' does without `optim`, `max_iters` and `data.train`.

    Raises:
        ConfigError: there are faults; `faults` holds one `file:line: path: message. Did you mean ...?` each.
    """
    report = Report(config)
    found = check_section(report, TOP, config, "", training=mode == "train")
    if mode == "test":
        _check_test_parts(report)
    components = [component for place in found for component in check_part(report, place)]
    check_names(report, components)
    check_spans(report)
    networks = {c.path: check_network(report, c) for c in components if c.kind == "network"}
    context = config.to_dict()
    for component in components:
        check_wiring_of(report, component, context)
        check_crop(report, component)
        check_construction(report, component)
    check_scales(report, components, networks)
    check_colours(report, networks)
    check_losses(report, components, networks)
    check_optim(report, config, networks)
    check_hooked_networks(report, components)
    if report.faults:
        raise ConfigError(report.faults)
    for warning in report.warnings if dist.is_main_launch() else ():
        LOGGER.warning("%s", warning)


def _check_test_parts(report: Report) -> None:
    config = report.config
    data = config.get("data")
    parts = [data.get("test"), data.get("val")] if isinstance(data, Mapping) else []
    if config.get("model") is None:
        report.add("", "model is missing")
    if not any(isinstance(part, Mapping) and part.get("datasets") for part in parts):
        report.add("data", "data.test.datasets (or data.val.datasets) is missing: there is nothing to test on")
