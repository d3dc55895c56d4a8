"""The plausibility of other projects' weights: which network they were trained as, or a refusal.

Each file is tried on a photograph (`trial`) once: the outcome is kept in the user's cache folder by
the file's checksum. The folder is `$SRTOOLBOX_CACHE`, or the system's usual one; an empty value
keeps nothing. A cache that cannot be read or written is no cache: nothing depends on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srtoolbox.errors import CheckpointError, SrtoolboxError
from srtoolbox.io.files import read_json, sha256, write_json
from srtoolbox.logger import LOGGER
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.recognise import ForeignNetwork
from srtoolbox.weights.state_dicts import state_for
from srtoolbox.weights.trial import (
    REFUSED,
    REVISION,
    SOUND,
    Score,
    Trial,
    convention_of,
    describe,
    innermost,
    try_on_photograph,
    try_ways,
)

_AS_IT_IS = "--no-trial opens it as it is (load_network(..., trial=False))"


def examine(source: str, assumed: ForeignNetwork, weights: str) -> ForeignNetwork:
    """Try the networks that may have been trained; the verdict is kept for the next time.

    Args:
        source: the file.
        assumed: what its tensors look like; or what the user has given, without a sentence: that
            another network is taken is worth a warning then.
        weights: those of the file that are taken, 'ema' or 'raw'.

    Raises:
        CheckpointError: no candidate makes an image that has enough in common with its input.
    """
    trial = trial_of(source, assumed, weights)
    if isinstance(trial, str):
        return assumed._replace(warnings=(*assumed.warnings, trial))
    title = assumed.sentence or assumed.config["type"]
    if trial.score.match < REFUSED:
        raise CheckpointError(f"{source}: {title}, {_refusal(trial)}")
    best = take_outcome(assumed, trial)
    warnings = list(assumed.warnings)
    if not assumed.sentence and best.config is not assumed.config:
        before = f"{_way(assumed.config)}: {_figures(trial.assumed)}"
        now = f"{_way(trial.config)}: {_figures(trial.score)}"
        warnings.append(f"is not the {title} given ({before}); another one is used ({now})")
    if trial.score.match < SOUND:
        warnings.append(describe_doubt(trial))
    return best._replace(warnings=tuple(warnings))


def examine_ways(source: str, title: str, network: nn.Module) -> dict[str, Any]:
    """Try how a network out of another program is fed; returns the arguments of an `Adapter`.

    The log says what came of it.

    Raises:
        CheckpointError: in no way it makes an image that has enough in common with its input.
    """
    trial, name = try_ways(network), Path(source).name
    if trial.score.match < REFUSED:
        advice = f"it takes other numbers than are tried, or is for other images; {_AS_IT_IS}"
        raise CheckpointError(f"{source}: {title}, {_finding(trial)}: {advice}")
    words = "".join(f", {word}" for word in describe(trial.config))
    LOGGER.info("%s: %s%s; on a photograph %s", name, title, words, _figures(trial.score))
    if trial.score.match < SOUND:
        LOGGER.warning("%s %s", name, describe_doubt(trial))
    return convention_of(trial.config)


def take_outcome(assumed: ForeignNetwork, trial: Trial) -> ForeignNetwork:
    """Return the best network in place of the one assumed, the trial's outcome in its sentence."""
    is_other = not _is_of(trial, assumed)
    config = trial.config if is_other else assumed.config
    sentence = assumed.sentence
    if sentence:
        sentence += "".join(f", {word}" for word in describe(config))
        sentence += f"; on a photograph {_figures(trial.score)}"
        if is_other:
            before = f"{_way(assumed.config)}: {_figures(trial.assumed)}"
            sentence += f"; not as assumed at first, {before}"
    if not is_other:
        return assumed._replace(sentence=sentence)
    tensors = state_for(config, assumed.tensors) or assumed.tensors
    return assumed._replace(config=config, tensors=tensors, sentence=sentence, network=None)


def _is_of(trial: Trial, assumed: ForeignNetwork) -> bool:
    """True if a trial is of the network assumed, not of another one with its tensors."""
    return trial.config == json.loads(json.dumps(assumed.config))


def trial_of(source: str, assumed: ForeignNetwork, weights: str) -> Trial | str:
    """Return the outcome of a trial, or why there is none: a clause after the file's name.

    It comes from the cache where it was made before. That of a plugin's network is not kept, for
    its code may change.
    """
    try:
        network = NETWORKS.get(innermost(assumed.config)["type"])
        is_ours = network.__module__.startswith("srtoolbox.")
        question = json.dumps([REVISION, sha256(source), weights, assumed.config], sort_keys=True)
        key = hashlib.sha256(question.encode()).hexdigest()
        trial = _recall(key) if is_ours else None
        if trial is not None and (_is_of(trial, assumed) or state_for(trial.config, assumed.tensors) is not None):
            return trial
        # a run that starts from these weights draws as if there were no trial
        with torch.random.fork_rng(devices=[]):
            trial = try_on_photograph(assumed.config, assumed.tensors, assumed.network)
        trial = replace(trial, config=json.loads(json.dumps(trial.config)))  # as from the cache
        if is_ours:
            _keep(key, trial)
        return trial
    except Exception as error:  # the code of a plugin's network can fail in any way, and only here
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"could not be tried on a photograph ({reason})"


def _figures(score: Score) -> str:
    """Return '1.4 dB above bicubic, shrunk back 61 dB', or of scale 1 '38 dB from its input'."""
    if not math.isfinite(score.match):
        return "not finite"
    if score.gain == -math.inf:
        return f"{score.match:.0f} dB from its input"
    side = "above" if score.gain > 0 else "below"
    return f"{abs(score.gain):.1f} dB {side} bicubic, shrunk back {score.match:.0f} dB"


def _way(config: Mapping[str, Any]) -> str:
    return ", ".join(describe(config)) or "taken as usual"


def describe_doubt(trial: Trial) -> str:
    """Describe a file that is neither sound nor refused: a clause that goes on after its name."""
    return (
        f"is doubtful: what it makes of a photograph, shrunk back, agrees with it to "
        f"{trial.score.match:.1f} dB only, where sound files reach 30: something that tensors do not "
        f"tell may be other than {_way(trial.config)}"
    )


def _refusal(trial: Trial) -> str:
    return (
        f"{_finding(trial)}: it is another network than its tensors look like, of another scale, or for other images. "
        f"A config says what tensors do not tell (--config, load_network(..., config=...)); {_AS_IT_IS}"
    )


def _finding(trial: Trial) -> str:
    ways = f" in the best of {trial.count} ways tried" if trial.count > 1 else ""
    agreement = f", shrunk back, agrees with it to {trial.score.match:.1f} dB"
    if not math.isfinite(trial.score.match):
        agreement = " is not finite"
    return f"but what it makes of a photograph{agreement}{ways}, where sound files reach 30 dB"


# ---- the cache of verdicts


def cache_folder() -> Path | None:
    """Return the folder of verdicts, which need not exist; None: there is no place for them."""
    own = os.environ.get("SRTOOLBOX_CACHE")
    if own is not None:
        return Path(own) / "trials" if own else None
    with contextlib.suppress(RuntimeError):  # no home
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "srtoolbox" / "trials"
    return None


def _recall(key: str) -> Trial | None:
    """Return the verdict of an earlier trial; None where there is none that can be read."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        entry = read_json(folder / f"{key}.json")
        score, assumed = (Score(*map(float, entry[name])) for name in ("score", "assumed"))
        trial = Trial(dict(entry["config"]), score, assumed, int(entry["count"]))
        return trial if entry["key"] == key else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _keep(key: str, trial: Trial) -> None:
    """Write a verdict, where that is possible."""
    folder = cache_folder()
    if folder is not None:
        with contextlib.suppress(SrtoolboxError, OSError):
            write_json(folder / f"{key}.json", {"key": key, **asdict(trial)})
