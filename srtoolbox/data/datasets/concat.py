"""Several datasets as one."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.index import Names
from srtoolbox.data.transforms.base import Sample
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.registry import DATASETS


@DATASETS.register
class ConcatDataset(SRDataset):
    """Datasets one after another; each keeps its own crops and transforms.

    Args:
        datasets: configs (or datasets), a list or a named map.
        weights: the relative share of the draws each set gets; None: as many as it has images.

    Raises:
        ConfigError: weights that do not fit the datasets.
        DataError: datasets of different scales.
    """

    def __init__(self, datasets: Sequence[Any] | Mapping[str, Any], weights: Sequence[float] | None = None) -> None:
        entries = datasets.values() if isinstance(datasets, Mapping) else datasets
        entries = [entry for entry in entries if entry is not None]
        self.datasets = [DATASETS.build(e) if isinstance(e, Mapping) else e for e in entries]
        scales = {dataset.scale for dataset in self.datasets}
        if len(scales) != 1:
            raise DataError(f"ConcatDataset needs datasets of one scale, got {sorted(map(str, scales))}")
        self.scale = scales.pop()
        if weights is not None and (len(weights) != len(self.datasets) or min(weights) < 0 or sum(weights) <= 0):
            fault = f"{len(self.datasets)} datasets need as many weights >= 0, got {list(weights)}"
            raise ConfigError(f"ConcatDataset: {fault}", key="weights")
        self.is_share = any(dataset.is_share for dataset in self.datasets)
        self._weights = weights
        self._ends = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self._ends[-1]

    def keys(self) -> Sequence[str]:
        keys = [dataset.keys() for dataset in self.datasets]

        def name(number: int) -> str:
            part, local = self._locate(number)
            return keys[part][local]

        return Names(len(self), name)

    def whole(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        part, local = self._locate(index % len(self))
        return self.datasets[part].whole(local)

    def sample(self, draw: Draw) -> Sample:
        part, local = self._locate(draw.index)
        return self.datasets[part].sample(draw._replace(index=local))

    def leave_out_lq(self) -> None:
        for dataset in self.datasets:
            dataset.leave_out_lq()

    def place(self, draw: Draw) -> Window | None:
        part, local = self._locate(draw.index)
        return self.datasets[part].place(draw._replace(index=local))

    def draw_weights(self) -> np.ndarray | None:
        inner = [dataset.draw_weights() for dataset in self.datasets]
        if self._weights is None and all(weights is None for weights in inner):
            return None
        shares = [len(dataset) for dataset in self.datasets] if self._weights is None else self._weights
        parts = []
        for dataset, weights, share in zip(self.datasets, inner, shares, strict=True):
            weights = np.ones(len(dataset)) if weights is None else weights
            parts.append(weights * (share / weights.sum()))
        return np.concatenate(parts)

    def digest(self) -> str:
        text = "\n".join(dataset.digest() for dataset in self.datasets)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def _locate(self, index: int) -> tuple[int, int]:
        part = bisect.bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)
