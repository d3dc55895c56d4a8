"""Networks are built and run without memory, on PyTorch's meta device, where wrong shapes show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report
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
"""Names of arguments, each also the `kind` of the network that it takes."""
_SIDE = 16  # LR pixels of the image a network is tried with


class BuiltNetwork(NamedTuple):
    """Properties of a network that other checks need."""

    scale: int | float | None
    colour: str | None
    parameters: tuple[str, ...]
    trainable: tuple[str, ...]
    """Parameters that its class has not frozen."""


def build_networks(report: Report, components: Sequence[Component]) -> dict[str, BuiltNetwork | None]:
    """Build every network; return their facts by path, None where that fails.

    Inner networks come first: what is wrong with one is not reported again of the outer.
    """
    networks = [component for component in components if component.kind == "network"]
    facts = {network.path: _try_network(report, network) for network in reversed(networks)}
    return {network.path: facts[network.path] for network in networks}


def _try_network(report: Report, component: Component) -> BuiltNetwork | None:
    """Build a network and, where it is the model's, run it on a small image; a failure is a fault.

    The meta device may lack an operator, so only a second failure on the CPU counts.
    """
    if not report.is_clean(component.path):
        return None
    slot = component.path.rpartition(".")[2]
    for device in ("meta", "cpu"):
        memory = without_memory() if device == "meta" else torch.device(device)
        try:
            with memory, torch.random.fork_rng(devices=[]), torch.no_grad():
                network = NETWORKS.build(component.cfg).eval()
                fault = _fault_of(network, device, slot, _gt_size(report)) if slot in KINDS else None
            break
        except Exception as error:
            failure = error
    else:
        report.add_failure(component.path, failure)
        return None
    if fault:
        report.add(component.path, fault)
    parameters = dict(network.named_parameters())
    trainable = [name for name, parameter in parameters.items() if parameter.requires_grad]
    scale, colour = getattr(network, "scale", None), getattr(network, "colour", None)
    return BuiltNetwork(scale, colour, tuple(parameters), tuple(trainable))


def _gt_size(report: Report) -> int | None:
    """Return the side of the training images, where the config has it in the usual place."""
    node: object = report.config
    for key in ("data", "train", "dataset", "gt_size"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, int) and node > 0 else None


def _fault_of(network: nn.Module, device: str, slot: str, gt_size: int | None) -> str | None:
    """Return the fault of a network's facts, or of its output for an image (1, C, 16, 16).

    The image has the next larger sides that the network takes; a discriminator's is one of the
    training, where the config says its size.
    """
    kind = network_kind(network)
    if kind != slot:
        hint = "" if hasattr(network, "kind") else f"; its class has to say kind = {slot!r} to be one"
        return f"{type(network).__name__} is a {kind}, a {slot} is expected here{hint}"
    if kind == "discriminator":
        return discriminator_faults(network) or _fault_of_logits(network, device, gt_size)
    fault = network_faults(network)
    if fault:
        return fault
    facts = facts_of(network)
    side = facts.fit(_SIDE)
    result = network(torch.zeros(1, facts.in_channels, side, side, device=device))
    shape, expected = tuple(result.shape[-2:]), round(side * facts.scale)
    if shape != (expected, expected):
        return f"makes {shape} of {(side, side)}, x{facts.scale} is {(expected, expected)}"
    return None


def _fault_of_logits(network: nn.Module, device: str, gt_size: int | None) -> str | None:
    """Return the fault of the training images' size, where its class has no check, or of its logits."""
    facts, name = discriminator_facts_of(network), type(network).__name__
    side, multiple = facts.input_size or gt_size, facts.size_multiple
    if side is None or side % multiple or gt_size not in (None, side):
        if side is None or hasattr(network, "check"):
            return None
        need = f"input_size is {side}" if facts.input_size else f"takes multiples of {multiple} px"
        return f"{need}, but data.train.dataset.gt_size is {gt_size}"
    result = network(torch.zeros(2, CHANNELS[facts.colour], side, side, device=device))
    if not isinstance(result, torch.Tensor) or result.dim() == 0 or result.shape[0] != 2:
        got = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        return f"{name} gives {got} for 2 images; logits (2, 1) or (2, 1, h, w) are wanted"
    return None
