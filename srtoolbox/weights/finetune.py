"""Weights that a run starts from (`load_from`): of any file `upscale` opens, of discriminators."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from srtoolbox.errors import CheckpointError
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.logger import LOGGER
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.load import declared_network, read_network, run_config_in, weights_in
from srtoolbox.weights.plausibility import describe_doubt, take_outcome, trial_of
from srtoolbox.weights.recognise import ForeignNetwork, recognise, recognise_discriminator
from srtoolbox.weights.state_dicts import differences, rename_like, state_for
from srtoolbox.weights.trial import SOUND, describe, innermost

Starts = Mapping[str, tuple[Mapping[str, Any], str]]
"""By network: the file that it starts from, loaded, and its path.

One under `ALL` is for all that are in it.
"""
ALL = ""


def read_starts(load_from: Mapping[str, str] | str | None) -> Starts:
    """Read the files of a config's `load_from`: one, or a map of networks to one each.

    Raises:
        CheckpointError: one cannot be read.
    """
    named = load_from if isinstance(load_from, Mapping) else {ALL: load_from}
    if wrong := [name for name, source in named.items() if not isinstance(source, str | None)]:
        raise CheckpointError(f"load_from names the file of each network, got {named[wrong[0]]!r} for {wrong[0]!r}")
    return {name: (load_tensors(source), source) for name, source in named.items() if source}


def starting_weights(
    state: Mapping[str, Any], source: str, config: Mapping[str, Any], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights that a run's generator can start from, in its own names.

    The log says what another project's file is, and warns where its network computes something else
    with its tensors than the run's (another activation, other input ranges).

    Args:
        state, source: the file, loaded, and its path.
        config, own: of the run's generator, the latter its state_dict.

    Raises:
        CheckpointError: no weights in it that are known or fit the run's.
    """
    run = run_config_in(state, source)
    generator = declared_network(source) if run is None else run["model"]["generator"]
    tensors = weights_in(state, source, weights="ema")
    if generator is not None and (run is not None or state_for(generator, tensors) is not None):
        _compare(source, generator, config)
        return rename_like(own, tensors)
    as_named = rename_like(own, tensors)
    network, fault = ForeignNetwork(dict(config), as_named), differences(own, as_named)
    if fault:  # else it is the run's own network
        try:
            network = _recognise(state, source, config.get("scale"))
        except CheckpointError as error:
            if not _fits_in_part(own, as_named):
                raise CheckpointError(f"{error}; nothing in it fits {config['type']}: {fault}") from None
            return as_named  # a part of an unknown network has the names of the run's
    renamed = rename_like(own, network.tensors)
    if _fits_in_part(own, renamed):
        network = _examine(network, source) if network.is_tried else network
        _compare(source, network.config, config)
    if network.sentence:
        LOGGER.info("%s: %s", Path(source).name, network.sentence)
    return renamed


def network_to_tune(source: str, scale: int | None, role: str = "generator") -> dict[str, Any]:
    """Return `type` and arguments of a file's network.

    The log says what it is, and a doubt about it.

    Args:
        source: any file that `upscale` opens, but ONNX.
        scale: of a network whose tensors leave it open.
        role: 'generator' or 'discriminator'.

    Raises:
        CheckpointError: unreadable, or nothing in it is recognised.
    """
    state = load_tensors(source)
    if role == "discriminator":
        return _discriminator_to_tune(state, source)
    if run_config_in(state, source) is not None or declared_network(source) is not None:
        return read_network(source).config
    network = _recognise(state, source, scale)
    network = _examine(network, source) if network.is_tried else network
    LOGGER.info("%s: %s", Path(source).name, network.sentence)
    return network.config


def _discriminator_to_tune(state: Mapping[str, Any], source: str) -> dict[str, Any]:
    run = run_config_in(state, source)
    if run is None:
        network = recognise_discriminator(state, source)
        LOGGER.info("%s: %s", Path(source).name, network.sentence)
        return network.config
    if not isinstance(own := run["model"].get("discriminator"), Mapping):
        raise CheckpointError(f"{source}: its run has no discriminator")
    return dict(own)


def _fits_in_part(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> bool:
    """True if at least one tensor has the name and shape of one of the run's."""
    return any(key in own and own[key].shape == value.shape for key, value in tensors.items())


def _examine(network: ForeignNetwork, source: str) -> ForeignNetwork:
    """Take the outcome of a trial; nothing is refused here, since learning goes on."""
    trial = trial_of(source, network, "ema")
    if isinstance(trial, str):
        LOGGER.warning("%s %s", Path(source).name, trial)
        return network
    if trial.score.match < SOUND:
        LOGGER.warning("%s %s", Path(source).name, describe_doubt(trial))
    return take_outcome(network, trial)


def _recognise(state: Mapping[str, Any], source: str, scale: int | None) -> ForeignNetwork:
    """Recognise a file, of the run's scale where the tensors leave it open, else of its own."""
    with contextlib.suppress(CheckpointError):
        return recognise(state, source, scale=scale)
    return recognise(state, source)


def _compare(source: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Warn where one type of network with the same tensors computes something else."""
    kind = innermost(theirs).get("type")
    if kind != innermost(ours).get("type") or not isinstance(kind, str) or kind not in NETWORKS:
        return
    before, now = (", ".join(describe(each)) or "nothing of the kind" for each in (theirs, ours))
    if before != now:
        message = "%s was trained with %s, model.generator has %s: it starts from what the weights "
        LOGGER.warning(message + "were not trained for", Path(source).name, before, now)


def load_matching(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load what fits by name and shape, and log what did and what did not.

    Raises:
        CheckpointError: nothing fits.
    """
    own = network.state_dict()
    rest = differences(own, tensors)
    part = {key: value for key, value in tensors.items() if _fits_in_part(own, {key: value})}
    if not part:
        raise CheckpointError(f"{source}: nothing in it fits {type(network).__name__}: {rest}")
    network.load_state_dict(part, strict=False)
    LOGGER.info("loaded %d of %d tensors from %s%s", len(part), len(own), source, f"; {rest}" if rest else "")


def load_initial_weights(networks: Mapping[str, nn.Module], config: Mapping[str, Any], starts: Starts) -> None:
    """Start from weights of other runs (`load_from`).

    Of one file only the generator's must be there and fit; of one that is named for a network, its.

    Args:
        networks, config: the run's, the former fresh.
        starts: the files, of ours or of other projects, see `read_starts`.

    Raises:
        CheckpointError: a network that is no network of the run, or no weights for it that fit.
    """
    if unknown := [name for name in starts if name != ALL and name not in networks]:
        raise CheckpointError(f"load_from names {unknown[0]!r}; the networks are {', '.join(networks)}")
    for name, network in networks.items():
        if (start := starts.get(name, starts.get(ALL))) is None:
            continue
        weights, source = start
        if name == "generator":
            generator = starting_weights(weights, source, config["model"][name], network.state_dict())
            load_matching(network, generator, source)
            continue
        try:
            load_matching(network, weights_in(weights, source, name, weights="ema"), source)
        except CheckpointError as error:
            if name in starts:
                raise
            LOGGER.warning("no weights for the %s, which starts from its initialisation: %s", name, error)
