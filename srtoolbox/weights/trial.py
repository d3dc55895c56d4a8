"""Networks that fit a file's tensors equally, tried on a photograph: only one of them is what was trained.

Activations, ranges, means and the order of channels leave no trace in tensors. The wrong one still makes an image, and
nobody is warned. So each candidate enlarges a photograph that was reduced here. Networks trained for such pairs are
ranked by their gain in PSNR over bicubic interpolation; others (GANs, real degradations, scale 1) by how much the
result, shrunk back, has in common with what it was made from, by which all are judged, too: it needs no truth and holds
for whatever a network was trained for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import skimage
import torch
from torch import Tensor, nn

from srtoolbox.devices import to_exact, without_memory
from srtoolbox.image import read_image, rgb_to_ycbcr, to_tensor
from srtoolbox.inference.restore import evaluation, restore
from srtoolbox.registry import NETWORKS
from srtoolbox.resize import imresize

Config = dict[str, Any]

REVISION = 2
"""Counts changes of what is tried and how, for verdicts that are kept."""
SOUND, REFUSED = 25.0, 20.0
"""dB of agreement: from the first on nothing is said; below the second the file is refused. docs/other_weights.md has
the table that they come from."""
CLEAR_GAIN, CLEAR_MATCH, ALIKE = 0.2, 3.0, 0.2
"""dB by which another candidate must be better than the one assumed to take its place; within ALIKE two are equal."""

_PHOTOGRAPH = Path(skimage.__file__).parent / "data" / "coffee.png"
_TOP, _LEFT, _SIDE, _LARGEST_INPUT = 0, 120, 160, 64  # strong colours: where red and blue are mixed up, it shows
_LARGE, _SIDE_OF_LARGE = 4_000_000, 96  # parameters of networks that would take seconds for all of it
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
}
# these change little and are tried last, on what is best by then
LAST = {"rgb": {"BGR": {"order": "bgr"}}, "y": {"luma of the full range": {"peak": 255 / 219, "mean": 16 / 255}}}


class Score(NamedTuple):
    """The figures of what a network made of the photograph."""

    gain: float
    """PSNR above bicubic interpolation's, dB; -inf at scale 1, where there is nothing to compare with."""
    match: float
    """PSNR of the result, shrunk back, against the input, dB."""


class Trial(NamedTuple):
    """The outcome for all candidates."""

    config: Config
    """The best one."""
    score: Score
    assumed: Score
    """Of the first one."""
    count: int
    """How many were tried."""


def try_on_photograph(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Trial:
    """Find the network that was trained, among all that have these tensors.

    Args:
        config: the network to begin with, which stays unless another one is clearly better.
        tensors: its state_dict.
    """
    networks = list(_own_candidates(config, tensors))
    colour, sample = networks[0][1].colour, _sample(networks[0][1])
    tried = [(candidate, _score(network, sample)) for candidate, network in networks]
    assumed, count = tried[0][1], len(tried)

    def fed(conventions: Collection[Mapping[str, Any]]) -> list[tuple[Config, Score]]:
        pairs = itertools.product(networks, conventions)
        adapters = [_adapted(candidate, network, convention) for (candidate, network), convention in pairs]
        return [(candidate, _score(adapter, sample)) for candidate, adapter in adapters]

    if config["type"] != "Adapter":  # which says how it is fed
        if _best(tried) is not tried[0] or not _convinces(assumed):
            tried += fed((CONVENTIONS | RGB_CONVENTIONS if colour == "rgb" else CONVENTIONS).values())
        known = _convention_of(_best(tried)[0])
        bases = [{}, known] if known and colour == "rgb" else [{}]  # the best range may be another in the right order
        late = fed([{**base, **convention} for base in bases for convention in LAST[colour].values()])
        count, tried = len(tried) + len(late), [_best(tried), *late]
    return Trial(*_best(tried), assumed, count)


def describe(config: Mapping[str, Any]) -> list[str]:
    """Name what tensors do not tell of a network: ["activation='relu'", 'images in 0 ... 255', 'BGR']."""
    inner = innermost(config)
    words = []
    for key, values in _hidden(inner["type"]).items():
        value = inner.get(key, values[0])
        if len(values) > 1 and value:
            words.append(f"{key}={_shown(value)}")
    if inner is not config:
        convention = _convention_of(config)
        order = {"order": convention.pop("order")} if "order" in convention else None
        named = {**CONVENTIONS, **RGB_CONVENTIONS, **LAST["rgb"], **LAST["y"]}
        words += [name for part in (convention, order) for name, known in named.items() if part == known]
    return words


def _shown(value: object) -> str:
    """A value as people read it: a range or a mean with three digits."""
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_shown, value))})"
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def innermost(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of the network that an Adapter feeds; of any other network its own."""
    inner = config.get("network") if config.get("type") == "Adapter" else None
    return innermost(inner) if isinstance(inner, Mapping) else config


def _own_candidates(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[tuple[Config, nn.Module]]:
    """The config's network, then those with other values of its hidden arguments."""
    hidden = _hidden(config["type"])
    values = {key: [config[key]] if key in config else [known[0]] for key, known in hidden.items()}
    for key, known in hidden.items():
        values[key] += [value for value in known if not _equal(value, values[key][0])]
    for number, chosen in enumerate(itertools.product(*values.values())):
        candidate = {**config, **dict(zip(values, chosen, strict=True))} if number else dict(config)
        network = NETWORKS.build(candidate)
        network.load_state_dict(tensors)
        yield candidate, network


def _hidden(name: str) -> Mapping[str, Sequence[Any]]:
    return getattr(NETWORKS.get(name), "hidden_arguments", {})


def _equal(first: object, second: object) -> bool:
    """Configs from files have lists where ours have tuples."""
    first, second = (list(value) if isinstance(value, tuple) else value for value in (first, second))
    return first == second


def _adapted(config: Config, network: nn.Module, convention: Mapping[str, Any]) -> tuple[Config, nn.Module]:
    adapted = {"type": "Adapter", "scale": network.scale, "network": config, **convention}
    with without_memory():
        adapter = NETWORKS.build(adapted)
    adapter.network = network
    return adapted, adapter


def _convention_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an Adapter that say how its network is fed; {} of other networks."""
    if config["type"] != "Adapter":
        return {}
    return {key: value for key, value in config.items() if key not in ("type", "scale", "network")}


def _sample(network: nn.Module) -> tuple[Tensor, Tensor, float]:
    """(GT, LQ as RGB, PSNR of bicubic interpolation): a crop of the photograph, reduced in 8 bits."""
    scale, colour = network.scale, network.colour
    is_large = sum(parameter.numel() for parameter in network.parameters()) > _LARGE
    side = min((_SIDE_OF_LARGE if is_large else _SIDE) // scale, _LARGEST_INPUT) * scale
    image = read_image(_PHOTOGRAPH)[_TOP : _TOP + side, _LEFT : _LEFT + side]
    lq = to_tensor(imresize(image, 1 / scale) if scale > 1 else image)
    gt = _seen(to_tensor(image), colour)
    return gt, lq, _psnr(imresize(_seen(lq, colour), scale), gt) if scale > 1 else math.inf


def _seen(rgb: Tensor, colour: str) -> Tensor:
    """The channels that a network of this colour is asked for."""
    return rgb_to_ycbcr(rgb)[:, :1] if colour == "y" else rgb


def _score(network: nn.Module, sample: tuple[Tensor, Tensor, float]) -> Score:
    gt, lq, bicubic = sample
    with evaluation(network), torch.inference_mode():
        sr = restore(network, lq).output.float().clamp(0, 1)
    back = sr if sr.shape[-2:] == lq.shape[-2:] else imresize(sr, size=lq.shape[-2:])
    return Score(_psnr(sr, gt) - bicubic, _psnr(back, _seen(lq, network.colour)))


def _psnr(image: Tensor, target: Tensor) -> float:
    """dB for values in [0, 1]; -inf where something is not finite, at most 99."""
    error = float(to_exact((image - target).square()).mean(dtype=torch.float64))
    return min(-10 * math.log10(max(error, 1e-12)), 99.0) if math.isfinite(error) else -math.inf


def _convinces(score: Score) -> bool:
    """True if nothing can be fed wrongly: better than bicubic, or as near to it as GANs come and like its input."""
    return score.gain > 0 or ((score.gain > -3 or score.gain == -math.inf) and score.match >= SOUND + 5)


def _best(tried: Sequence[tuple[Config, Score]]) -> tuple[Config, Score]:
    """The first candidate, or where another is clearly better, the best; the earlier one of two that are alike."""
    by_gain = max(score.gain for _, score in tried) > 0
    values = [score.gain if by_gain else score.match for _, score in tried]
    if values[0] >= max(values) - (CLEAR_GAIN if by_gain else CLEAR_MATCH):
        return tried[0]
    return next(each for each, value in zip(tried, values, strict=True) if value >= max(values) - ALIKE)
