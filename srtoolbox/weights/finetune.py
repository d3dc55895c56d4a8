"""The weights that a run starts from (`load_from`): any file that `upscale` opens, told and compared with the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from srtoolbox.errors import CheckpointError
from srtoolbox.logger import LOGGER
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats.recognise import Recognised, recognise
from srtoolbox.weights.load import declared_network, run_config_in, weights_in
from srtoolbox.weights.plausibility import ForeignNetwork, doubt, tell_outcome, trial_of
from srtoolbox.weights.state_dicts import differences, rename_like, state_for
from srtoolbox.weights.trial import SOUND, describe, innermost


def starting_weights(
    state: Mapping[str, Any], source: str, config: Mapping[str, Any], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights that a run's generator can start from, in its own names.

    The log says what another project's file is. Where the file's network computes something else with its tensors than
    the run's (another activation, other input ranges), it warns.

    Args:
        state: the file, loaded.
        source: its path.
        config, own: of the run's generator, the latter its state_dict.

    Raises:
        CheckpointError: no weights in it, or of no network that is known, and nothing in it fits the run's.
    """
    run = run_config_in(state, source)
    known = declared_network(source) if run is None else run["model"]["generator"]
    tensors = weights_in(state, source, weights="ema")
    if known is not None and (run is not None or state_for(known, tensors) is not None):
        _compare(source, known, config)
        return rename_like(own, tensors)
    found = ForeignNetwork(dict(config), rename_like(own, tensors), "", ())
    if differences(own, found.tensors):  # else it is the run's own network
        try:
            recognised = _recognised(state, source, config.get("scale"))
        except CheckpointError as unknown:
            if not _fitting(own, found.tensors):
                fault = f"nothing in it fits {config['type']}: {differences(own, found.tensors)}"
                raise CheckpointError(f"{unknown}; {fault}") from None
            return found.tensors  # of a network that nobody knows, but a part of it has the names of the run's
        found = ForeignNetwork(recognised.config, recognised.tensors, recognised.sentence, ())
    renamed = rename_like(own, found.tensors)
    if _fitting(own, renamed):
        found = _tried(found, source)
        _compare(source, found.config, config)
    if found.sentence:
        LOGGER.info("%s: %s", Path(source).name, found.sentence)
    return renamed


def _fitting(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> bool:
    """True if at least one tensor has the name and shape of one of the run's."""
    return any(key in own and own[key].shape == value.shape for key, value in tensors.items())


def _tried(found: ForeignNetwork, source: str) -> ForeignNetwork:
    """Take the outcome of a trial; nobody is refused here, since learning goes on."""
    trial = trial_of(source, found, "ema")
    if isinstance(trial, str):
        LOGGER.warning("%s %s", Path(source).name, trial)
        return found
    if trial.score.match < SOUND:
        LOGGER.warning("%s %s", Path(source).name, doubt(trial))
    return tell_outcome(found, trial)


def _recognised(state: Mapping[str, Any], source: str, scale: int | None) -> Recognised:
    """Of the run's scale where the tensors leave it open; weights of another one are a start, too."""
    try:
        return recognise(state, source, scale=scale)
    except CheckpointError:
        return recognise(state, source)


def _compare(source: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Warn where one type of network with the same tensors computes something else."""
    kinds = [innermost(config).get("type") for config in (theirs, ours)]
    if kinds[0] != kinds[1] or kinds[0] not in NETWORKS:
        return
    trained, here = (", ".join(describe(config)) or "nothing of the kind" for config in (theirs, ours))
    if trained != here:
        LOGGER.warning(
            "%s was trained with %s, model.generator has %s: it starts from what the weights were not trained for",
            Path(source).name, trained, here,
        )  # fmt: skip


def load_matching(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load what fits by name and shape, and log what did and what did not.

    Raises:
        CheckpointError: nothing fits.
    """
    own = network.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise CheckpointError(f"{source}: nothing in it fits {type(network).__name__}: {differences(own, tensors)}")
    network.load_state_dict(fitting, strict=False)
    rest = differences(own, tensors)
    LOGGER.info("loaded %d of %d tensors from %s%s", len(fitting), len(own), source, f"; {rest}" if rest else "")
