"""Networks that fit a file's tensors equally, tried on a photograph: only one was trained.

Activations, ranges, means and the order of channels leave no trace in tensors, and the wrong one
still makes an image. So each candidate enlarges a photograph that was reduced here. Networks for
such pairs are ranked by their gain in PSNR over bicubic interpolation; others (GANs, real
degradations, scale 1) by how much the result, shrunk back, has in common with its input. By this
all are judged, too: it needs no truth and holds for whatever a network was trained for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from srtoolbox.devices import without_drawing
from srtoolbox.interfaces import facts_of, fuse_branches
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.contest import Candidate, Config, Contest, Result, Score, best_of, sample_for, score_on

REVISION = 6  # counts changes of what is tried and how, for verdicts that are kept
# dB of agreement: from the first on nothing is said, below the second the file is refused
SOUND, REFUSED = 25.0, 20.0  # docs/other_weights.md has the table that they come from
_DIV2K = [0.4488, 0.4371, 0.4040]

# what networks are fed with elsewhere, as arguments of Adapter
CONVENTIONS: dict[str, dict[str, Any]] = {
    "images in 0 ... 255": {"peak": 255.0},
    "images in [-0.5, 0.5]": {"mean": 0.5},
    "images in [-1, 1]": {"peak": 2.0, "mean": 0.5},
    "results in [-1, 1]": {"output_peak": 2.0, "output_mean": 0.5},
    "results in 0 ... 255": {"output_peak": 255.0},
}
RGB_CONVENTIONS: dict[str, dict[str, Any]] = {
    "images less DIV2K's mean": {"mean": _DIV2K},
    "images in 0 ... 255 less DIV2K's mean": {"peak": 255.0, "mean": _DIV2K},
    "JPEG's YCbCr": {"order": "ycbcr"},
}
_RANGES = [way for way in (*CONVENTIONS.values(), *RGB_CONVENTIONS.values()) if "order" not in way]
# these change little and are tried last, on what is best by then
LAST: dict[str, dict[str, dict[str, Any]]] = {
    "rgb": {"BGR": {"order": "bgr"}},
    "y": {"luma of the full range": {"peak": 255 / 219, "mean": 16 / 255}},
}


@dataclass(frozen=True)
class Trial:
    """The outcome for all candidates."""

    config: Config  # of the best one
    score: Score
    assumed: Score  # of the first one
    count: int


def try_on_photograph(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], network: nn.Module | None = None
) -> Trial:
    """Find the network that was trained, among all that have these tensors.

    Args:
        config: the network to begin with, which stays unless another one is clearly better.
        tensors: its state_dict.
        network: that network with these tensors, where it is built already: no other is tried.
    """
    own = [(dict(config), network)] if network is not None else list(_own_candidates(config, tensors))
    colour, is_settled = facts_of(own[0][1]).colour, network is not None or _says_how_it_is_fed(config)

    def adapters(conventions: Collection[Mapping[str, Any]]) -> list[Candidate]:
        pairs = [
            pair for pair in itertools.product(own, conventions) if _is_worth_trying(pair[0][0], own[0][0], pair[1])
        ]
        return [(_adapted(config, network, way), fed(network, way)) for (config, network), way in pairs]

    contest = Contest(own, ways=0 if is_settled else len(_ways(colour)) + len(LAST[colour]))
    contest.enter(own)
    if not is_settled:
        if contest.best() is not contest.assumed or not _is_convincing(contest.assumed[1]):
            contest.enter(adapters(_ways(colour)))
        if contest.is_hopeless:  # another order of channels would not mend it
            contest.close()
        else:
            late = adapters(_last_ways(convention_of(contest.best()[0]), colour))
            contest.results = [contest.best()]
            contest.enter(late)
    return Trial(*contest.best(), contest.assumed[1], contest.count)


def _is_worth_trying(config: Config, first: Config, way: Mapping[str, Any]) -> bool:
    """False for what nobody trains, and for networks that are too alike to be fed differently."""
    hidden = _hidden(config["type"])
    # ATD's: tried as it is, of little effect
    if config.get("category_size") != first.get("category_size"):
        return False
    # what has a range of its own is the same as the one without, fed with that range
    own_range = config.get("img_range", hidden["img_range"][0]) if "img_range" in hidden else 1.0
    return own_range == 1.0 or way not in _RANGES


def _says_how_it_is_fed(config: Mapping[str, Any]) -> bool:
    """True for an Adapter, and for networks whose ranges another library knows."""
    return config["type"] == "Adapter" or getattr(NETWORKS.get(config["type"]), "ranges_are_known", False)


def try_ways(network: nn.Module) -> Trial:
    """Find how a network is fed that comes as it is, out of another program.

    Returns:
        the outcome, whose config is that of an `Adapter` around any network.
    """
    colour, sample = facts_of(network).colour, sample_for(network)

    def score(way: Mapping[str, Any]) -> Result:
        return dict(way), score_on(fed(network, way), sample)

    results = [score({})]
    assumed = results[0][1]
    if not _is_convincing(assumed):
        results += map(score, _ways(colour))
    late = [score(way) for way in _last_ways(best_of(results)[0], colour)]
    way, best = best_of([best_of(results), *late])
    return Trial(_adapted({"type": "Bicubic"}, network, way), best, assumed, len(results) + len(late))


def _adapted(config: Config, network: nn.Module, way: Mapping[str, Any]) -> Config:
    return {"type": "Adapter", "scale": facts_of(network).scale, "network": config, **way}


def fed(network: nn.Module, way: Mapping[str, Any]) -> nn.Module:
    """Return a network that comes as it is in an `Adapter` of these arguments."""
    return NETWORKS.get("Adapter")(facts_of(network).scale, network, **way)


def _is_convincing(score: Score) -> bool:
    """True if a network is fed rightly: it beats bicubic, or nears it and is like its input."""
    is_near = score.gain > -3 or score.gain == -math.inf
    return score.gain > 0 or (is_near and score.match >= SOUND + 5)


def _ways(colour: str) -> Collection[Mapping[str, Any]]:
    return (CONVENTIONS | RGB_CONVENTIONS if colour == "rgb" else CONVENTIONS).values()


def _last_ways(best: Mapping[str, Any], colour: str) -> list[Config]:
    """Return what is tried on top of the best convention, or on none."""
    # in the right order of channels the best range may be another one
    bases = [{}, best] if best and colour == "rgb" else [{}]
    return [{**base, **convention} for base in bases for convention in LAST[colour].values()]


def describe(config: Mapping[str, Any]) -> list[str]:
    """Name what tensors do not tell of a network: ["activation='relu'", 'BGR']."""
    inner = innermost(config)
    words = []
    for key, values in _hidden(inner["type"]).items():
        value = inner.get(key, values[0])
        if len(values) > 1 and value:
            words.append(f"{key}={_rounded(value)}")
    if inner is not config:
        convention = convention_of(config)
        order = {"order": convention.pop("order")} if "order" in convention else None
        named = {**CONVENTIONS, **RGB_CONVENTIONS, **LAST["rgb"], **LAST["y"]}
        words += [name for part in (convention, order) for name in named if named[name] == part]
    return words


def _rounded(value: object) -> str:
    """Return a value as text, numbers of a range or a mean with three digits."""
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_rounded, value))})"
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def innermost(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of the network that an Adapter feeds; of any other network its own."""
    inner = config.get("network") if config.get("type") == "Adapter" else None
    return innermost(inner) if isinstance(inner, Mapping) else config


def _own_candidates(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[Candidate]:
    """Yield the config's network, then those with other values of its hidden arguments.

    All have the same tensors, and so the memory of one.
    """
    shared: dict[str, Tensor] = {}
    values = {}
    for key, options in _hidden(config["type"]).items():
        first = config.get(key, options[0])
        values[key] = [first, *(value for value in options if not _are_equal(value, first))]
    for number, combination in enumerate(itertools.product(*values.values())):
        changes = zip(values, combination, strict=True) if number else ()
        candidate = {**config, **dict(changes)}
        with without_drawing():
            network = NETWORKS.build(candidate)
        if not shared:
            shared = {key: tensors[key].to(value.dtype) for key, value in network.state_dict().items()}
        network.load_state_dict(shared, assign=True)
        fuse_branches(network)  # computed once
        yield candidate, network


def _hidden(name: str) -> Mapping[str, Sequence[Any]]:
    return getattr(NETWORKS.get(name), "hidden_arguments", {})


def _are_equal(first: object, second: object) -> bool:
    """True if two arguments are equal; in files tuples are lists."""
    first, second = (list(value) if isinstance(value, tuple) else value for value in (first, second))
    return first == second


def convention_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an Adapter that say how its network is fed; {} of other networks."""
    if config["type"] != "Adapter":
        return {}
    return {key: value for key, value in config.items() if key not in ("type", "scale", "network")}
