"""Resizing float tensors: one operator, opaque to compilers and its own derivative; and parts of a
result from parts of an image, for images larger than memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from srtoolbox.resize.matrix import Matrix, adjoint_of, matrix_of, order_of, output_length, taps_of, with_length

_DENSE = 128  # a shrinking matrix with at most so many columns is applied whole


# One operator for both axes and directions. Defined by hand: torch.library.custom_op would import
# the compiler, seconds of it, at the first call.
torch.library.define(
    "srtoolbox::imresize",
    "(Tensor x, SymInt height, SymInt width, SymInt new_height, SymInt new_width, float? scale, bool symmetric, "
    "bool antialias, bool adjoint) -> Tensor",
)
resize_floats = torch.ops.srtoolbox.imresize.default


@torch.library.impl("srtoolbox::imresize", "default")
def _resize_now(
    x: Tensor,
    height: int,
    width: int,
    new_height: int,
    new_width: int,
    scale: float | None,
    symmetric: bool,
    antialias: bool,
    adjoint: bool,
) -> Tensor:
    """Map (N, C, height, width) to new height and width, or with `adjoint` back, transposed."""
    before, after = (height, width), (new_height, new_width)
    order = order_of(before, after, scale)
    result = x.detach().to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
    with torch.autocast(x.device.type, enabled=False):
        for axis in reversed(order) if adjoint else order:
            make = adjoint_of if adjoint else matrix_of
            result = resize_axis(result, axis + 2, make(before[axis], after[axis], scale, symmetric, antialias))
    return result.to(x.dtype, copy=not order)


@torch.library.register_fake("srtoolbox::imresize")
def _shape_only(x: Tensor, height: int, width: int, new_height: int, new_width: int, *how: object) -> Tensor:
    return x.new_empty(*x.shape[:2], *((height, width) if how[-1] else (new_height, new_width)))


class _Context(Protocol):
    """The object of torch that lives from a forward to its backward."""

    arguments: tuple


def _keep_arguments(ctx: _Context, inputs: tuple, output: Tensor) -> None:
    ctx.arguments = inputs[1:]


def _backward(ctx: _Context, gradient: Tensor) -> tuple:
    *arguments, adjoint = ctx.arguments
    return resize_floats(gradient, *arguments, not adjoint), *[None] * len(ctx.arguments)


torch.library.register_autograd("srtoolbox::imresize", _backward, setup_context=_keep_arguments)


def resize_axis(x: Tensor, dim: int, matrix: Matrix) -> Tensor:
    """Apply a matrix to dimension 2 or 3 of contiguous (N, C, H, W), float32 or float64."""
    if x.device.type != "cpu":
        return _apply_taps(x, dim, matrix)
    if matrix.outputs < matrix.inputs and matrix.inputs > _DENSE:
        return _apply_csr(x, dim, matrix)
    return _apply_blocks(x, dim, matrix)


def _apply_taps(x: Tensor, dim: int, matrix: Matrix) -> Tensor:
    """For accelerators: no matrix product (which may run in TF32), no atomic addition."""
    shape = (-1, 1) if dim == 2 else (-1,)
    (index, weight), *others = matrix.taps(x.dtype, x.device)
    result = x.index_select(dim, index).mul_(weight.view(shape))
    for index, weight in others:
        result.addcmul_(x.index_select(dim, index), weight.view(shape))
    return result


def _apply_csr(x: Tensor, dim: int, matrix: Matrix) -> Tensor:
    """For shrinking long axes on the CPU."""
    csr = matrix.csr64 if x.dtype == torch.float64 else matrix.csr32
    if dim == 2:
        planes = [torch.from_numpy(csr @ plane.numpy()) for plane in x.flatten(0, 1)]
        return torch.stack(planes).view(*x.shape[:2], *planes[0].shape)
    columns = x.view(-1, x.shape[3]).t().contiguous()
    return torch.from_numpy(csr @ columns.numpy()).t().contiguous().view(*x.shape[:3], -1)


def _apply_blocks(x: Tensor, dim: int, matrix: Matrix) -> Tensor:
    """For enlarging, and for short axes, on the CPU: each block writes straight into its place."""
    blocks = matrix.blocks(x.dtype)
    if len(blocks) == 1:
        _, columns, dense = blocks[0]
        part = x.narrow(dim, columns.start, dense.shape[1])
        return torch.matmul(dense, part) if dim == 2 else torch.matmul(part, dense.t())
    result = x.new_empty(with_length(x.shape, dim, matrix.outputs))
    if dim == 3:
        flat, target = x.view(-1, x.shape[3]), result.view(-1, matrix.outputs)
        for rows, columns, dense in blocks:
            torch.mm(flat[:, columns], dense.t(), out=target[:, rows])
        return result
    for plane, target in zip(x.flatten(0, 1), result.flatten(0, 1), strict=True):
        for rows, columns, dense in blocks:
            torch.mm(dense, plane[columns], out=target[rows])
    return result


# ---- parts


class Part(NamedTuple):
    """Pixels `low` ... `high` of the result of resizing an axis of `length` pixels by `scale`.

    An axis that `wraps`, and the result, repeat at both ends, below 0 and from `length` on.
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
    """Return rows and columns of `imresize(image, scale)` but for rounding, not differentiable.

    `window`, float (N, C, h, w), is the pixels `rows.needs` and `columns.needs` of the image.
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
    return Matrix.from_taps(taps - needs.start, weights, needs.stop - needs.start)
