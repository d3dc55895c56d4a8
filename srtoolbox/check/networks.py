"""Networks, run without memory where wrong shapes show, and the parts that must fit them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from srtoolbox.check.components import Component, averaged_by_optimizers
from srtoolbox.check.faults import Report, joined
from srtoolbox.devices import without_memory
from srtoolbox.errors import Fault, SrtoolboxError
from srtoolbox.interfaces import (
    CHANNELS,
    discriminator_facts_of,
    discriminator_faults,
    facts_of,
    is_preparation,
    network_faults,
    network_kind,
)
from srtoolbox.models.networks.blocks import gt_sizes
from srtoolbox.registry import HOOKS, NETWORKS, parameters_of
from srtoolbox.text import did_you_mean

_SMALL = 2**22  # parameters
# weights and biases that a network has; the largest published ones have some thousands
_MOST = 20_000
_SIDE = 16  # LR pixels of the image a network is tried with
_ADVERSARIAL = ("relativistic", "generator", "discriminator", "gradient_penalty")


class EndlessNetworkError(SrtoolboxError):
    """A network whose numbers ask for more layers than any has: it would fill the memory."""


class BuiltNetwork(NamedTuple):
    """Properties of a network that other checks need; a class may have frozen some parameters."""

    scale: int | float | None
    colour: str | None
    parameters: tuple[str, ...]
    trainable: tuple[str, ...]


Networks = Mapping[str, BuiltNetwork | None]


def build_networks(report: Report, components: Sequence[Component]) -> dict[str, BuiltNetwork | None]:
    """Build every network; return their properties by path, None where that fails.

    Inner networks come first: what is wrong with one is not reported again of the outer.
    """
    networks = [component for component in components if component.kind == "network"]
    built = {network.path: _try_network(report, network) for network in reversed(networks)}
    return {network.path: built[network.path] for network in networks}


def _try_network(report: Report, component: Component) -> BuiltNetwork | None:
    """Build a network and, where it is the model's, run it on a small image; a failure is a fault.

    A device may lack an operator, so only a failure on two of them counts: that on the CPU.
    """
    if not report.is_clean(component.path):
        return None
    slot = component.path.rpartition(".")[2]
    failures = {}
    try:
        devices = _devices(component.cfg)
    except EndlessNetworkError as error:
        report.add_failure(component.path, error)
        return None
    for device in devices:
        memory = without_memory() if device == "meta" else torch.device(device)
        try:
            with memory, torch.random.fork_rng(devices=[]), torch.no_grad():
                network = NETWORKS.build(component.cfg).eval()
                is_models = slot in ("generator", "discriminator")
                sizes = gt_sizes(report.config)
                fault = _fault_of(network, device, slot, sizes) if is_models else None
            break
        except Exception as error:
            failures[device] = error
    else:
        report.add_failure(component.path, failures["cpu"])
        return None
    if fault:
        report.add(component.path, fault, key=fault.key if isinstance(fault, Fault) else None)
    parameters = dict(network.named_parameters())
    trainable = [name for name, parameter in parameters.items() if parameter.requires_grad]
    scale, colour = getattr(network, "scale", None), getattr(network, "colour", None)
    return BuiltNetwork(scale, colour, tuple(parameters), tuple(trainable))


def _devices(cfg: Mapping[str, object]) -> tuple[str, str]:
    """Return where to try a network: meta takes no memory, but a second for its first operator.

    It imports PyTorch's compiler for it. A small network has done all its work on the CPU by then.

    Raises:
        EndlessNetworkError: it would not be made in any time.
    """
    try:
        with _bounded(), without_memory(), torch.random.fork_rng(devices=[]):
            parameters = sum(each.numel() for each in NETWORKS.build(cfg).parameters())
    except EndlessNetworkError:
        raise
    except Exception:  # the trial tells why
        return "meta", "cpu"
    return ("cpu", "meta") if parameters <= _SMALL else ("meta", "cpu")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Raise EndlessNetworkError in a network being made, once it has more than _MOST weights."""
    numbers = itertools.count(1)

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        if next(numbers) > _MOST:
            raise EndlessNetworkError(f"it has more than {_MOST:,} weights and biases: is a number of blocks wrong?")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _fault_of(network: nn.Module, device: str, slot: str, sizes: Mapping[str, int]) -> str | None:
    """Return the fault of a network's facts, or of its output for a small image.

    A discriminator's is one of the training, where the config says its size (`gt_sizes`).
    """
    kind = network_kind(network)
    if kind != slot:
        hint = "" if hasattr(network, "kind") else f"; its class has to say kind = {slot!r} to be one"
        return f"{type(network).__name__} is a {kind}, a {slot} is expected here{hint}"
    if kind == "discriminator":
        return discriminator_faults(network) or _fault_of_logits(network, device, sizes)
    if fault := network_faults(network):
        return fault
    facts = facts_of(network)
    side = facts.fit(_SIDE)
    result = network(torch.zeros(1, facts.in_channels, side, side, device=device))
    shape, expected = tuple(result.shape[-2:]), round(side * facts.scale)
    if shape != (expected, expected):
        return f"makes {shape} of {(side, side)}, x{facts.scale} is {(expected, expected)}"
    return None


def _fault_of_logits(network: nn.Module, device: str, sizes: Mapping[str, int]) -> str | None:
    """Return the fault of the training images' size, where the class has no check, or of logits."""
    facts = discriminator_facts_of(network)
    place, gt_size = next(((path, size) for path, size in sizes.items() if size > 0), ("", None))
    side, multiple = facts.input_size or gt_size, facts.size_multiple
    if side is None or side % multiple or gt_size not in (None, side):
        if side is None or hasattr(network, "check"):
            return None
        need = f"input_size is {side}" if facts.input_size else f"takes multiples of {multiple} px"
        return f"{need}, but {place} is {gt_size}"
    result = network(torch.zeros(2, CHANNELS[facts.colour], side, side, device=device))
    if isinstance(result, torch.Tensor) and result.dim() and result.shape[0] == 2:
        return None
    got = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
    name = type(network).__name__
    return f"{name} gives {got} for 2 images; logits (2, 1) or (2, 1, h, w) are wanted"


def check_fit(report: Report, components: Sequence[Component], networks: Networks) -> None:
    """Check that data, losses and discriminator have the scale and the colours of the generator."""
    generator, discriminator = networks.get("model.generator"), networks.get("model.discriminator")
    _check_scales(report, components, generator)
    colour, judged = (network.colour if network else None for network in (generator, discriminator))
    if colour and judged and colour != judged:
        message = f"it sees {judged!r} images, but model.generator makes {colour!r}"
        report.add("model.discriminator", message, key="colour")
    for component in components:
        if component.kind != "loss":
            continue
        fault, (place, _, key) = None, component.path.rpartition(".")
        if key == "gan_loss":
            fault = _gan_loss_fault(component)
        elif place == "model.losses":
            fault = _image_loss_fault(component, colour)
        if fault:
            report.add(component.path, fault, key="type")


def has_scale(component: Component) -> bool:
    """True for a dataset, and for what makes LQ of GT, whose `scale` is that of the generator."""
    return component.kind == "dataset" or is_preparation(component.entry)


def _check_scales(report: Report, components: Sequence[Component], built: BuiltNetwork | None) -> None:
    """Check that data, generator and the top-level `scale`, if there is one, have one scale."""
    generator = next((c for c in components if c.path == "model.generator"), None)
    if generator is None:
        return
    expected = built.scale if built else generator.cfg.get("scale")
    if not isinstance(expected, int | float):
        return
    top = report.config.get("scale")
    if isinstance(top, int | float) and top != expected:
        message = f"upscales x{expected}, but the config's scale is {top}"
        report.add("model.generator", message, key="scale")
    for component in components:
        scale = component.cfg.get("scale")
        is_number = has_scale(component) and isinstance(scale, int | float)
        # a dataset of the config's own scale is right: the network is reported above
        if is_number and scale not in (expected, top):
            message = f"scale is {scale}, but model.generator upscales x{expected}"
            report.add(component.path, message, key="scale")
    if expected != 1:
        _check_targets(report, components, expected)


def _check_targets(report: Report, components: Sequence[Component], scale: float) -> None:
    """Check that no loss of the toolbox compares the result with LQ, which is smaller; a plugin's may resize it."""
    targets = report.config["model"].get("targets")
    losses = {component.path: component.entry for component in components if component.kind == "loss"}
    for name, key in targets.items() if isinstance(targets, Mapping) else ():
        loss = losses.get("model.gan_loss" if name == "gan" else f"model.losses.{name}")
        if key == "lq" and loss is not None and loss.__module__.partition(".")[0] == "srtoolbox":
            message = f"targets.{name} is 'lq', but model.generator upscales x{scale}: its images are larger than LQ"
            report.add("model", message, key=f"targets.{name}")


def _gan_loss_fault(component: Component) -> str | None:
    name = component.cfg["type"]
    missing = [attribute for attribute in _ADVERSARIAL if not hasattr(component.entry, attribute)]
    if len(missing) == len(_ADVERSARIAL):
        message = f"{name} compares images; what judges a discriminator's logits is wanted here, such as"
        return f"{message} dict(type='GANLoss', weight=1e-3)"
    if missing:
        base = "srtoolbox.losses.gan.AdversarialLoss; see docs/train_gan.md"
        return f"{name} lacks {', '.join(missing)}: derive it from {base}"
    return None


def _image_loss_fault(component: Component, colour: str | None) -> str | None:
    name, own = component.cfg["type"], getattr(component.entry, "colour", None)
    if hasattr(component.entry, "relativistic"):
        message = f"{name} judges a discriminator's logits, not images: give it as model.gan_loss"
        return f"{message}, not among the losses"
    if own and colour and own != colour:
        message = f"{name} takes {own!r} images, but model.generator makes {colour!r}"
        return f"{message}: give the generator colour={own!r}, or take a loss over pixels"
    return None


def check_networks_of_hooks(report: Report, components: Sequence[Component]) -> None:
    """Check that a hook's `network`, also by default, is one of the model's, or an average."""
    names = _names_in_model(components)
    hooks = [component for component in components if component.kind == "hook"]
    averaged = [_network_of(hook) for hook in hooks if HOOKS.is_kind(hook.cfg, "EMAHook")]
    averaged += averaged_by_optimizers(report.config)
    possible = [*names, *(f"{name}_ema" for name in averaged if name in names)]
    for hook in hooks if names else ():
        network = _network_of(hook)
        if isinstance(network, str) and network not in possible and report.is_clean(hook.path):
            hint = did_you_mean(network, possible, else_list=True)
            message = f"network: the model has no network {network!r}.{hint}"
            report.add(hook.path, message, key="network")


def check_starts(report: Report, components: Sequence[Component]) -> None:
    """Check that a `load_from` by network names those of the model, and the path of a file for each."""
    load_from, names = report.config.get("load_from"), _names_in_model(components)
    for name, file in load_from.items() if names and isinstance(load_from, Mapping) else ():
        path = joined("load_from", name)
        if name not in names:
            report.add(path, f"the model has no network {name!r}.{did_you_mean(name, names, else_list=True)}")
        elif not isinstance(file, str | None):
            report.add(path, f"the path of a file is needed, got {file!r}")


def _names_in_model(components: Sequence[Component]) -> list[str]:
    paths = [component.path for component in components if component.kind == "network"]
    return [path.removeprefix("model.") for path in paths if path.startswith("model.")]


def _network_of(hook: Component) -> object:
    argument = parameters_of(hook.entry).get("network")
    return hook.cfg.get("network", argument.default) if argument is not None else None
