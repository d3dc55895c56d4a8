"""Samples: crops of photographs, statistics of LQ, records of parameters, and two samples compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2_contingency, ks_2samp

from srtoolbox.image import read_image
from srtoolbox.image.statistics import STATISTICS

Record = Mapping[str, Any]
CONDITIONS = {
    "beta": "kind",
    "divisor": "scale",
    "factor": "direction",
    "gray": "kind",
    "level": "kind",
    "omega": "size",
    "sigma": "scale",
    "variance1": "scale",
    "variance2": "scale",
}
"""Parameters whose distribution depends on another one of the same step."""


def columns(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """Return the values of each parameter, apart for each value of what it depends on."""
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        for name, value in record.items():
            step, _, parameter = name.rpartition("_")
            if (condition := CONDITIONS.get(parameter)) is not None:
                name = f"{name} of {record[f'{step}_{condition}']}"
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def p_values(ours: Sequence[Record], theirs: Sequence[Record]) -> dict[str, float]:
    """Return how likely two samples of one distribution differ as these do, for each parameter.

    Words, whole numbers and truths by chi-squared, other numbers by Kolmogorov and Smirnov and by
    their ends: how many values of one sample lie beyond all of the other. A parameter that one of
    them lacks has 0, unless it is there too seldom to tell.
    """
    sides = columns(ours), columns(theirs)
    found = {}
    for name in sorted(sides[0].keys() | sides[1].keys()):
        values = [side.get(name, np.empty(0)) for side in sides]
        if min(map(len, values)) < 10:
            found[name] = 0.0 if max(map(len, values)) > 40 else 1.0
        elif values[0].dtype.kind == "f":
            found[name] = float(ks_2samp(*values).pvalue) if np.ptp(np.concatenate(values)) else 1.0
            found[f"{name}, ends"] = _p_of_ends(*values)
        else:
            found[name] = _p_of_counts(*values)
    return found


def _p_of_counts(ours: np.ndarray, theirs: np.ndarray) -> float:
    kinds = np.unique(np.concatenate([ours, theirs]))
    table = [[np.count_nonzero(side == kind) for kind in kinds] for side in (ours, theirs)]
    return float(chi2_contingency(table).pvalue) if len(kinds) > 1 else 1.0


def _p_of_ends(ours: np.ndarray, theirs: np.ndarray) -> float:
    """A value that lies above all others is of either sample with the probability of its share."""
    p = 1.0
    share = len(ours) / (len(ours) + len(theirs))
    for one, other, part in ((ours, theirs, share), (theirs, ours, 1 - share)):
        beyond = max(np.count_nonzero(one > other.max()), np.count_nonzero(one < other.min()))
        p = min(p, 4 * part**beyond)
    return p


def photographs(root: Path) -> list[np.ndarray]:
    paths = [path for name in ("T91", "General100", "BSDS500/train") for path in sorted((root / name).iterdir())]
    found = [read_image(path) for path in paths if path.suffix in (".png", ".jpg")]
    return [image for image in found if min(image.shape[:2]) >= 160 and image.shape[2] == 3]


def random_crops(images: list[np.ndarray], count: int, side: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for number in range(count):
        image = images[number % len(images)]
        top, left = (rng.integers(length - side + 1) for length in image.shape[:2])
        yield image[top : top + side, left : left + side]


def statistics_of(lq: torch.Tensor) -> dict[str, float]:
    """Statistics of an image (C, h, w), of 8 bits."""
    image = (lq * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return {name: function(image) for name, function in STATISTICS.items()}
