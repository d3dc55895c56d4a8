"""Resizing float tensors: one operator, opaque to compilers and its own derivative, and what it does to an axis."""

from typing import Any

import torch
from torch import Tensor

from srtoolbox.resize.matrix import Matrix, adjoint_of, matrix_of, order_of, with_length

_DENSE = 128  # a shrinking matrix with at most so many columns is applied whole


# One operator for both axes and both directions: opaque to torch.compile and torch.export, and its
# own derivative. Defined by hand: torch.library.custom_op would import the compiler, seconds of it,
# at the first call.
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
    """(N, C, height, width) -> (N, C, new_height, new_width), or with `adjoint` the transposed map, back."""
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


def _keep_arguments(ctx: Any, inputs: tuple, output: Tensor) -> None:  # noqa: ANN401 - torch's context
    ctx.arguments = inputs[1:]


def _backward(ctx: Any, gradient: Tensor) -> tuple:  # noqa: ANN401 - torch's context
    *arguments, adjoint = ctx.arguments
    return resize_floats(gradient, *arguments, not adjoint), *[None] * len(ctx.arguments)


torch.library.register_autograd("srtoolbox::imresize", _backward, setup_context=_keep_arguments)


def resize_axis(x: Tensor, dim: int, matrix: Matrix) -> Tensor:
    """Dimension `dim` (2 or 3) of contiguous (N, C, H, W), float32 or float64, weighted by the matrix."""
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
