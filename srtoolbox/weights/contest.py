"""Candidates for one network, compared on a photograph: what each makes of it, and which is the best."""

from __future__ import annotations

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
from srtoolbox.interfaces import facts_of
from srtoolbox.resize import imresize

Config = dict[str, Any]
Candidate = tuple[Config, nn.Module]

# dB by which another candidate must be better than the one assumed; within ALIKE two are equal
CLEAR_GAIN, CLEAR_MATCH, ALIKE = 0.2, 3.0, 0.2

_PHOTOGRAPH = Path(skimage.__file__).parent / "data" / "coffee.png"
# a part with strong colours: there it shows where red and blue are mixed up
_TOP, _LEFT, _SIDE, _LARGEST_INPUT = 0, 120, 160, 64
_LARGEST_OF_WINDOWS = 40  # of networks without a field, which take longer than their parameters tell
_LARGE, _SIDE_OF_LARGE = 4_000_000, 96  # parameters of networks that would take seconds for it, and their part
AFFORDABLE, AFFORDABLE_PART = 12 * 10**9, 3 * 10**9  # multiply-adds for all candidates, some tenths of a second
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

    Less is a small part of the photograph: those that come near the best there, and the first of
    all, are scored on the whole.

    Args:
        own: the networks that have the tensors.
        ways: how many times these may come again, fed otherwise.

    Attributes:
        results: of those that were scored, in their order.
        count: all that came.
    """

    def __init__(self, own: Sequence[Candidate], ways: int) -> None:
        network = own[0][1]
        self.results: list[Result] = []
        self.count = 0
        self._whole = sample_for(network)
        self._part: Sample | None = None
        # multiply-adds of all candidates for a pixel, as of bodies at the LR size
        cost = len(own) * (1 + ways) * _count_parameters(network)
        side = self._whole.lq.shape[-1]
        if cost * side**2 > AFFORDABLE and len(own) * (1 + ways) > 1:
            less = max(math.isqrt(AFFORDABLE_PART // cost), LEAST_INPUT)
            self._part = sample_for(network, min(less, side) * facts_of(network).scale)
        self._seen: list[Score] = []  # on the part
        self._leader: Candidate | None = None  # there, but for the first of all

    def best(self) -> Result:
        """Return the best so far."""
        return best_of(self.results)

    def enter(self, candidates: Sequence[Candidate]) -> None:
        """Score a round."""
        kept = candidates if self._part is None else self._near_the_best(candidates, self._part)
        self.results += [(config, score_on(network, self._whole)) for config, network in kept]
        self.count += len(candidates)

    def close(self) -> None:
        """Score the one that leads on the part, where the rounds were hopeless."""
        if self._leader is not None and self._is_hopeless():
            config, network = self._leader
            self.results.append((config, score_on(network, self._whole)))

    def _near_the_best(self, candidates: Sequence[Candidate], part: Sample) -> list[Candidate]:
        scores, is_first = [score_on(network, part) for _, network in candidates], not self._seen
        leader = max(range(len(scores)), key=lambda number: scores[number].match)
        if not (is_first and leader == 0) and scores[leader].match > self._most("match"):
            self._leader = candidates[leader]
        self._seen += scores
        measure = "gain" if self._most("gain") > 0 else "match"
        least = self._most(measure) - (NEAR_GAIN if measure == "gain" else NEAR_MATCH)
        order = sorted(range(len(scores)), key=lambda number: -getattr(scores[number], measure))
        near = [] if self._is_hopeless() else order[:NUMBER_NEAR]
        kept = {number for number in near if getattr(scores[number], measure) >= least} | ({0} if is_first else set())
        return [candidates[number] for number in sorted(kept)]

    def _most(self, measure: str) -> float:
        return max((getattr(score, measure) for score in self._seen), default=-math.inf)

    def _is_hopeless(self) -> bool:
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
        return min(_SIDE // scale, _LARGEST_INPUT if has_field else _LARGEST_OF_WINDOWS)
    quick = max(math.isqrt(AFFORDABLE // parameters), _SIDE_OF_LARGE // (4 if scale > 1 else 2))
    return min(_SIDE_OF_LARGE // scale, _LARGEST_INPUT, quick)


def _count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _channels(rgb: Tensor, colour: str) -> Tensor:
    """Return the channels that a network of this colour gives."""
    return rgb_to_ycbcr(rgb)[:, :1] if colour == "y" else rgb


def score_on(network: nn.Module, sample: Sample) -> Score:
    """Return the figures of what a network makes of a part of the photograph."""
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
