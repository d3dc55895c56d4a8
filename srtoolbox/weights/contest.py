"""Candidates for one network, compared on a photograph: what each makes of it, and the best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import skimage
import torch
from torch import Tensor, nn

from srtoolbox.devices import to_exact
from srtoolbox.image import read_image, rgb_to_ycbcr, to_tensor
from srtoolbox.inference.restore import evaluation, restore
from srtoolbox.interfaces import NetworkWrapper, Refinable, facts_of, unwrap
from srtoolbox.models.networks.adapter import Adapter
from srtoolbox.resize import imresize

Config = dict[str, Any]
Candidate = tuple[Config, nn.Module]

# dB by which another candidate must be better than the one assumed; within ALIKE two are equal
CLEAR_GAIN, CLEAR_MATCH, ALIKE = 0.2, 3.0, 0.2

_PHOTOGRAPH = Path(skimage.__file__).parent / "data" / "coffee.png"
# a part with strong colours: there it shows where red and blue are mixed up
_TOP, _LEFT, _SIDE, _LARGEST_INPUT = 0, 120, 160, 64
# of networks without a field, which take longer than their parameters tell
_LARGEST_OF_WINDOWS = 32
# parameters of networks that would take seconds for it, and their part
_LARGE, _SIDE_OF_LARGE = 4_000_000, 96
_AFFORDABLE_IMAGE = 28 * 10**8  # multiply-adds for one image of the others
_WINDOWS = 4  # times what their parameters tell is what networks without a field take
# multiply-adds for all candidates, some tenths of a second
AFFORDABLE, AFFORDABLE_PART = 12 * 10**9, 3 * 10**9
LEAST_INPUT = 12  # pixels of a side
# dB below the best on a part of it within which candidates are tried on the whole, how many at most,
# and the agreement of the best below which none is right
NEAR_GAIN, NEAR_MATCH, NUMBER_NEAR, HOPELESS = 1.0, 3.0, 3, 16.0


class Score(NamedTuple):
    """The figures of what a network made of the photograph."""

    gain: float  # PSNR above bicubic interpolation's, dB; -inf at scale 1, which has no other
    match: float  # PSNR of the result, shrunk back, against the input, dB


Result = tuple[Config, Score]


class Sample(NamedTuple):
    """A part of the photograph."""

    gt: Tensor  # as a network's results are
    lq: Tensor  # RGB
    bicubic: float  # PSNR of bicubic interpolation


class Contest:
    """Candidates that come in rounds: scored, or where that is costly, first compared on less.

    Less is a small part of the photograph, on which those that differ only in how one network is
    fed are one batch. Those that come near the best there, and the first of all, are scored on the
    whole; none is while all agree too little with the part.

    Args:
        own: the networks that have the tensors.
        ways: how many times these may come again, fed otherwise.

    Attributes:
        results: of those that were scored, in their order.
        assumed: that of the first of all.
        is_hopeless: all agree too little with the part; the results are those on it.
        count: all that came.
    """

    def __init__(self, own: Sequence[Candidate], ways: int) -> None:
        network = own[0][1]
        self.results: list[Result] = []
        self.assumed: Result
        self.count = 0
        self._first = own[0]
        self._whole = sample_for(network)
        self._part: Sample | None = None
        # multiply-adds of all candidates for a pixel of LR
        cost = len(own) * (1 + ways) * _cost_of_pixel(network)
        side = self._whole.lq.shape[-1]
        if cost * side**2 > AFFORDABLE and len(own) * (1 + ways) > 1:
            less = max(math.isqrt(AFFORDABLE_PART // cost), LEAST_INPUT)
            self._part = sample_for(network, min(less, side) * facts_of(network).scale)
        self._seen: list[Score] = []  # on the part
        self._leader: Result | None = None  # there, but for the first of all
        self.is_hopeless = self._part is not None  # so far

    def best(self) -> Result:
        """Return the best so far."""
        return best_of(self.results)

    def enter(self, candidates: Sequence[Candidate]) -> None:
        """Score a round; the first one begins with the first of all."""
        kept = candidates if self._part is None else self._near_the_best(candidates, self._part)
        if self.is_hopeless and not self._agrees_too_little():
            self.is_hopeless = False
            kept, self.results = [self._first, *(each for each in kept if each is not self._first)], []
        results = [(config, score_on(network, self._whole)) for config, network in kept]
        if self.is_hopeless and not self.count:
            results = [(self._first[0], self._seen[0])]
        if results and not self.results:
            self.assumed = results[0]
        self.results += results
        self.count += len(candidates)

    def close(self) -> None:
        """Add the one that leads on the part, where all were hopeless."""
        if self._leader is not None:
            self.results.append(self._leader)

    def _near_the_best(self, candidates: Sequence[Candidate], part: Sample) -> list[Candidate]:
        scores, is_first = scores_on([network for _, network in candidates], part), not self._seen
        leader = max(range(len(scores)), key=lambda number: scores[number].match)
        if not (is_first and leader == 0) and scores[leader].match > self._most("match"):
            self._leader = (candidates[leader][0], scores[leader])
        self._seen += scores
        if self._agrees_too_little():
            return []
        measure = "gain" if self._most("gain") > 0 else "match"
        least = self._most(measure) - (NEAR_GAIN if measure == "gain" else NEAR_MATCH)
        order = sorted(range(len(scores)), key=lambda number: -getattr(scores[number], measure))
        near = {number for number in order[:NUMBER_NEAR] if getattr(scores[number], measure) >= least}
        return [candidates[number] for number in sorted(near)]

    def _most(self, measure: str) -> float:
        return max((getattr(score, measure) for score in self._seen), default=-math.inf)

    def _agrees_too_little(self) -> bool:
        return self._most("match") < HOPELESS


def sample_for(network: nn.Module, side: int | None = None) -> Sample:
    """Return a crop, reduced in 8 bits; of this side, or as large as the network is quick."""
    scale, colour = facts_of(network).scale, facts_of(network).colour
    if side is None:
        side = _input_side(network) * scale
    image = read_image(_PHOTOGRAPH)[_TOP : _TOP + side, _LEFT : _LEFT + side]
    lq = to_tensor(imresize(image, 1 / scale) if scale > 1 else image)
    gt = _channels(to_tensor(image), colour)
    if scale == 1:
        return Sample(gt, lq, math.inf)
    return Sample(gt, lq, _psnr(imresize(_channels(lq, colour), scale), gt))


def _input_side(network: nn.Module) -> int:
    """Return the side of what a network is tried on: less for those that would take seconds."""
    parameters, scale = _count_parameters(network), facts_of(network).scale
    if parameters <= _LARGE:
        has_field = scale == 1 or facts_of(network).receptive_field is not None
        quick = max(math.isqrt(_AFFORDABLE_IMAGE // max(parameters, 1)), LEAST_INPUT)
        return min(_SIDE // scale, _LARGEST_INPUT if has_field else _LARGEST_OF_WINDOWS, quick)
    quick = max(math.isqrt(AFFORDABLE // parameters), _SIDE_OF_LARGE // (4 if scale > 1 else 2))
    return min(_SIDE_OF_LARGE // scale, _LARGEST_INPUT, quick)


def _count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _cost_of_pixel(network: nn.Module) -> int:
    """Return about the multiply-adds for a pixel of LR."""
    facts, inner = facts_of(network), unwrap(network)
    times = facts.scale**2 if isinstance(inner, Refinable) else 1
    if facts.receptive_field is None:
        times *= _WINDOWS
    return max(_count_parameters(network), 1) * times


def _channels(rgb: Tensor, colour: str) -> Tensor:
    """Return the channels that a network of this colour gives."""
    return rgb_to_ycbcr(rgb)[:, :1] if colour == "y" else rgb


def score_on(network: nn.Module, sample: Sample) -> Score:
    """Return the figures of what a network makes of a part of the photograph."""
    return _scores(network, sample, 1)[0]


def scores_on(networks: Sequence[nn.Module], sample: Sample) -> list[Score]:
    """Return the figures of several: Adapters of one network that come together are one batch."""
    scores = []
    for _, group in itertools.groupby(networks, lambda network: (isinstance(network, Adapter), id(_fed_by(network)))):
        alike = list(group)
        together = _Together(alike) if len(alike) > 1 else alike[0]
        scores += _scores(together, sample, len(alike))
    return scores


def _fed_by(network: nn.Module) -> nn.Module:
    """Return the network in an Adapter; any other as it is."""
    return network.network if isinstance(network, Adapter) else network


class _Together(NetworkWrapper):
    """Adapters of one network: the n-th image of a batch goes the way of the n-th."""

    def __init__(self, adapters: Sequence[nn.Module]) -> None:
        super().__init__(_fed_by(adapters[0]))
        self.adapters = [adapter for adapter in adapters if isinstance(adapter, Adapter)]

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] for N adapters -> (N, C, scale * H, scale * W)."""
        pairs = zip(self.adapters, lq.split(1), strict=True)
        results = self.network(torch.cat([adapter.enter(image) for adapter, image in pairs])).split(1)
        return torch.cat([adapter.leave(sr) for adapter, sr in zip(self.adapters, results, strict=True)])


def _scores(network: nn.Module, sample: Sample, count: int) -> list[Score]:
    """Return the figures of each image of what a network makes of `count` copies of a part."""
    gt, lq, bicubic = sample
    with evaluation(network), torch.inference_mode():
        batch = restore(network, lq.expand(count, -1, -1, -1)).output.float().clamp(0, 1)
    size = (lq.shape[-2], lq.shape[-1])
    truth = _channels(lq, facts_of(network).colour)
    scores = []
    for sr in batch.split(1):
        back = sr if sr.shape[-2:] == size else imresize(sr, size=size)
        scores.append(Score(_psnr(sr, gt) - bicubic, _psnr(back, truth)))
    return scores


def _psnr(image: Tensor, target: Tensor) -> float:
    """Return dB for values in [0, 1]; -inf where something is not finite, at most 99."""
    error = float(to_exact((image - target).square()).mean(dtype=torch.float64))
    return min(-10 * math.log10(max(error, 1e-12)), 99.0) if math.isfinite(error) else -math.inf


def best_of(results: Sequence[Result]) -> Result:
    """Return the first candidate, or where another is clearly better, the best.

    Of two that are alike the earlier one is taken.
    """
    by_gain = max(score.gain for _, score in results) > 0
    values = [score.gain if by_gain else score.match for _, score in results]
    if values[0] >= max(values) - (CLEAR_GAIN if by_gain else CLEAR_MATCH):
        return results[0]
    alike = [value >= max(values) - ALIKE for value in values]
    return results[alike.index(True)]
