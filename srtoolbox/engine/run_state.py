"""The state of a run, as checkpoints hold it: taken, and given back to a runner that was built from the config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from srtoolbox import dist
from srtoolbox.engine.job.run_config import report_changes
from srtoolbox.engine.random_state import random_state, set_random_state
from srtoolbox.errors import CheckpointError
from srtoolbox.logger import LOGGER
from srtoolbox.weights.finetune import load_matching, starting_weights
from srtoolbox.weights.load import weights_in

if TYPE_CHECKING:
    from srtoolbox.engine.runner import Runner


def network_state(runner: Runner) -> dict[str, Any]:
    """What `load_network` needs: weights and config."""
    return {
        "iter": runner.iter,
        "config": json.dumps(runner.config.to_dict()),
        "networks": {name: network.state_dict() for name, network in runner.networks.items()},
    }


def run_state(runner: Runner) -> dict[str, Any]:
    """Everything an exact continuation needs: tensors and plain values. Every rank must call it."""
    return {
        **network_state(runner),
        **({"whole": True} if runner.whole else {}),
        "optims": {name: optim.state_dict() for name, optim in runner.optims.items()},
        "hooks": {name: hook.state_dict() for name, hook in runner.hooks.items()},
        "draws": runner.draws,
        "dataset_digest": runner.dataset.digest(),
        "terms": dist.all_gather_object({name: float(term) for name, term in runner.terms.items()}),
        "rng": dist.all_gather_object(random_state(runner.device)),
    }


def load_run_state(runner: Runner, state: dict[str, Any]) -> None:
    """Take back networks, optimizers and hooks (the random state follows after the loader is built).

    An optimizer whose settings changed keeps its moments; the new settings hold as if they always had.

    Raises:
        CheckpointError: networks or optimizers differ from the config's.
    """
    config = json.loads(state["config"])
    if dist.is_main():
        report_changes(config, runner.config.to_dict(), runner.iter)
    try:
        for name in runner.networks.keys() | state["networks"].keys():
            runner.networks[name].load_state_dict(state["networks"][name])
        before = config["optim"]
        now = json.loads(json.dumps(runner.config.to_dict()["optim"]))
        for name, optim in runner.optims.items():
            if before[name]["optimizer"]["type"] != now[name]["optimizer"]["type"]:
                raise ValueError(f"optim.{name} was {before[name]['optimizer']['type']}")
            changed = before[name] != now[name]
            optim.load_state_dict(state["optims"][name], restart_at=runner.iter if changed else None)
        for name in runner.hooks.keys() & state["hooks"].keys():
            runner.hooks[name].load_state_dict(state["hooks"][name])
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{runner.resumed_from or 'the state'}: does not fit this config ({type(error).__name__}: {reason}). "
            f"Resume with the config of that run, or take only its weights with --load-from"
        ) from error
    runner.terms = state["terms"][dist.rank() if len(state["terms"]) == runner.world else 0]
    if state["dataset_digest"] != runner.dataset.digest() and dist.is_main():
        LOGGER.warning("the training images are not those of the checkpoint: the run cannot go on exactly")


def load_random_state(runner: Runner, states: list[dict[str, Any]]) -> None:
    """Take back this rank's random state of `run_state(...)["rng"]`; with another number of ranks there is none."""
    if len(states) == dist.world_size():
        set_random_state(states[dist.rank()], runner.device)
    elif dist.is_main():
        LOGGER.warning("%d processes after %d: random states start anew", dist.world_size(), len(states))


def load_initial_weights(runner: Runner, weights: Mapping[str, Any], source: str) -> None:
    """Start from weights of another run (`load_from`): the generator's must fit, other networks' may be missing.

    Args:
        runner: fresh.
        weights: a loaded checkpoint, of ours or of another project.
        source: its file, for messages.

    Raises:
        CheckpointError: no generator in it, or none that fits.
    """
    for name, network in runner.networks.items():
        if name == "generator":
            config = runner.config["model"][name]
            load_matching(network, starting_weights(weights, source, config, network.state_dict()), source)
            continue
        try:
            load_matching(network, weights_in(weights, source, name, weights="ema"), source)
        except CheckpointError as error:
            LOGGER.warning("no weights for the %s, which starts from its initialisation: %s", name, error)
