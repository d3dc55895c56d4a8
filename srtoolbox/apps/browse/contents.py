"""The contents of a page of samples, as values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from srtoolbox.apps.browse.feed import SeenSample
from srtoolbox.apps.browse.likeness import Comparison
from srtoolbox.apps.browse.severity import Ladder
from srtoolbox.apps.browse.steps import Value, shown
from srtoolbox.text import counted


@dataclass
class Browsed:
    """The samples that a training gives its network, and what is measured on them.

    Attributes:
        page, sheet: the files.
        seed, draw: of the first sample.
        samples: those on the page.
        tries: draws of each crop under the slider; None where there is nothing to draw.
        ladders: the crops under the slider, the mildest degradation first.
        statistics: of LQ (n,), by name.
        parameters: by step and parameter, what was drawn in the n samples: arrays of the samples in
            which the step acted.
        acted: in how many of the samples each step acted.
        untold: transforms that do not tell what they draw.
        seen: LQ of the first of the measured samples, HWC.
        yours: statistics of the photographs of `like`.
        photos: some crops of theirs, HWC.
        comparisons: of both.
        note: how many crops there are of them, and which were left out; '' without `like`.
        is_luma: True if the network takes luma, in which the restorer turns what is shown.
    """

    page: Path
    sheet: Path
    seed: int
    draw: int
    samples: list[SeenSample]
    tries: int | None = None
    ladders: list[Ladder] = field(default_factory=list)
    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, dict[str, list[Value]]] = field(default_factory=dict)
    acted: Counter[str] = field(default_factory=Counter)
    untold: list[str] = field(default_factory=list)
    seen: list[np.ndarray] = field(default_factory=list)
    yours: dict[str, np.ndarray] = field(default_factory=dict)
    photos: list[np.ndarray] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    note: str = ""
    is_luma: bool = False

    def __repr__(self) -> str:
        return f"Browsed(page={self.page}, sheet={self.sheet}, {len(self.samples)} samples)"

    @property
    def measured(self) -> int:
        """The number of samples that the statistics are of."""
        return len(next(iter(self.statistics.values()), ()))

    def lines(self) -> list[str]:
        """Return what a command says of it."""
        lines = []
        for name, values in self.statistics.items():
            finite = values[np.isfinite(values)]
            if len(finite):
                low, middle, high = (shown(float(value)) for value in np.quantile(finite, (0.05, 0.5, 0.95)))
                lines.append(f"{name:<11} {middle} (90 % between {low} and {high})")
        lines = [f"LQ of {counted(self.measured, 'sample')}:", *lines] if lines else []
        lines += [f"Your photos, {self.note}:"] if self.note else []
        lines += [f"- {' '.join(comparison.sentences())}" for comparison in self.comparisons]
        return [*lines, f"page: {self.page}", f"sheet: {self.sheet}"]
