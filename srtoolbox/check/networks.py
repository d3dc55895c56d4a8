"""Networks are built and run without memory, on PyTorch's meta device, where wrong shapes show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report, named_key, reason
from srtoolbox.devices import without_memory
from srtoolbox.interfaces import (
    CHANNELS,
    discriminator_facts_of,
    discriminator_faults,
    facts_of,
    network_faults,
    network_kind,
)
from srtoolbox.registry import NETWORKS

KINDS = ("generator", "discriminator")
"""Names of arguments, and what a network given there says of itself in `kind`."""

_SIDE = 16  # LR pixels of the picture a network is tried with


class Built(NamedTuple):
    """What other checks need of a network."""

    scale: int | float | None
    colour: str | None
    parameters: tuple[str, ...]
    trainable: tuple[str, ...]  # of them those that its class has not frozen


def check_network(report: Report, component: Component) -> Built | None:
    """Build a network and, if it is one that upscales, run it on a small picture; a failure is a fault.

    What fails on the meta device may fail for want of an operator there, so only a second failure on the CPU counts.
    """
    if not report.clean(component.path):
        return None
    slot = component.path.rpartition(".")[2]
    for device in ("meta", "cpu"):
        try:
            with (
                without_memory() if device == "meta" else torch.device(device),
                torch.random.fork_rng(devices=[]),
                torch.no_grad(),
            ):
                network = NETWORKS.build(component.cfg).eval()
                fault = _tried(network, device, slot, _gt_size(report)) if slot in KINDS else None
            break
        except Exception as error:
            failure = error
    else:
        told = reason(failure)
        report.add(component.path, f"cannot be built: {told}", at=named_key(told, component.cfg))
        return None
    if fault:
        report.add(component.path, fault)
    parameters = dict(network.named_parameters())
    trainable = tuple(name for name, parameter in parameters.items() if parameter.requires_grad)
    return Built(getattr(network, "scale", None), getattr(network, "colour", None), tuple(parameters), trainable)


def _gt_size(report: Report) -> int | None:
    """The side of the training pictures, where the config says it in the usual place."""
    found: Any = report.config
    for key in ("data", "train", "dataset", "gt_size"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, int) and found > 0 else None


def _tried(network: nn.Module, device: str, slot: str, gt_size: int | None) -> str | None:
    """The fault of its facts, or of its output for one picture (1, C, 16, 16), or the next size the network wants.

    A discriminator's picture is one of the training, where the config tells its size.
    """
    kind = network_kind(network)
    if kind != slot:
        hint = "" if hasattr(network, "kind") else f"; its class has to say kind = {slot!r} to be one"
        return f"{type(network).__name__} is a {kind}, a {slot} is expected here{hint}"
    if kind == "discriminator":
        return discriminator_faults(network) or _judged(network, device, gt_size)
    fault = network_faults(network)
    if fault:
        return fault
    facts = facts_of(network)
    side = facts.fit(_SIDE)
    result: Any = network(torch.zeros(1, facts.in_channels, side, side, device=device))
    wanted = round(side * facts.scale)
    if tuple(result.shape[-2:]) != (wanted, wanted):
        return f"makes {tuple(result.shape[-2:])} of {(side, side)}, x{facts.scale} is {(wanted, wanted)}"
    return None


def _judged(network: nn.Module, device: str, gt_size: int | None) -> str | None:
    """The fault of the training pictures' size, where its class does not check that itself, or of its logits."""
    facts, name = discriminator_facts_of(network), type(network).__name__
    side, multiple = facts.input_size or gt_size, facts.size_multiple
    if side is None or side % multiple or gt_size not in (None, side):
        if side is None or hasattr(network, "check"):
            return None
        wanted = f"input_size is {side}" if facts.input_size else f"takes multiples of {multiple} px"
        return f"{wanted}, but data.train.dataset.gt_size is {gt_size}"
    result: Any = network(torch.zeros(2, CHANNELS[facts.colour], side, side, device=device))
    if not isinstance(result, torch.Tensor) or result.dim() == 0 or result.shape[0] != 2:
        got = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        return f"{name} gives {got} for 2 pictures; logits (2, 1) or (2, 1, h, w) are wanted"
    return None
