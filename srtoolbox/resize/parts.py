"""A part of a resized image from a part of the image: for images larger than memory."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from srtoolbox.resize.floats import resize_axis
from srtoolbox.resize.matrix import Matrix, matrix_of, output_length, taps_of


class Part(NamedTuple):
    """Pixels `low` ... `high` of the result of resizing an axis of `length` pixels by `scale`.

    An axis that `wraps` goes on with itself at both ends, and so does the result: pixels below 0
    and from `length` on are those of its repetitions.
    """

    length: int
    scale: float
    low: int
    high: int
    wraps: bool = False

    @property
    def needs(self) -> slice:
        """The pixels of the axis that these come from."""
        if self.wraps:
            taps, weights = taps_of(np.arange(self.low, self.high), self.scale, True)
            return slice(int(taps[weights != 0].min()), int(taps[weights != 0].max()) + 1)
        columns = self.matrix().csr64[self.low : self.high].indices
        return slice(int(columns.min()), int(columns.max()) + 1)

    def possible(self, known: int) -> int:
        """Return the number of pixels that the first `known` ones of the axis suffice for."""
        if self.wraps:
            taps, weights = taps_of(np.arange(self.high), self.scale, True)
            last = np.where(weights != 0, taps, -np.inf).max(axis=1)
        else:
            csr = self.matrix().csr64
            last = np.maximum.reduceat(csr.indices, csr.indptr[:-1])
        return int(np.searchsorted(np.maximum.accumulate(last), known))

    def matrix(self) -> Matrix:
        """All weights of the axis, which does not wrap."""
        return matrix_of(self.length, output_length(self.length, self.scale), float(self.scale), False, True)


def imresize_part(window: Tensor, rows: Part, columns: Part) -> Tensor:
    """Return a part of `imresize(image, scale)` from its sources alone, equal but for rounding.

    Args:
        window: float (N, C, h, w): the pixels `rows.needs` and `columns.needs` of the image.
        rows: which rows of the result.
        columns: which columns.

    Returns:
        (N, C, rows.high - rows.low, columns.high - columns.low), not differentiable.
    """
    result = window.detach().to(torch.promote_types(window.dtype, torch.float32)).contiguous()
    with torch.autocast(window.device.type, enabled=False):
        for dim, part in ((2, rows), (3, columns)):
            if part.scale != 1:
                result = resize_axis(result, dim, _part_matrix(part))
    return result.to(window.dtype)


@lru_cache(maxsize=128)
def _part_matrix(part: Part) -> Matrix:
    needs = part.needs
    if not part.wraps:
        return Matrix(csr_array(part.matrix().csr64[part.low : part.high, needs]))
    taps, weights = taps_of(np.arange(part.low, part.high), part.scale, True)
    kept = weights != 0
    starts = np.concatenate([[0], kept.sum(axis=1).cumsum()]).astype(np.int32)
    shape = part.high - part.low, needs.stop - needs.start
    return Matrix(csr_array((weights[kept], (taps[kept] - needs.start).astype(np.int32), starts), shape=shape))
