"""How the parts of a config fit together: scales, crops, colours, hooks and networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from srtoolbox.check.components import Component
from srtoolbox.check.faults import Report, named_key, reason
from srtoolbox.check.networks import Built
from srtoolbox.interfaces import class_to_ask, missing_members
from srtoolbox.registry import did_you_mean, parameters_of

_BUILT_TO_CHECK = (
    "hook",
    "metric",
    "transform",
)  # light ones; losses and datasets read files, models are their networks and losses


def check_scales(report: Report, components: Sequence[Component], networks: Mapping[str, Built | None]) -> None:
    """Data and generator must have one scale, and so must the top-level `scale` if there is one."""
    generator = next((component for component in components if component.path == "model.generator"), None)
    if generator is None:
        return
    built = networks["model.generator"]
    wanted = built.scale if built else generator.cfg.get("scale")
    if not isinstance(wanted, int | float):
        return
    top = report.config.get("scale")
    if isinstance(top, int | float) and top != wanted:
        report.add("model.generator", f"upscales x{wanted}, but the config's scale is {top}", at="scale")
    for component in components:
        scale = component.cfg.get("scale")
        told = scale == top  # then the network is the odd one out, and that is in the report
        if component.kind == "dataset" and isinstance(scale, int | float) and scale != wanted and not told:
            report.add(component.path, f"scale is {scale}, but model.generator upscales x{wanted}", at="scale")


def check_colours(report: Report, networks: Mapping[str, Built | None]) -> None:
    """The discriminator judges what the generator makes."""
    generator, discriminator = (networks.get(f"model.{name}") for name in ("generator", "discriminator"))
    known = generator and discriminator and generator.colour and discriminator.colour  # else that is in the report
    if known and generator.colour != discriminator.colour:
        report.add(
            "model.discriminator",
            f"it sees {discriminator.colour!r} pictures, but model.generator makes {generator.colour!r}",
            at="colour",
        )


def check_crop(report: Report, component: Component) -> None:
    """`gt_size` is a multiple of `scale`, for a dataset that does not see to it itself."""
    size, scale = component.cfg.get("gt_size"), component.cfg.get("scale")
    if component.kind != "dataset" or hasattr(component.entry, "check"):
        return
    if isinstance(size, int) and isinstance(scale, int) and scale > 0 and size % scale:
        report.add(component.path, f"gt_size {size} is not a multiple of scale {scale}", at="gt_size")


def check_construction(report: Report, component: Component) -> None:
    """Construct a light component, whose constructor may refuse its values; it must offer what its kind is used for."""
    built = class_to_ask(component.kind, component.entry)
    if component.kind in _BUILT_TO_CHECK and report.clean(component.path):
        arguments = {key: value for key, value in component.cfg.items() if key != "type"}
        built = constructed(report, component.path, lambda: component.entry(**arguments), component.cfg)
    # a `preprocess` works on batches of the device, not on samples: calling it is all that is asked
    fault = built is not None and not component.path.endswith(".preprocess") and missing_members(component.kind, built)
    if fault:
        report.add(component.path, fault, at="type")


def check_hooked_networks(report: Report, components: Sequence[Component]) -> None:
    """Each hook that has a `network`, given or by default, names one of the model's, or the average of one."""
    names = [c.path.removeprefix("model.") for c in components if c.kind == "network" and c.path.startswith("model.")]
    hooks = [component for component in components if component.kind == "hook"]
    averaged = [_network_of(hook) for hook in hooks if hook.cfg["type"] == "EMAHook"]
    known = [*names, *(f"{name}_ema" for name in averaged if name in names)]
    for hook in hooks if names else ():
        network = _network_of(hook)
        if isinstance(network, str) and network not in known and report.clean(hook.path):
            hint = did_you_mean(network, known, else_list=True)
            report.add(hook.path, f"network: the model has no network {network!r}.{hint}", at="network")


def _network_of(hook: Component) -> Any:  # noqa: ANN401 - whatever a config holds
    argument = parameters_of(hook.entry).get("network")
    return hook.cfg.get("network", argument.default) if argument is not None else None


def constructed(report: Report, path: str, build: Callable[[], Any], cfg: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what it builds
    """Return what `build` makes; None where it fails, and that is in the report."""
    try:
        return build()
    except Exception as error:
        told = reason(error)
        report.add(path, f"cannot be built: {told}", at=named_key(told, cfg))
        return None
