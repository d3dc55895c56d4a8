"""Parameters chosen by name in a config: the keys of `param_groups`, the entries of `frozen`.

An entry is the beginning of a name, or a pattern of one: 'body.3' is whatever lies in that part,
'conv' also conv1 and conv_first where no part is called conv, but a number is whole: 'body.1' is
never body.10. 'body.*.norm' and '*.bias' are patterns as of file names, whose `*` takes dots.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from srtoolbox.errors import ConfigError
from srtoolbox.logger import LOGGER
from srtoolbox.text import did_you_mean


def chooser(entry: str, names: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells if an entry of a config chooses a name, of all dotted names there are.

    A beginning that ends where a part of some name does means that part alone: 'conv1' does not
    choose conv10.
    """
    if re.search(r"[*?\[]", entry):
        fits = re.compile(fnmatch.translate(entry)).match
        return lambda name: any(fits(name[: end.start()]) for end in re.finditer(r"\.|$", name))
    part = entry.rstrip(".")
    if entry != part or any(name == part or name.startswith(f"{part}.") for name in names):
        return lambda name: name == part or name.startswith(f"{part}.")
    number_ends = entry[-1:].isdigit()  # of a part without parameters, perhaps
    return lambda name: name.startswith(entry) and not (number_ends and name[len(entry) :][:1].isdigit())


def chosen_entries(entries: Iterable[str], names: Iterable[str]) -> dict[str, str | None]:
    """Return for each name the entry that chooses it, None where none does.

    Of several the one with most letters to match wins (wildcards count as none), of equally long
    ones the first.
    """
    names = list(names)
    choosers = {entry: chooser(entry, names) for entry in entries}
    letters = {entry: len(re.sub(r"\[[^]]*\]|[*?]", "", entry)) for entry in choosers}
    fitting = {name: [entry for entry, fits in choosers.items() if fits(name)] for name in names}
    return {name: max(fits, key=letters.__getitem__, default=None) for name, fits in fitting.items()}


def entry_fault(entry: str, names: Iterable[str]) -> str | None:
    """Return the sentence about an entry that chooses no name, None for one that does."""
    names = list(names)
    if any(map(chooser(entry, names), names)):
        return None
    parts = sorted({name.split(".")[0] for name in names})
    near = did_you_mean(entry, {*parts, *names, *(name.rpartition(".")[0] for name in names)} - {""})
    hint = near or (f" There are {', '.join(parts)}." if parts else "")
    verb = "fits" if re.search(r"[*?\[]", entry) else "begins with"
    if any(name.startswith(entry) for name in names):  # with another number
        verb = "begins with the part"
    return f"no parameter's name {verb} {entry!r}.{hint}"


def freeze(name: str, network: nn.Module, entries: Sequence[str] | str | None) -> list[nn.Module]:
    """Take parameters out of training, by `optim.<name>.frozen`; return the modules in these.

    Those are put into evaluation mode: BatchNorm's statistics and the vectors of spectral norms
    stay as they are, too, and dropout is off, so that what is frozen computes the same for good.

    Raises:
        ConfigError: an entry that chooses no parameter.
    """
    entries = [entries] if isinstance(entries, str) else list(entries or ())
    if not entries:
        return []
    names = _names(network, entries, f"optim.{name}.frozen")
    choosers = [chooser(entry, names) for entry in entries]
    frozen = [p for key, p in network.named_parameters() if any(fits(key) for fits in choosers)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    # a module lies in it if any tensor there would, whatever its name
    parts = network.named_modules()
    modules = [module for part, module in parts if any(fits(f"{part}.") for fits in choosers)]
    for module in modules:
        module.training = False
    message = "optim.%s.frozen: %d of %d parameter tensors stay as they are"
    LOGGER.info(message, name, len(frozen), len(names))
    return modules


def parameter_groups(name: str, network: nn.Module, settings: Mapping[str, Mapping]) -> dict[str, dict[str, Any]]:
    """Return a group for the rest, '', and for each entry of `optim.<name>.param_groups`.

    Parameters that ask for no gradient are left out, and groups without any.

    Raises:
        ConfigError: an entry that chooses no parameter.
    """
    chosen = chosen_entries(settings, _names(network, settings, f"optim.{name}.param_groups"))
    groups: dict[str, list[nn.Parameter]] = {"": [], **{entry: [] for entry in settings}}
    for parameter_name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[chosen[parameter_name] or ""].append(parameter)
    return {entry: {"params": group, **settings.get(entry, {})} for entry, group in groups.items() if group}


def _names(network: nn.Module, entries: Iterable[str], key: str) -> list[str]:
    """Return the names of all parameters; refuse entries of a config's key that choose none."""
    names = [name for name, _ in network.named_parameters()]
    for entry in entries:
        if fault := entry_fault(entry, names):
            raise ConfigError(f"{key}: {fault}")
    return names


def nothing_to_train(network: nn.Module) -> str:
    """Say why a network without a parameter to train has none."""
    count = len(list(network.parameters()))
    reason = f"all {count} parameter tensors are frozen" if count else "it has no parameters"
    return f"there is nothing to train in {type(network).__name__}: {reason}"
