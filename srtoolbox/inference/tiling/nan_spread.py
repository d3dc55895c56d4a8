"""Which outputs of a network can depend on which inputs, whatever the values: NaN as a dye that nothing washes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POINTWISE = _names(
    "hardswish hardswish_ _to_copy masked_fill_ _prelu_kernel prelu log_sigmoid_forward hardtanh_ complex polar "
    "rrelu_with_noise rrelu_with_noise_"
)
"""Operators that work value by value, which torch does not tag so."""
_CARRIERS = _names(
    "convolution _convolution convolution_overrideable mm bmm addmm baddbmm addbmm addmv mv dot linear "
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_no_update "
    "native_group_norm native_layer_norm _fused_rms_norm _softmax _safe_softmax _log_softmax logsumexp glu "
    "sum mean var var_mean std std_mean prod amax amin max min cumsum cumprod linalg_vector_norm norm "
    "avg_pool2d _adaptive_avg_pool2d max_pool2d_with_indices adaptive_max_pool2d im2col col2im "
    "upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa "
    "_upsample_bicubic2d_aa reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d "
    "index index_select gather index_add index_copy index_put index_put_ scatter scatter_add select_scatter "
    "slice_scatter trace _fft_r2c _fft_c2c _fft_c2r _native_multi_head_attention copy_"
)
"""Operators that give NaN wherever a NaN among what they were given has a part, even one of weight 0."""
_MOVES = _names(
    "cat stack clone repeat flip roll constant_pad_nd pixel_shuffle pixel_unshuffle channel_shuffle tril triu rot90 "
    "_unsafe_view _reshape_copy lift_fresh lift_fresh_copy contiguous"
)
"""Operators that only put values elsewhere, as views do."""
_FORGETS = _names(
    "zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full "
    "new_empty new_empty_strided fill_ zero_ normal_ uniform_"
)
"""Operators that look at the shape only of their first argument."""
_READS = (Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr, Tensor.untyped_storage)
"""Methods that give values to Python, or to another library, past all operators."""


class Untraceable(Exception):  # noqa: N818 - no error, an answer
    """The dye was lost: an operator decides by values, or is not known here."""


class Dye(TorchDispatchMode):
    """Keeps NaN in the input visible through all operators, up to the output.

    What has a NaN among its inputs is NaN: through gates that saturate or clip, by themselves; through comparisons,
    masks and `where`, since here booleans and whole numbers have a mask beside them that says which depend on a NaN.

    Raises:
        Untraceable: by values something is chosen (sorting, indices, Python's `if`), or the operator is not known.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; otherwise torch would import its compiler first."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self._masks: dict[int, tuple[Tensor, Tensor]] = {}  # with the tensor: its id shall not be taken again
        self._reads = _Reads(self)

    def __enter__(self) -> Dye:
        self._reads.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._reads.__exit__(*error)

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - what func gives
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        sources = args[1:] if name in _FORGETS or name == "copy_" else args
        dyed = [(tensor, self._dyed(tensor)) for tensor in _tensors((sources, kwargs))]
        dyed = [(tensor, mask) for tensor, mask in dyed if mask is not None]
        if not dyed or func.namespace == "prim":
            return self._clean(func(*args, **kwargs), func)
        is_plain = all(_can_hold_nan(tensor) for tensor, _ in dyed)
        if name == "imresize":
            return self._weigh(func, args[0], *args[1:])
        if func.namespace != "aten":
            raise Untraceable(f"{func} is not known")
        if torch.Tag.pointwise in func.tags or name in _POINTWISE or (name == "copy_" and not is_plain):
            return self._pointwise(func, args, kwargs, [mask for _, mask in dyed])
        if func.is_view or name in _MOVES:
            return self._move(func, args, kwargs, is_plain)
        if name in _CARRIERS and is_plain:
            return self._mark(func(*args, **kwargs), lambda out: torch.ones_like(out, dtype=torch.bool), func)
        raise Untraceable(f"{func} chooses by values, or is not known")

    def has_dyed(self, tensor: Tensor) -> bool:
        """True if some of it depends on a NaN; outside the operators, so not seen by the mode itself."""
        with _disable_current_modes():
            return self._dyed(tensor) is not None

    def _dyed(self, tensor: Tensor) -> Tensor | None:
        """Mask of what depends on a NaN; None: nothing."""
        if not _can_hold_nan(tensor):
            return self._masks[id(tensor)][1] if id(tensor) in self._masks else None
        mask = tensor.isnan()
        return mask if mask.any() else None

    def _pointwise(self, func: OpOverload, args: tuple, kwargs: Mapping[str, Any], masks: list[Tensor]) -> Any:  # noqa: ANN401
        mask = masks[0]
        for other in masks[1:]:
            mask = mask | other  # before an operator in place changes what they were made of
        result = func(*args, **kwargs)
        for out in _tensors(result):
            if _can_hold_nan(out):
                out.masked_fill_(mask.expand_as(out), float("nan"))
        return self._mark(result, mask.expand_as, func)

    def _weigh(self, func: OpOverload, values: Tensor, *others: object) -> Tensor:
        """Our own resize, whose products skip no weights of 0."""
        mask = values.isnan()
        result = func(values.masked_fill(mask, 0), *others)
        reached = func(torch.rand(mask.shape, dtype=torch.float64).add_(1).mul_(mask), *others) != 0
        return result.masked_fill_(reached, torch.nan)

    def _move(self, func: OpOverload, args: tuple, kwargs: Mapping[str, Any], is_plain: bool) -> Any:  # noqa: ANN401
        result = func(*args, **kwargs)
        if is_plain:
            return self._mark(result, lambda out: torch.ones_like(out, dtype=torch.bool), func)
        moved = tree_map(lambda leaf: self._as_mask(leaf) if isinstance(leaf, Tensor) else leaf, (args, dict(kwargs)))
        masks = iter(_tensors(func(*moved[0], **moved[1])))
        return self._mark(result, lambda out: next(masks), func)

    def _as_mask(self, tensor: Tensor) -> Tensor:
        mask = self._dyed(tensor)
        return torch.zeros_like(tensor, dtype=torch.bool) if mask is None else mask

    def _mark(self, result: Any, mask_of: Callable[[Tensor], Tensor], func: OpOverload) -> Any:  # noqa: ANN401
        """Remember which of the booleans and whole numbers that came out depend on a NaN."""
        for out in _tensors(result):
            if not _can_hold_nan(out):
                if func._schema.is_mutable:  # other tensors may be views of it, of which nothing is known here
                    raise Untraceable(f"{func} writes into a mask")
                self._masks[id(out)] = out, mask_of(out).clone()
        return result

    def _clean(self, result: Any, func: OpOverload) -> Any:  # noqa: ANN401
        """Forget what was known of a tensor that was written over."""
        if func._schema.is_mutable:
            for out in _tensors(result):
                if not out._is_view():
                    self._masks.pop(id(out), None)
        return result


class _Reads(TorchFunctionMode):
    """Raises Untraceable where values that depend on a NaN are read past all operators."""

    def __init__(self, dye: Dye) -> None:
        super().__init__()
        self._dye = dye

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - what func gives
        if func in _READS and self._dye.has_dyed(args[0]):
            raise Untraceable(f"values are read by {func.__name__}")
        return func(*args, **(kwargs or {}))


def _tensors(tree: Any) -> Iterator[Tensor]:  # noqa: ANN401 - any nested arguments
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _can_hold_nan(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
