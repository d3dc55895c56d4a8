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
from pathlib import Path
from typing import Any, NamedTuple

import skimage
import torch
from torch import Tensor, nn

from srtoolbox.devices import to_exact, without_memory
from srtoolbox.image import read_image, rgb_to_ycbcr, to_tensor
from srtoolbox.inference.restore import evaluation, restore
from srtoolbox.interfaces import facts_of
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize

Config = dict[str, Any]

REVISION = 3  # counts changes of what is tried and how, for verdicts that are kept
# dB of agreement: from the first on nothing is said, below the second the file is refused
SOUND, REFUSED = 25.0, 20.0  # docs/other_weights.md has the table that they come from
# dB by which another candidate must be better than the one assumed; within ALIKE two are equal
CLEAR_GAIN, CLEAR_MATCH, ALIKE = 0.2, 3.0, 0.2

_PHOTOGRAPH = Path(skimage.__file__).parent / "data" / "coffee.png"
# a part with strong colours: there it shows where red and blue are mixed up
_TOP, _LEFT, _SIDE, _LARGEST_INPUT = 0, 120, 160, 64
_LARGE, _SIDE_OF_LARGE = 4_000_000, 96  # parameters of networks that would take seconds for it
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
# these change little and are tried last, on what is best by then
LAST: dict[str, dict[str, dict[str, Any]]] = {
    "rgb": {"BGR": {"order": "bgr"}},
    "y": {"luma of the full range": {"peak": 255 / 219, "mean": 16 / 255}},
}


class Score(NamedTuple):
    """The figures of what a network made of the photograph."""

    gain: float  # PSNR above bicubic interpolation's, dB; -inf at scale 1, which has no other
    match: float  # PSNR of the result, shrunk back, against the input, dB


@dataclass(frozen=True)
class Trial:
    """The outcome for all candidates."""

    config: Config  # of the best one
    score: Score
    assumed: Score  # of the first one
    count: int


def try_on_photograph(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Trial:
    """Find the network that was trained, among all that have these tensors.

    Args:
        config: the network to begin with, which stays unless another one is clearly better.
        tensors: its state_dict.
    """
    networks = list(_own_candidates(config, tensors))
    colour, sample = facts_of(networks[0][1]).colour, _sample(networks[0][1])
    results = [(candidate, _score(network, sample)) for candidate, network in networks]
    assumed, count = results[0][1], len(results)

    def score_adapters(conventions: Collection[Mapping[str, Any]]) -> list[tuple[Config, Score]]:
        scores = []
        for (candidate, network), way in itertools.product(networks, conventions):
            scale = facts_of(network).scale
            adapted = {"type": "Adapter", "scale": scale, "network": candidate, **way}
            with without_memory():
                adapter = NETWORKS.build(adapted)
            adapter.network = network
            scores.append((adapted, _score(adapter, sample)))
        return scores

    if not _says_how_it_is_fed(config):
        if _best(results) is not results[0] or not _is_convincing(assumed):
            results += score_adapters(_ways(colour))
        late = score_adapters(_last_ways(convention_of(_best(results)[0]), colour))
        count, results = len(results) + len(late), [_best(results), *late]
    return Trial(*_best(results), assumed, count)


def _says_how_it_is_fed(config: Mapping[str, Any]) -> bool:
    """True for an Adapter, and for networks whose ranges another library knows."""
    return config["type"] == "Adapter" or getattr(NETWORKS.get(config["type"]), "ranges_are_known", False)


def try_ways(network: nn.Module) -> Trial:
    """Find how a network is fed that comes as it is, out of another program.

    Returns:
        the outcome, whose config is that of an `Adapter` around any network.
    """
    colour, sample = facts_of(network).colour, _sample(network)

    def score(way: Mapping[str, Any]) -> tuple[Config, Score]:
        return dict(way), _score(fed(network, way), sample)

    results = [score({})]
    assumed = results[0][1]
    if not _is_convincing(assumed):
        results += map(score, _ways(colour))
    late = [score(way) for way in _last_ways(_best(results)[0], colour)]
    way, best = _best([_best(results), *late])
    config = {"type": "Adapter", "scale": facts_of(network).scale, "network": {"type": "Bicubic"}, **way}
    return Trial(config, best, assumed, len(results) + len(late))


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


def _own_candidates(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[tuple[Config, nn.Module]]:
    """Yield the config's network, then those with other values of its hidden arguments."""
    values = {}
    for key, options in _hidden(config["type"]).items():
        first = config.get(key, options[0])
        values[key] = [first, *(value for value in options if not _are_equal(value, first))]
    for number, combination in enumerate(itertools.product(*values.values())):
        changes = zip(values, combination, strict=True) if number else ()
        candidate = {**config, **dict(changes)}
        network = NETWORKS.build(candidate)
        network.load_state_dict(tensors)
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


def _sample(network: nn.Module) -> tuple[Tensor, Tensor, float]:
    """Return (GT, LQ as RGB, PSNR of bicubic interpolation): a crop, reduced in 8 bits."""
    scale, colour = facts_of(network).scale, facts_of(network).colour
    is_large = sum(parameter.numel() for parameter in network.parameters()) > _LARGE
    side = min((_SIDE_OF_LARGE if is_large else _SIDE) // scale, _LARGEST_INPUT) * scale
    image = read_image(_PHOTOGRAPH)[_TOP : _TOP + side, _LEFT : _LEFT + side]
    lq = to_tensor(imresize(image, 1 / scale) if scale > 1 else image)
    gt = _channels(to_tensor(image), colour)
    if scale == 1:
        return gt, lq, math.inf
    return gt, lq, _psnr(imresize(_channels(lq, colour), scale), gt)


def _channels(rgb: Tensor, colour: str) -> Tensor:
    """Return the channels that a network of this colour gives."""
    return rgb_to_ycbcr(rgb)[:, :1] if colour == "y" else rgb


def _score(network: nn.Module, sample: tuple[Tensor, Tensor, float]) -> Score:
    gt, lq, bicubic = sample
    with evaluation(network), torch.inference_mode():
        sr = restore(network, lq).output.float().clamp(0, 1)
    size = (lq.shape[-2], lq.shape[-1])
    back = sr if sr.shape[-2:] == size else imresize(sr, size=size)
    truth = _channels(lq, facts_of(network).colour)
    return Score(_psnr(sr, gt) - bicubic, _psnr(back, truth))


def _psnr(image: Tensor, target: Tensor) -> float:
    """Return dB for values in [0, 1]; -inf where something is not finite, at most 99."""
    error = float(to_exact((image - target).square()).mean(dtype=torch.float64))
    return min(-10 * math.log10(max(error, 1e-12)), 99.0) if math.isfinite(error) else -math.inf


def _best(results: Sequence[tuple[Config, Score]]) -> tuple[Config, Score]:
    """Return the first candidate, or where another is clearly better, the best.

    Of two that are alike the earlier one is taken.
    """
    by_gain = max(score.gain for _, score in results) > 0
    values = [score.gain if by_gain else score.match for _, score in results]
    if values[0] >= max(values) - (CLEAR_GAIN if by_gain else CLEAR_MATCH):
        return results[0]
    alike = [value >= max(values) - ALIKE for value in values]
    return results[alike.index(True)]
