"""The parameters of a network that learn, and the groups of the optimizer in which they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.logger import LOGGER
from srtoolbox.optim.parameter_names import chooser, chosen_entries, entry_fault


def freeze(name: str, network: nn.Module, entries: Sequence[str] | str | None) -> list[nn.Module]:
    """Take parameters out of training, by `optim.<name>.frozen`; returns the modules that lie in
    what is frozen.

    Those are put into evaluation mode: BatchNorm's statistics and the vectors of spectral norms
    stay as they are, too, and dropout is off, so that what is frozen computes the same for good.

    Raises:
        ConfigError: an entry that chooses no parameter.
    """
    entries = [entries] if isinstance(entries, str) else list(entries or ())
    if not entries:
        return []
    names = [parameter_name for parameter_name, _ in network.named_parameters()]
    for entry in entries:
        if fault := entry_fault(entry, names):
            raise ConfigError(f"optim.{name}.frozen: {fault}")
    choosers = [chooser(entry, names) for entry in entries]
    count = 0
    for parameter_name, parameter in network.named_parameters():
        if any(fits(parameter_name) for fits in choosers):
            parameter.requires_grad_(False)
            count += 1
    # a module lies in it if any tensor there would, whatever its name
    modules = [module for part, module in network.named_modules() if any(fits(f"{part}.") for fits in choosers)]
    for module in modules:
        module.training = False
    LOGGER.info("optim.%s.frozen: %d of %d parameter tensors stay as they are", name, count, len(names))
    return modules


def parameter_groups(name: str, network: nn.Module, settings: Mapping[str, Mapping]) -> dict[str, dict[str, Any]]:
    """Return one group for each entry of `param_groups` that has parameters to train, and first one
    for the rest, ''.

    Args:
        name, settings: `optim.<name>.param_groups`.
        network: whose parameters; those that ask for no gradient are left out.

    Raises:
        ConfigError: an entry that chooses no parameter.
    """
    names = [parameter_name for parameter_name, _ in network.named_parameters()]
    for entry in settings:
        if fault := entry_fault(entry, names):
            raise ConfigError(f"optim.{name}.param_groups: {fault}")
    chosen = chosen_entries(settings, names)
    groups: dict[str, list[nn.Parameter]] = {"": [], **{entry: [] for entry in settings}}
    for parameter_name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[chosen[parameter_name] or ""].append(parameter)
    return {
        entry: {"params": parameters, **settings.get(entry, {})} for entry, parameters in groups.items() if parameters
    }


def nothing_to_train(network: nn.Module) -> str:
    """Say why a network without a parameter to train has none."""
    count = len(list(network.parameters()))
    reason = f"all {count} parameter tensors are frozen" if count else "it has no parameters"
    return f"there is nothing to train in {type(network).__name__}: {reason}"
