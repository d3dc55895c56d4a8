"""MATLAB's bicubic `imresize`: bit for bit on integer pictures, batched and differentiable on float tensors.

The kernel is Keys' cubic convolution with a = -0.5 (Keys 1981), widened by the factor when shrinking (antialiasing).
Each axis is one sparse matrix, cached, and applied in the form that is fastest where the data lies: scipy's CSR or
dense blocks on the CPU, one gather per tap on a GPU (a matrix product could run in TF32). All are deterministic. 8-bit
pictures are shrunk by 2, 4 and 8 by torch's own kernel, after a proof that it sums exactly.
"""

import math
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor

Border = Literal["replicate", "symmetric"]
Image = TypeVar("Image", np.ndarray, Tensor)

_BLOCK = 32  # output rows per dense block: the products are cheap, what is written to memory is not
_DENSE = 128  # a shrinking matrix with at most so many columns is applied whole


def imresize(
    image: Image,
    scale: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    border: Border = "replicate",
    antialias: bool = True,
) -> Image:
    """Resize like MATLAB's `imresize(image, scale, 'bicubic')`.

    Args:
        image: HW or HWC array of uint8 or uint16, or a float tensor (N, C, H, W) on any device.
        scale: factor for both axes, above 1 to enlarge; the result has ceil(H * scale) x ceil(W * scale) pixels.
        size: (height, width) of the result instead of `scale`; each axis then has its own factor.
        border: what lies outside the picture: the edge pixel ("replicate": the MATLAB that made the published LR sets)
            or the mirrored picture ("symmetric": MATLAB of today).
        antialias: widen the kernel when shrinking.

    Returns:
        The same kind and dtype. Arrays are rounded (half up) and clipped after *each* pass, the axis with the smaller
        factor first, vertical first if equal, as MATLAB does with integers. Tensors are neither rounded nor clipped,
        and the result is differentiable, any number of times; float16 and bfloat16 are summed in float32.

    Raises:
        ValueError: an image, scale, size or border that is not one of the above.
    """
    _check_image(image)
    if border not in ("replicate", "symmetric"):
        raise ValueError(f"border is 'replicate' or 'symmetric', got {border!r}")
    is_tensor = isinstance(image, Tensor)
    before = image.shape[2:] if is_tensor else image.shape[:2]
    after = _target(before, scale, size)
    how = (None if scale is None else float(scale), border == "symmetric", antialias)
    if is_tensor:
        return _resize(image, *before, *after, *how, False)
    for axis in _order(before, after, how[0]):
        image = _pass_integer(image, axis, (before[axis], after[axis], *how))
    return image


def _check_image(image: object) -> None:
    if isinstance(image, Tensor):
        if image.ndim != 4 or not image.is_floating_point() or 0 in image.shape[2:]:
            raise ValueError(f"a tensor to resize is float (N, C, H, W), got {image.dtype} {tuple(image.shape)}")
    elif not isinstance(image, np.ndarray):
        raise ValueError(f"imresize takes an array or a tensor, got {type(image).__name__}")
    elif image.ndim not in (2, 3) or image.dtype not in (np.uint8, np.uint16) or 0 in image.shape:
        raise ValueError(f"an array to resize is HW or HWC uint8 or uint16, got {image.dtype} {image.shape}")


def _target(before: Sequence[int], scale: float | None, size: tuple[int, int] | None) -> tuple[int, int]:
    if (scale is None) == (size is None):
        raise ValueError("imresize needs either a scale or a size")
    if size is not None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size is (height, width) in pixels, got {size!r}")
        return size[0], size[1]
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale is a finite number above 0, got {scale!r}")
    return output_length(before[0], scale), output_length(before[1], scale)


def _order(before: Sequence[int], after: Sequence[int], scale: float | None) -> list[int]:
    """The axes to resize, the one with the smaller factor first, vertical (0) first if equal."""
    factors = [scale or after[axis] / before[axis] for axis in (0, 1)]
    return [axis for axis in sorted((0, 1), key=factors.__getitem__) if factors[axis] != 1]


def output_length(length: int, scale: float) -> int:
    """ceil(length * scale), where a product that is whole but for float noise (30 * 0.1) counts as whole."""
    return max(1, math.ceil(length * scale * (1 - 1e-12) - 1e-9))


class Part(NamedTuple):
    """Pixels `low` ... `high` of the result of resizing an axis of `length` pixels by `scale`."""

    length: int
    scale: float
    low: int
    high: int

    @property
    def needs(self) -> slice:
        """The pixels of the axis that these come from."""
        columns = self._matrix().csr64[self.low : self.high].indices
        return slice(int(columns.min()), int(columns.max()) + 1)

    def possible(self, known: int) -> int:
        """How many pixels from the first can be made of the first `known` of the axis."""
        csr = self._matrix().csr64
        last = np.maximum.reduceat(csr.indices, csr.indptr[:-1])
        return int(np.searchsorted(np.maximum.accumulate(last), known))

    def _matrix(self) -> "_Matrix":
        return _matrix(self.length, output_length(self.length, self.scale), float(self.scale), False, True)


def imresize_part(window: Tensor, rows: Part, columns: Part) -> Tensor:
    """A part of what `imresize(picture, scale)` gives, from only what it comes from; equal but for float rounding.

    Args:
        window: float (N, C, h, w): the pixels `rows.needs` and `columns.needs` of the picture.
        rows: which rows of the result.
        columns: which columns.

    Returns:
        (N, C, rows.high - rows.low, columns.high - columns.low), not differentiable.
    """
    result = window.detach().to(torch.promote_types(window.dtype, torch.float32)).contiguous()
    with torch.autocast(window.device.type, enabled=False):
        for dim, part in ((2, rows), (3, columns)):
            if part.scale != 1:
                result = _pass_float(result, dim, _part_matrix(part))
    return result.to(window.dtype)


# ---- the matrix of one axis


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


class _Matrix:
    """The weights of one axis, (outputs, inputs), in float64 CSR; other forms are made at first use and kept."""

    def __init__(self, csr: csr_array) -> None:
        self.csr64 = csr
        self.outputs, self.inputs = csr.shape
        self._taps: dict[tuple[torch.dtype, torch.device], list[tuple[Tensor, Tensor]]] = {}
        self._blocks: dict[torch.dtype, list[tuple[slice, slice, Tensor]]] = {}

    @cached_property
    def csr32(self) -> csr_array:
        return self.csr64.astype(np.float32)

    @cached_property
    def is_safe_in_float32(self) -> bool:
        """Whether 8-bit values can be summed in float32 with no wrong rounding: every sum is exact (fractions of 4096),
        or a fraction of 81, which is never half way between two integers."""
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
        """Per tap, for every output: the input it reads and its weight (0 where a row has fewer taps)."""
        if (dtype, device) not in self._taps:
            starts, counts = self.csr64.indptr[:-1], np.diff(self.csr64.indptr)
            pairs = []
            for tap in range(int(counts.max())):
                entry = np.minimum(starts + np.clip(tap, 0, counts - 1), self.csr64.nnz - 1)
                weight = np.where(tap < counts, self.csr64.data[entry], 0.0)
                index = torch.from_numpy(self.csr64.indices[entry].astype(np.int64))
                pairs.append((index.to(device), torch.from_numpy(weight).to(device, dtype)))
            self._taps[dtype, device] = pairs
        return self._taps[dtype, device]


@lru_cache(maxsize=128)
def _matrix(inputs: int, outputs: int, scale: float | None, symmetric: bool, antialias: bool) -> _Matrix:
    """MATLAB's weights; `scale` None means outputs / inputs. A row's entries stand in tap order, equal columns apart,
    so that they are summed in MATLAB's order."""
    scale = outputs / inputs if scale is None else scale
    stretch = scale if antialias and scale < 1 else 1.0
    width = 4 / stretch
    centre = (np.arange(outputs) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2)
    taps = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = stretch * _cubic(stretch * (centre[:, None] - taps))
    weights[np.abs(weights) < 1e-12] = 0  # noise of the divisions above
    weights /= weights.sum(axis=1, keepdims=True)
    weights = _without_noise(weights)
    if symmetric:
        taps = np.mod(taps, 2 * inputs)
        taps = np.where(taps < inputs, taps, 2 * inputs - 1 - taps)
    columns = np.clip(taps, 0, inputs - 1)
    kept = weights != 0
    starts = np.concatenate([[0], kept.sum(axis=1).cumsum()]).astype(np.int32)
    return _Matrix(csr_array((weights[kept], columns[kept].astype(np.int32), starts), shape=(outputs, inputs)))


@lru_cache(maxsize=128)
def _part_matrix(part: Part) -> "_Matrix":
    csr = part._matrix().csr64[part.low : part.high, part.needs]
    return _Matrix(csr_array(csr))


def _without_noise(weights: np.ndarray) -> np.ndarray:
    """Weights that are fractions of 4096 (factors 2 and 4) or of 81 (factor 3) but for float noise, made exactly so."""
    for denominator in (4096, 81):
        whole = np.rint(weights * denominator)
        if np.abs(weights * denominator - whole).max() < 1e-9:
            return whole / denominator
    return weights


@lru_cache(maxsize=128)
def _adjoint(*key: int | float | bool | None) -> _Matrix:
    transposed = csr_array(_matrix(*key).csr64.T.tocsr())
    transposed.sum_duplicates()
    return _Matrix(transposed)


def upsampling_kernel(factor: int) -> list[float]:
    """Enlarging by a whole factor as a convolution: 5 weights for each of `factor` phases, one after another. Output
    `factor * i + p` is phase p over the inputs i - 2 ... i + 2, those outside being the edge pixel.
    """
    rows = _matrix(9, 9 * factor, None, False, True).csr64.toarray()[4 * factor : 5 * factor]
    return rows[:, 2:7].ravel().tolist()


# ---- integer arrays


def _pass_integer(image: np.ndarray, axis: int, key: tuple[int, int, float | None, bool, bool]) -> np.ndarray:
    """One pass over an HW or HWC array, rounded and clipped."""
    inputs, outputs, scale, symmetric, antialias = key
    factor = round(1 / scale) if scale else inputs // outputs
    is_plain = not symmetric and antialias and image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] <= 4)
    if factor in (2, 4, 8) and (scale or outputs / inputs) == 1 / factor and is_plain and _torch_is_exact(factor):
        return _pass_torch(image, axis, outputs, factor)
    return _pass_csr(image, axis, _matrix(*key))


def _pass_csr(image: np.ndarray, axis: int, matrix: _Matrix) -> np.ndarray:
    fast = image.dtype == np.uint8 and matrix.is_safe_in_float32
    csr = matrix.csr32 if fast else matrix.csr64
    rows = image.reshape(image.shape[0], -1).astype(csr.dtype)
    if axis == 1:  # (H, W * C) -> (W, C * H): a plain transposition, which torch does in cache-sized pieces
        rows = torch.from_numpy(rows).t().contiguous().view(image.shape[1], -1).numpy()
    sums = torch.from_numpy(csr @ rows)
    peak = np.iinfo(image.dtype).max
    sums.add_(0.5).clamp_(0, peak + 0.5)  # then cutting off the fraction rounds half up
    if axis == 1:
        sums = sums.view(-1, image.shape[0]).t()
    values = sums.to(getattr(torch, image.dtype.name), memory_format=torch.contiguous_format).numpy()
    return values.reshape(*_with(image.shape, axis, matrix.outputs))


def _pass_torch(image: np.ndarray, axis: int, outputs: int, factor: int) -> np.ndarray:
    """Shrinking uint8 by 2, 4 or 8: torch's 8-bit kernel sums in integers, with weights of 15 bits, which hold these
    factors' weights exactly. Only its border is another, so two outputs more are made at each end, and cut off."""
    margin = 2 * factor
    missing = outputs * factor - image.shape[axis]
    widths = [(margin, margin + missing) if dim == axis else (0, 0) for dim in range(image.ndim)]
    padded = np.pad(image, widths, mode="edge")
    planes = torch.from_numpy(padded if image.ndim == 3 else padded[..., None]).permute(2, 0, 1)[None]
    size = _with(padded.shape[:2], axis, outputs + 4)
    result = F.interpolate(planes, size=size, mode="bicubic", antialias=True).narrow(axis + 2, 2, outputs)
    return np.ascontiguousarray(result[0].permute(1, 2, 0).numpy()).reshape(_with(image.shape, axis, outputs))


@cache
def _torch_is_exact(factor: int) -> bool:
    """Whether this build of torch keeps the promise of `_pass_torch`, tried once on noise."""
    noise = np.random.default_rng(0).integers(0, 256, (16 * factor + 1, 9 * factor, 3), dtype=np.uint8)
    noise[: 4 * factor] = noise[: 4 * factor] // 128 * 255  # overshoots are clipped
    for axis in (0, 1):
        outputs = -(-noise.shape[axis] // factor)
        exact = _pass_csr(noise, axis, _matrix(noise.shape[axis], outputs, 1 / factor, False, True))
        if not np.array_equal(_pass_torch(noise, axis, outputs, factor), exact):
            return False
    return True


def _with(shape: Sequence[int], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis + 1 :])


# ---- float tensors


# One operator for both axes and both directions: opaque to torch.compile and torch.export, and its own derivative.
# Defined by hand: torch.library.custom_op would import the compiler, seconds of it, at the first call.
torch.library.define(
    "srtoolbox::imresize",
    "(Tensor x, SymInt height, SymInt width, SymInt new_height, SymInt new_width, float? scale, bool symmetric, "
    "bool antialias, bool adjoint) -> Tensor",
)
_resize = torch.ops.srtoolbox.imresize.default


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
    order = _order(before, after, scale)
    result = x.detach().to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
    with torch.autocast(x.device.type, enabled=False):
        for axis in reversed(order) if adjoint else order:
            make = _adjoint if adjoint else _matrix
            result = _pass_float(result, axis + 2, make(before[axis], after[axis], scale, symmetric, antialias))
    return result.to(x.dtype, copy=not order)


@torch.library.register_fake("srtoolbox::imresize")
def _shape_only(x: Tensor, height: int, width: int, new_height: int, new_width: int, *how: object) -> Tensor:
    return x.new_empty(*x.shape[:2], *((height, width) if how[-1] else (new_height, new_width)))


def _keep_arguments(ctx: Any, inputs: tuple, output: Tensor) -> None:  # noqa: ANN401 - torch's context
    ctx.arguments = inputs[1:]


def _backward(ctx: Any, gradient: Tensor) -> tuple:  # noqa: ANN401 - torch's context
    *arguments, adjoint = ctx.arguments
    return _resize(gradient, *arguments, not adjoint), *[None] * len(ctx.arguments)


torch.library.register_autograd("srtoolbox::imresize", _backward, setup_context=_keep_arguments)


def _pass_float(x: Tensor, dim: int, matrix: _Matrix) -> Tensor:
    if x.device.type != "cpu":
        return _apply_taps(x, dim, matrix)
    if matrix.outputs < matrix.inputs and matrix.inputs > _DENSE:
        return _apply_csr(x, dim, matrix)
    return _apply_blocks(x, dim, matrix)


def _apply_taps(x: Tensor, dim: int, matrix: _Matrix) -> Tensor:
    """For accelerators: no matrix product (which may run in TF32), no atomic addition."""
    shape = (-1, 1) if dim == 2 else (-1,)
    (index, weight), *others = matrix.taps(x.dtype, x.device)
    result = x.index_select(dim, index).mul_(weight.view(shape))
    for index, weight in others:
        result.addcmul_(x.index_select(dim, index), weight.view(shape))
    return result


def _apply_csr(x: Tensor, dim: int, matrix: _Matrix) -> Tensor:
    """For shrinking long axes on the CPU."""
    csr = matrix.csr64 if x.dtype == torch.float64 else matrix.csr32
    if dim == 2:
        planes = [torch.from_numpy(csr @ plane.numpy()) for plane in x.flatten(0, 1)]
        return torch.stack(planes).view(*x.shape[:2], *planes[0].shape)
    columns = x.view(-1, x.shape[3]).t().contiguous()
    return torch.from_numpy(csr @ columns.numpy()).t().contiguous().view(*x.shape[:3], -1)


def _apply_blocks(x: Tensor, dim: int, matrix: _Matrix) -> Tensor:
    """For enlarging, and for short axes, on the CPU: each block writes straight into its place."""
    blocks = matrix.blocks(x.dtype)
    if len(blocks) == 1:
        _, columns, dense = blocks[0]
        part = x.narrow(dim, columns.start, dense.shape[1])
        return torch.matmul(dense, part) if dim == 2 else torch.matmul(part, dense.t())
    result = x.new_empty(_with(x.shape, dim, matrix.outputs))
    if dim == 3:
        flat, target = x.view(-1, x.shape[3]), result.view(-1, matrix.outputs)
        for rows, columns, dense in blocks:
            torch.mm(flat[:, columns], dense.t(), out=target[:, rows])
        return result
    for plane, target in zip(x.flatten(0, 1), result.flatten(0, 1), strict=True):
        for rows, columns, dense in blocks:
            torch.mm(dense, plane[columns], out=target[rows])
    return result
