"""The weights with which one axis is resized, as a sparse matrix, in the forms it is applied in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

_BLOCK = 32  # output rows per dense block: the products are cheap, what is written to memory is not


def output_length(length: int, scale: float) -> int:
    """Return ceil(length * scale), where what is whole but for float noise (30 * 0.1) is whole."""
    return max(1, math.ceil(length * scale * (1 - 1e-12) - 1e-9))


def order_of(before: Sequence[int], after: Sequence[int], scale: float | None) -> list[int]:
    """The axes to resize, the one with the smaller factor first, vertical (0) first if equal."""
    factors = [scale or after[axis] / before[axis] for axis in (0, 1)]
    return [axis for axis in sorted((0, 1), key=factors.__getitem__) if factors[axis] != 1]


def with_length(shape: Sequence[int], axis: int, length: int) -> tuple[int, ...]:
    """The shape with another length of one axis."""
    return (*shape[:axis], length, *shape[axis + 1 :])


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


class Matrix:
    """The weights of one axis, (outputs, inputs), as float64 CSR; other forms are made once."""

    def __init__(self, csr: csr_array) -> None:
        self.csr64 = csr
        self.outputs, self.inputs = csr.shape
        self._taps: dict[tuple[torch.dtype, torch.device], list[tuple[Tensor, Tensor]]] = {}
        self._blocks: dict[torch.dtype, list[tuple[slice, slice, Tensor]]] = {}

    @classmethod
    def from_taps(cls, columns: np.ndarray, weights: np.ndarray, inputs: int) -> Matrix:
        """Return the matrix with these entries a row, but for weights of 0."""
        kept = weights != 0
        starts = np.concatenate([[0], kept.sum(axis=1).cumsum()]).astype(np.int32)
        entries = (weights[kept], columns[kept].astype(np.int32), starts)
        return cls(csr_array(entries, shape=(len(weights), inputs)))

    @cached_property
    def csr32(self) -> csr_array:
        return self.csr64.astype(np.float32)

    @cached_property
    def is_safe_in_float32(self) -> bool:
        """True if 8-bit values can be summed in float32 with no wrong rounding: every sum is exact
        (fractions of 4096), or a fraction of 81, which is never half way between two integers.
        """
        return any(np.array_equal(self.csr64.data * d, np.rint(self.csr64.data * d)) for d in (4096.0, 81.0))

    def blocks(self, dtype: torch.dtype) -> list[tuple[slice, slice, Tensor]]:
        """Dense pieces that cover all nonzero weights: (their outputs, their inputs, weights)."""
        if dtype not in self._blocks:
            size = self.outputs if self.outputs < self.inputs or self.inputs <= _BLOCK else _BLOCK
            self._blocks[dtype] = [self._block(start, size, dtype) for start in range(0, self.outputs, size)]
        return self._blocks[dtype]

    def _block(self, start: int, size: int, dtype: torch.dtype) -> tuple[slice, slice, Tensor]:
        rows = self.csr64[start : start + size]
        first, last = int(rows.indices.min(initial=self.inputs - 1)), int(rows.indices.max(initial=0)) + 1
        dense = torch.from_numpy(rows[:, first:last].toarray()).to(dtype)
        return slice(start, start + dense.shape[0]), slice(first, last), dense

    def taps(self, dtype: torch.dtype, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """Per tap, for every output: the input it reads, its weight (0 where taps are fewer)."""
        if (dtype, device) not in self._taps:
            starts, counts = self.csr64.indptr[:-1], np.diff(self.csr64.indptr)
            pairs = []
            for tap in range(int(counts.max())):
                entry = np.minimum(starts + np.clip(tap, 0, counts - 1), self.csr64.nnz - 1)
                weight = np.where(tap < counts, self.csr64.data[entry], 0.0)
                index = torch.from_numpy(self.csr64.indices[entry].astype(np.int64))
                pairs.append((index.to(device), torch.from_numpy(weight).to(dtype).to(device)))
            self._taps[dtype, device] = pairs
        return self._taps[dtype, device]


def taps_of(outputs: np.ndarray, scale: float, antialias: bool) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that those of the result numbered `outputs` come from, within the axis or not, and
    their weights: both (outputs, taps), float64."""
    stretch = scale if antialias and scale < 1 else 1.0
    width = 4 / stretch
    centre = (outputs + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2)
    taps = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = stretch * _cubic(stretch * (centre[:, None] - taps))
    weights[np.abs(weights) < 1e-12] = 0  # noise of the divisions above
    weights /= weights.sum(axis=1, keepdims=True)
    return taps, _without_noise(weights)


@lru_cache(maxsize=128)
def matrix_of(inputs: int, outputs: int, scale: float | None, symmetric: bool, antialias: bool) -> Matrix:
    """MATLAB's weights; `scale` None means outputs / inputs. A row's entries stand in tap order,
    equal columns apart, so that they are summed in MATLAB's order."""
    taps, weights = taps_of(np.arange(outputs), outputs / inputs if scale is None else scale, antialias)
    if symmetric:
        taps = np.mod(taps, 2 * inputs)
        taps = np.where(taps < inputs, taps, 2 * inputs - 1 - taps)
    return Matrix.from_taps(np.clip(taps, 0, inputs - 1), weights, inputs)


def _without_noise(weights: np.ndarray) -> np.ndarray:
    """Make fractions of 4096 (factors 2 and 4) or of 81 (factor 3) exact."""
    for denominator in (4096, 81):
        whole = np.rint(weights * denominator)
        if np.abs(weights * denominator - whole).max() < 1e-9:
            return whole / denominator
    return weights


@lru_cache(maxsize=128)
def adjoint_of(*key: int | float | bool | None) -> Matrix:
    """The transposed weights of `matrix_of(*key)`."""
    transposed = csr_array(matrix_of(*key).csr64.T.tocsr())
    transposed.sum_duplicates()
    return Matrix(transposed)


def upsampling_kernel(factor: int) -> list[float]:
    """Enlarging by a whole factor as a convolution: 5 weights for each of `factor` phases, one
    after another. Output `factor * i + p` is phase p over the inputs i - 2 ... i + 2, those outside
    being the edge pixel.
    """
    rows = matrix_of(9, 9 * factor, None, False, True).csr64.toarray()[4 * factor : 5 * factor]
    return rows[:, 2:7].ravel().tolist()
