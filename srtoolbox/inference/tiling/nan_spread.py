"""NaN spread from the input of a network to all that can depend on it, whatever the values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from srtoolbox.compat import pytorch
from srtoolbox.compat.pytorch import OpOverload

Keywords = Mapping[str, object]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POINTWISE = _names(  # operators that work value by value, which torch does not tag so
    """
    hardswish hardswish_ _to_copy masked_fill_ _prelu_kernel prelu log_sigmoid_forward hardtanh_
    complex polar rrelu_with_noise rrelu_with_noise_
    """
)
_CARRIERS = _names(  # operators that give NaN wherever a NaN has a part, even one of weight 0
    """
    convolution _convolution convolution_overrideable mm bmm addmm baddbmm addbmm addmv mv dot
    linear native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_no_update native_group_norm native_layer_norm _fused_rms_norm _softmax _safe_softmax
    _log_softmax logsumexp glu sum mean var var_mean std std_mean prod amax amin max min cumsum
    cumprod linalg_vector_norm norm avg_pool2d _adaptive_avg_pool2d max_pool2d_with_indices
    adaptive_max_pool2d im2col col2im upsample_nearest2d _upsample_nearest_exact2d
    upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d index index_select gather
    index_add index_copy index_put index_put_ scatter scatter_add select_scatter slice_scatter trace
    _fft_r2c _fft_c2c _fft_c2r _native_multi_head_attention copy_
    """
)
_MOVES = _names(  # operators that only put values elsewhere, as views do
    """
    cat stack clone repeat flip roll constant_pad_nd pixel_shuffle pixel_unshuffle channel_shuffle
    tril triu rot90 _unsafe_view _reshape_copy lift_fresh lift_fresh_copy contiguous
    """
)
_FORGETS = _names(  # operators that look at the shape only of their first argument
    """
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones
    new_full new_empty new_empty_strided fill_ zero_ normal_ uniform_
    """
)
_READS = (Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr, Tensor.untyped_storage)
"""Methods that give values to Python, or to another library, past all operators."""
_ALL_TRUE = partial(torch.ones_like, dtype=torch.bool)


class Untraceable(Exception):  # noqa: N818 - no error, an answer
    """NaN is lost: an operator decides by values, or is not known here."""


class NanSpread(pytorch.DispatchMode):
    """Keeps NaN in the input visible through all operators, up to the output.

    What has a NaN among its inputs is NaN: behind gates that saturate or clip, too, and behind
    comparisons, masks and `where`, since booleans and whole numbers have a mask beside them that
    says which depend on a NaN.

    Raises:
        Untraceable: something is chosen by values, or the operator is not known.
    """

    def __init__(self) -> None:
        super().__init__()
        # with the tensor: its id shall not be taken again
        self._masks: dict[int, tuple[Tensor, Tensor]] = {}
        self._reads = _Reads(self)

    def __enter__(self) -> NanSpread:
        self._reads.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._reads.__exit__(*error)

    def run(self, func: OpOverload, args: tuple, kwargs: Keywords) -> object:
        """Run an operator, and keep what of its result depends on a NaN visible."""
        name = func.overloadpacket.__name__
        sources = args[1:] if name in _FORGETS or name == "copy_" else args
        inputs = [(tensor, self._mask_of(tensor)) for tensor in _tensors((sources, kwargs))]
        reached = [(tensor, mask) for tensor, mask in inputs if mask is not None]
        if not reached or func.namespace == "prim":
            result = func(*args, **kwargs)
            for out in _tensors(result) if pytorch.is_mutable(func) else ():
                if not pytorch.is_view(out):  # it is written over
                    self._masks.pop(id(out), None)
            return result
        is_plain = all(_can_hold_nan(tensor) for tensor, _ in reached)
        if name == "imresize":
            return self._resize(func, args[0], *args[1:])
        if func.namespace != "aten":
            raise Untraceable(f"{func} is not known")
        is_pointwise = torch.Tag.pointwise in func.tags or name in _POINTWISE
        if is_pointwise or (name == "copy_" and not is_plain):
            return self._pointwise(func, args, kwargs, [mask for _, mask in reached])
        if func.is_view or name in _MOVES:
            return self._move(func, args, kwargs, is_plain)
        if name in _CARRIERS and is_plain:
            return self._mark(func(*args, **kwargs), _ALL_TRUE, func)
        raise Untraceable(f"{func} chooses by values, or is not known")

    def depends(self, tensor: Tensor) -> bool:
        """True if some of it depends on a NaN; the mode itself does not see this."""
        with pytorch.disable_current_modes():
            return self._mask_of(tensor) is not None

    def _mask_of(self, tensor: Tensor) -> Tensor | None:
        """Return the mask of what depends on a NaN; None: nothing."""
        if not _can_hold_nan(tensor):
            return self._masks[id(tensor)][1] if id(tensor) in self._masks else None
        mask = tensor.isnan()
        return mask if mask.any() else None

    def _pointwise(self, func: OpOverload, args: tuple, kwargs: Keywords, masks: list[Tensor]) -> object:
        mask = masks[0]
        for other in masks[1:]:
            mask = mask | other  # before an operator in place changes what they were made of
        result = func(*args, **kwargs)
        for out in _tensors(result):
            if _can_hold_nan(out):
                out.masked_fill_(mask.expand_as(out), float("nan"))
        return self._mark(result, mask.expand_as, func)

    def _resize(self, func: OpOverload, values: Tensor, *others: object) -> Tensor:
        """Run our own resize, whose products skip no weights of 0."""
        mask = values.isnan()
        result = func(values.masked_fill(mask, 0), *others)
        weights = torch.rand(mask.shape, dtype=torch.float64).add_(1).mul_(mask)
        return result.masked_fill_(func(weights, *others) != 0, torch.nan)

    def _move(self, func: OpOverload, args: tuple, kwargs: Keywords, is_plain: bool) -> object:
        result = func(*args, **kwargs)
        if is_plain:
            return self._mark(result, _ALL_TRUE, func)

        def as_mask(leaf: object) -> object:
            if not isinstance(leaf, Tensor):
                return leaf
            mask = self._mask_of(leaf)
            return torch.zeros_like(leaf, dtype=torch.bool) if mask is None else mask

        moved_args, moved_kwargs = pytorch.tree_map(as_mask, (args, dict(kwargs)))
        masks = iter(_tensors(func(*moved_args, **moved_kwargs)))
        return self._mark(result, lambda out: next(masks), func)

    def _mark(self, result: object, mask_of: Callable[[Tensor], Tensor], func: OpOverload) -> object:
        """Remember which of the booleans and whole numbers that came out depend on a NaN."""
        for out in _tensors(result):
            if not _can_hold_nan(out):
                if pytorch.is_mutable(func):  # views of them may be anywhere
                    raise Untraceable(f"{func} writes into a mask")
                self._masks[id(out)] = out, mask_of(out).clone()
        return result


class _Reads(TorchFunctionMode):
    """Raises Untraceable where values that depend on a NaN are read past all operators."""

    def __init__(self, spread: NanSpread) -> None:
        super().__init__()
        self._spread = spread

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Keywords | None = None
    ) -> object:
        if func in _READS and self._spread.depends(args[0]):
            raise Untraceable(f"values are read by {func.__name__}")
        return func(*args, **(kwargs or {}))


def _tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in pytorch.tree_leaves(tree) if isinstance(leaf, Tensor))


def _can_hold_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
