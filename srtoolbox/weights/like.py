"""Weights written back as another file has them: its names, its wrappers, its number types."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError
from srtoolbox.interfaces import facts_of
from srtoolbox.io.tensor_files import load_tensors, save_safetensors, save_tensors
from srtoolbox.logger import LOGGER
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted
from srtoolbox.weights.convert import averaged_weights, bare_state
from srtoolbox.weights.formats import State
from srtoolbox.weights.load import (
    NETWORK_KEY,
    arguments_of,
    declared_network,
    read_network,
    run_config_in,
    texts_in,
)
from srtoolbox.weights.recognise import WeightsChoice, find_weights, recognise
from srtoolbox.weights.state_dicts import differences
from srtoolbox.weights.trial import describe, innermost

COUNTS = ".num_batches_tracked"
"""The end of names that files of old have not, and that nothing reads."""


class Place(NamedTuple):
    """The tensors of a network in a file: in the names here, each with the one of the file."""

    tensors: State
    theirs: Mapping[str, Tensor]


def write_like(
    source: str | Path,
    original: str | Path,
    target: Path,
    *,
    raw: bool = False,
    scale: int | None = None,
    trial: bool = True,
) -> str:
    """Write the weights of `source` as `original` has its own; return a description.

    Names, wrappers, constants, number types and what else is in the original stay. A file with
    trained and averaged weights gets both, one with a single set the averaged ones where there are
    some. The result is opened again before it is written, and compared tensor by tensor.

    Args:
        source: what was trained: any file that can be read.
        original: the file of another project whose form is wanted.
        target: a `.safetensors` where the original is one, else a `.pth`.
        raw: take the trained weights even where there are averaged ones.
        scale, trial: as in `read_network`; the trial tells if both are fed alike.

    Raises:
        CheckpointError: another network, or tensors that have no place of their own in the
            original, or constants there that say something else, or number types too small for the
            weights.
    """
    trained = read_network(source, weights="raw", scale=scale, trial=trial)
    averaged = None if raw else averaged_weights(source, trained)
    arguments = trained.config
    own = bare_state(arguments, trained.tensors)
    best = own if averaged is None else bare_state(arguments, averaged.tensors)
    state = _original(original, target)
    scale = arguments.get("scale")
    wanted: dict[WeightsChoice, State] = {"raw": own, "ema": best}
    places = {choice: _place(state, str(original), scale, choice, tensors) for choice, tensors in wanted.items()}
    if {id(value) for value in places["raw"].theirs.values()} == {id(value) for value in places["ema"].theirs.values()}:
        wanted, places = {"ema": best}, {"ema": places["ema"]}
    new: dict[int, Tensor] = {}
    for choice, place in places.items():
        new |= {id(old): _converted(wanted[choice][key], old, key, str(original)) for key, old in place.theirs.items()}
    written = _replaced(state, new)
    for choice, place in places.items():
        _compare(written, str(original), scale, choice, wanted[choice], place)
    texts = texts_in(original)
    if declared_network(original) is None:
        _compare_arguments(arguments, best, original, trial)
    else:  # a header of ours says them
        told = {"type": arguments["type"], **arguments_of(arguments)}
        texts = {**texts, NETWORK_KEY: json.dumps(told)}
    if target.suffix == ".safetensors":
        save_safetensors(target, written, texts)
    else:
        save_tensors(target, written)
    return _description(arguments, str(original), places, is_averaged=averaged is not None)


def original_of(source: str | Path) -> str:
    """Return the file of another project that a run began from, by way of other runs perhaps.

    Raises:
        CheckpointError: it is no run's, or began from no file.
    """
    path, seen = str(source), set[str]()
    while path not in seen:
        try:
            config = run_config_in(load_tensors(path), path)
        except CheckpointError as error:
            if not seen:
                raise
            raise CheckpointError(f"{error}; the run began from it: say where it is by --like FILE") from None
        seen.add(path)
        if config is None:
            if len(seen) > 1:
                return path
            raise CheckpointError(f"{path}: is no checkpoint of a run here; name the file to be like by --like FILE")
        start = config.get("load_from")
        start = start.get("generator") if isinstance(start, Mapping) else start
        if not start:
            break
        path = start
    raise CheckpointError(f"{path}: its run began from no file of another project (load_from); name one by --like FILE")


def _original(original: str | Path, target: Path) -> dict[str, Any]:
    """Return the content of the file whose form is wanted."""
    state = load_tensors(original)
    if run_config_in(state, str(original)) is not None:
        raise CheckpointError(f"{original}: is a checkpoint of srtoolbox; --to ours writes one")
    suffix = ".safetensors" if Path(original).suffix.lower() == ".safetensors" else ".pth"
    if target.suffix != suffix:
        raise CheckpointError(f"{target}: {original} is no {target.suffix}; name a {suffix}")
    return state


def _place(state: Mapping[str, Any], source: str, scale: int | None, choice: WeightsChoice, own: State) -> Place:
    """Find the place of each tensor of a network in the content of a file.

    Raises:
        CheckpointError: the file holds another network.
    """
    theirs = find_weights(state, source, weights=choice).tensors
    if not differences(own, theirs):  # as in files of networks of plugins, too
        return Place(theirs, theirs)
    network = recognise(state, source, scale=scale, weights=choice)
    found = bare_state(network.config, network.tensors)
    if fault := differences(own, found):
        raise CheckpointError(f"{source}: holds {network.sentence}, which is another network: {fault}")
    return Place(found, _pairs(found, theirs))


def _pairs(found: State, theirs: State) -> dict[str, Tensor]:
    """Pair tensors in the names here with those of a file: the same, or equal ones in order."""
    is_same = {id(value) for value in theirs.values()}
    left = [value for value in theirs.values() if id(value) not in {id(each) for each in found.values()}]
    pairs = {}
    for key, value in found.items():
        if id(value) in is_same:
            pairs[key] = value
            continue
        number = next((i for i, other in enumerate(left) if _are_equal(value, other)), None)
        if number is not None:
            pairs[key] = left.pop(number)
    return pairs


def _converted(value: Tensor, old: Tensor, key: str, original: str) -> Tensor:
    """Return a tensor in the number type of the one that it replaces.

    Raises:
        CheckpointError: that has no such large numbers.
    """
    result = value.to(old.dtype)
    if value.is_floating_point() and not torch.equal(result.isfinite(), value.isfinite()):
        kind, most = str(old.dtype).removeprefix("torch."), float(value.abs().max())
        raise CheckpointError(f"{original}: has {kind}, and {key} now reaches {most:.3g}, which is too large for it")
    return result


def _are_equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other.to(one.dtype))


def _replaced(value: Any, new: Mapping[int, Tensor]) -> Any:  # noqa: ANN401 - anything that a file holds
    """Return a copy of the content of a file with other tensors in place of some."""
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if isinstance(value, Mapping):
        copied: Any = copy.copy(value)  # an OrderedDict with its metadata stays one
        for key, item in value.items():
            copied[key] = _replaced(item, new)
        return copied
    if isinstance(value, list | tuple):
        return type(value)([_replaced(item, new) for item in value])
    return value


def _compare(
    written: Mapping[str, Any], source: str, scale: int | None, choice: WeightsChoice, own: State, place: Place
) -> None:
    """Open what is to be written, and compare each tensor.

    Raises:
        CheckpointError: one is not what it should be: it had no place of its own.
    """
    again = _place(written, source, scale, choice, own).tensors
    for key, value in own.items():
        old = place.theirs.get(key)
        wanted = value if old is None else value.to(old.dtype)
        if not torch.equal(again[key], wanted.to(again[key].dtype)) and not (old is None and key.endswith(COUNTS)):
            raise CheckpointError(
                f"{source}: has no tensor for {key} alone, which was made from others as it was opened; "
                f"its form cannot be written. --to plain or basicsr writes another"
            )


def _compare_arguments(arguments: Mapping[str, Any], tensors: State, original: str | Path, trial: bool) -> None:
    """Compare what no tensor of the network tells, and the original's programs take for granted.

    Raises:
        CheckpointError: the original's constants say something else (a mean, a range of values).
    """
    theirs = _config_of(original, arguments.get("scale"), trial)
    if theirs is None or innermost(theirs)["type"] != innermost(arguments)["type"]:
        return
    kind = NETWORKS.get(innermost(arguments)["type"])
    before, now = (json.loads(json.dumps(arguments_of(innermost(each)))) for each in (theirs, arguments))
    untold = {*getattr(kind, "hidden_arguments", {}), "tensors"}
    other = [key for key in now if key not in untold and before[key] != now[key]]
    changed = {**now, **{key: before[key] for key in other}}
    if other and not _compute_the_same(innermost(arguments), changed, tensors):
        faults = ", ".join(f"{key}={before[key]!r}, not {now[key]!r}" for key in other)
        raise CheckpointError(f"{original}: says {faults}, and its form cannot say anything else")
    way, own = (", ".join(describe(each)) or "nothing of the kind" for each in (theirs, arguments))
    if way != own:
        message = "%s was made for %s, these weights were trained with %s, which no tensor tells"
        LOGGER.warning(message, Path(original).name, way, own)


def _compute_the_same(config: Mapping[str, Any], arguments: Mapping[str, Any], tensors: State) -> bool:
    """True if a network with these arguments and weights makes the same images as the config's.

    Args:
        tensors: in the names that `bare_state` gives.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        one, other = (NETWORKS.build({"type": config["type"], **each}).eval() for each in (config, arguments))
        for network in (one, other):
            names = {key: key if key in tensors else key.removeprefix("network.") for key in network.state_dict()}
            network.load_state_dict({key: tensors[name] for key, name in names.items()})
        facts = facts_of(one)
        side = facts.fit(16)
        image = torch.rand(1, facts.in_channels, side, side)
        return torch.allclose(one(image), other(image), atol=1e-4)


def _config_of(original: str | Path, scale: int | None, trial: bool) -> dict[str, Any] | None:
    """Return the network of a file, as it looks where a trial refuses it.

    None where it is none known here.
    """
    for is_tried in (trial, False):
        with contextlib.suppress(CheckpointError):
            return read_network(original, scale=scale, trial=is_tried, quiet=True).config
    return None


def _description(
    arguments: Mapping[str, Any], original: str, places: Mapping[WeightsChoice, Place], *, is_averaged: bool
) -> str:
    theirs = [value for place in places.values() for value in place.theirs.values()]
    kinds = sorted({str(value.dtype).removeprefix("torch.") for value in theirs if value.is_floating_point()})
    sets = "trained and averaged weights" if len(places) > 1 else "averaged weights" if is_averaged else "weights"
    network = innermost(arguments)
    title = f"{network.get('architecture', network['type'])} x{arguments_of(arguments)['scale']}"
    return f"{title}, {sets} as in {original}: {counted(len(theirs), 'tensor')}, {', '.join(kinds)}"
