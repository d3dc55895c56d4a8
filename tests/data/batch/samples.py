"""Two samples of records of drawn parameters, compared column by column."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

Record = Mapping[str, Any]
CONDITIONS = {"level": "kind", "gray": "kind", "factor": "direction", "beta": "kind", "omega": "size"}
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
