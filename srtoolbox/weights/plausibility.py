"""The guard of the door for foreign weights: which network they were trained as, or a refusal. See `trial`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError
from srtoolbox.io.files import sha256
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.declared import state_for
from srtoolbox.weights.trial import REFUSED, SOUND, Config, Score, Trial, describe, innermost, try_on_photograph
from srtoolbox.weights.verdict_cache import keep, recall, verdict_key

FORCE = "--no-trial opens it as it is (load_network(..., trial=False))"


class ForeignNetwork(NamedTuple):
    """A network of another project, as it is taken."""

    config: Config
    tensors: dict[str, Tensor]
    """Its state_dict."""
    sentence: str
    """A description of it; '' where the user has said it."""
    warnings: tuple[str, ...]
    """Sentences that go on after the file's name."""


def guard(source: str, assumed: ForeignNetwork, *, called: str, weights: str, given: bool) -> ForeignNetwork:
    """Try the networks that may have been trained; the verdict is kept for the next time.

    Args:
        source: the file.
        assumed: what its tensors look like, or what the user has given.
        called: what it is, for messages.
        weights: which ones of the file ('ema', 'raw').
        given: the config is the user's word; that another network is taken is worth a warning.

    Raises:
        CheckpointError: no candidate makes an image that has enough in common with its input.
    """
    trial = trial_of(source, assumed, weights)
    if isinstance(trial, str):
        return assumed._replace(warnings=(*assumed.warnings, trial))
    if trial.score.match < REFUSED:
        raise CheckpointError(f"{source}: {called}, {_refusal(trial)}")
    found = tell_outcome(assumed, trial)
    warnings = list(assumed.warnings)
    if given and found.config is not assumed.config:
        before = f"{_words(assumed.config)}: {_figures(trial.assumed)}"
        now = f"{_words(trial.config)}: {_figures(trial.score)}"
        warnings.append(f"is not the {called} given ({before}); another one is used ({now})")
    if trial.score.match < SOUND:
        warnings.append(doubt(trial))
    return found._replace(warnings=tuple(warnings))


def tell_outcome(assumed: ForeignNetwork, trial: Trial) -> ForeignNetwork:
    """The best network in place of the one assumed, and what the trial has found out in the sentence."""
    is_other = trial.config != json.loads(json.dumps(assumed.config))
    config = trial.config if is_other else assumed.config
    sentence = assumed.sentence
    if sentence:
        sentence += "".join(f", {word}" for word in describe(config)) + f"; on a photograph {_figures(trial.score)}"
        if is_other:
            sentence += f"; not as assumed at first, {_words(assumed.config)}: {_figures(trial.assumed)}"
    tensors = state_for(config, assumed.tensors) or assumed.tensors
    return assumed._replace(config=config, tensors=tensors, sentence=sentence)


def trial_of(source: str, assumed: ForeignNetwork, weights: str) -> Trial | str:
    """The outcome of a trial, or a sentence that goes on after the file's name: why there is none."""
    try:
        return _kept_trial(source, assumed.config, assumed.tensors, weights)
    except Exception as error:  # the code of a plugin's network can fail in any way, and here only
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"could not be tried on a photograph ({reason})"


def _kept_trial(source: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], weights: str) -> Trial:
    """The outcome of a trial, from the cache where it was made before.

    That of a plugin's network is not kept: its code may be another one the next time, and with it what is right.
    """
    is_ours = NETWORKS.get(innermost(config)["type"]).__module__.startswith("srtoolbox.")
    key = verdict_key(sha256(source), config, weights)
    trial = recall(key) if is_ours else None
    if trial is not None and state_for(trial.config, tensors) is not None:
        return trial
    with torch.random.fork_rng(devices=[]):  # a run that starts from these weights draws as if there were no trial
        trial = try_on_photograph(config, tensors)
    trial = trial._replace(config=json.loads(json.dumps(trial.config)))  # as the cache will give it
    if is_ours:
        keep(key, trial)
    return trial


def _figures(score: Score) -> str:
    """'1.4 dB above bicubic, shrunk back 61 dB'; of scale 1, where neither is done, '38 dB from its input'."""
    if not math.isfinite(score.match):
        return "not finite"
    if score.gain == -math.inf:
        return f"{score.match:.0f} dB from its input"
    side = "above" if score.gain > 0 else "below"
    return f"{abs(score.gain):.1f} dB {side} bicubic, shrunk back {score.match:.0f} dB"


def _words(config: Mapping[str, Any]) -> str:
    return ", ".join(describe(config)) or "taken as usual"


def doubt(trial: Trial) -> str:
    """Describe a file that is neither sound nor refused: a sentence that goes on after its name."""
    return (
        f"is doubtful: what it makes of a photograph, shrunk back, agrees with it to {trial.score.match:.1f} dB only, "
        f"where sound files reach 30: something that tensors do not tell may be other than {_words(trial.config)}"
    )


def _refusal(trial: Trial) -> str:
    ways = f" in the best of {trial.count} ways tried" if trial.count > 1 else ""
    agreement = f"what it makes of a photograph, shrunk back, agrees with it to {trial.score.match:.1f} dB{ways}"
    if not math.isfinite(trial.score.match):
        agreement = f"what it makes of a photograph is not finite{ways}"
    return (
        f"but {agreement}, where sound files reach 30 dB: it is another network than its tensors look like, of another "
        f"scale, or for other images. A config says what tensors do not tell (--config, load_network(..., "
        f"config=...)); {FORCE}"
    )
