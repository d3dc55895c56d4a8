"""What a component must offer so that the toolbox can use it, beyond the arguments of its constructor.

A base class gives all of it, but none is demanded: what has the attributes is used. See docs/add_a_component.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

FACTS: Mapping[str, str] = {
    "scale": "the upscaling factor",
    "in_channels": "1 for 'y', 3 for 'rgb'",
    "colour": "'y' or 'rgb', what forward takes and gives",
    "size_multiple": "1, or what the sides of its input must be multiples of",
    "receptive_field": "the radius in LR pixels, or None where unknown",
}
"""The facts every network that upscales carries, and what they say."""

CHANNELS = {"y": 1, "rgb": 3}
PAGE = "docs/add_a_component.md"
_OFFERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "transform": ("srtoolbox.data.transforms.Transform", ("__call__", "margin")),
    "metric": ("srtoolbox.metrics.base.Metric", ("__call__", "higher_is_better", "protocol")),
    "hook": (
        "srtoolbox.engine.hooks.Hook",
        (
            "phase",
            "set_up",
            "before_train",
            "at_start",
            "after_iter",
            "after_eval",
            "after_train",
            "state_dict",
            "load_state_dict",
        ),
    ),
    "model": (
        "srtoolbox.models.restorers.base.Restorer",
        ("networks", "train_step", "restore", "loss_weights"),
    ),
    "dataset": (
        "srtoolbox.data.datasets.base.SRDataset",
        ("__len__", "__getitem__", "__getitems__", "keys", "sample", "draw_weights", "digest"),
    ),
}
"""Kind -> base class, and what is called on every component of it."""


def missing_offers(kind: str, component: object) -> str | None:
    """The fault of a component (an instance, or a class not to be built) that lacks what its kind must offer."""
    if kind == "loss":
        fits = issubclass(component, nn.Module) if inspect.isclass(component) else isinstance(component, nn.Module)
        return None if fits else f"a loss is a torch.nn.Module, {_name(component)} is none; see {PAGE}"
    base, wanted = _OFFERS.get(kind, ("", ()))
    missing = [name for name in wanted if not hasattr(component, name)]
    if not missing:
        return None
    return f"{_name(component)} lacks {', '.join(missing)}: derive it from {base}; see {PAGE}"


def class_to_ask(kind: str, entry: Callable[..., Any]) -> type | None:
    """The class itself, for kinds that are not built to be checked (they read files)."""
    return entry if kind in ("loss", "dataset", "model") and inspect.isclass(entry) else None


def network_faults(network: nn.Module) -> str | None:
    """All that is wrong with the facts of a network that upscales, in one sentence."""
    missing = [name for name in FACTS if not hasattr(network, name)]
    if missing:
        told = "; ".join(f"{name} ({FACTS[name]})" for name in missing)
        return f"{_name(network)} lacks facts that evaluation needs: {told}. Set them in __init__; see {PAGE}"
    channels = CHANNELS.get(network.colour)
    if channels is None:
        return f"{_name(network)}: colour is 'y' or 'rgb', got {network.colour!r}"
    if network.in_channels != channels:
        return f"{_name(network)}: in_channels is {channels} for colour {network.colour!r}, got {network.in_channels!r}"
    if not isinstance(network.size_multiple, int) or network.size_multiple < 1:
        return f"{_name(network)}: size_multiple is a whole number above 0, got {network.size_multiple!r}"
    return None


def discriminator_faults(network: nn.Module) -> str | None:
    """All that is wrong with the facts of a discriminator, in one sentence."""
    missing = [name for name in ("colour", "input_size") if not hasattr(network, name)]
    if missing:
        return (
            f"{_name(network)} lacks facts that training needs: {', '.join(missing)} (colour is 'y' or 'rgb', "
            f"input_size the side of its pictures, None for any). Set them in __init__; see {PAGE}"
        )
    if network.colour not in CHANNELS:
        return f"{_name(network)}: colour is 'y' or 'rgb', got {network.colour!r}"
    return None


def _name(component: object) -> str:
    return component.__name__ if inspect.isclass(component) else type(component).__name__
