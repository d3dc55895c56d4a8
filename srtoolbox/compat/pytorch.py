"""Private names of PyTorch, one function or alias each, with the reason why no public one does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload as OpOverload
from torch.fx.experimental import _config as fx_config
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves as tree_leaves
from torch.utils._pytree import tree_map as tree_map
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

# ---- modules

NormBase = _NormBase
"""The class of all layers that may keep running statistics: batch norms and instance norms."""


def own_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """Return the buffers of a module without those of its children.

    It is the module's own table: `named_buffers` leaves out None and shared ones, and is a copy.
    """
    return module._buffers


def tables(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the module's own parameters, buffers and children by name, to replace them there.

    The public ways walk all modules in Python, for longer than an average of all weights takes.
    """
    return module._parameters, module._buffers, module._modules


def is_persistent(module: nn.Module, buffer: str) -> bool:
    """True if a buffer of a module belongs to its state_dict; modules tell it nowhere else."""
    return buffer not in module._non_persistent_buffers_set


# ---- exports


def no_special_sizes() -> contextlib.AbstractContextManager[Any]:
    """Let what is exported of any size hold where one inside is 1, too, however it was traced.

    Else torch compares sizes with 1 to know how tensors lie in memory, and refuses the export.
    """
    config: Any = fx_config  # its methods are not declared
    return config.patch(backed_size_oblivious=True)


# ---- one kernel for many tensors, as in torch's own optimizers; the public way is one for each

foreach_add_ = torch._foreach_add_
foreach_copy_ = torch._foreach_copy_
foreach_lerp_ = torch._foreach_lerp_
find_non_finite_ = torch._amp_foreach_non_finite_check_and_unscale_
"""(tensors, flag, factor): sets `flag` to 1 if a value is not finite, in one pass over all tensors.

The kernel of torch's gradient scaler, which also multiplies by the factor."""


def scaler_tensors(scaler: torch.amp.GradScaler) -> list[Tensor]:
    """Return scale and growth of a gradient scaler, once it has made them."""
    values = (scaler._scale, scaler._growth_tracker) if scaler.is_enabled() else ()
    return [value for value in values if value is not None]


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """Return the parameters of a module without those of its children: its own table."""
    return module._parameters


def has_gradient_hooks(tensor: Tensor) -> bool:
    """True if a function was given to `tensor.register_hook` or its kind for a gradient."""
    return bool(tensor._backward_hooks or tensor._post_accumulate_grad_hooks)


def end_captures_in(pool: tuple[int, int], device: torch.device) -> None:
    """Let the allocator of a CUDA device know that a capture with this pool broke off.

    `CUDAGraph.capture_end` does so only where it succeeds. Else a capture counts as under way ever
    after, and no tensor that two streams used is freed any more.
    """
    with contextlib.suppress(RuntimeError):  # it knows
        number = torch.cuda.current_device() if device.index is None else device.index
        torch._C._cuda_endAllocateToPool(number, pool)
        torch._C._cuda_releasePool(number, pool)


# ---- what a network does, operator by operator. Torch documents TorchDispatchMode, OpOverload and the
# functions of trees for this, but keeps them in private modules

disable_current_modes = _disable_current_modes
"""A context without any dispatch mode: a mode's own work must not come back to it."""

attention_on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""The operator of attention on the CPU, which torch's own counter of operations does not know."""


class DispatchMode(TorchDispatchMode):
    """Runs each operator by `run`, without importing torch's compiler, which takes seconds."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def run(self, func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> object:
        """Return an operator's result; subclasses watch or change it."""
        return func(*args, **kwargs)

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        return self.run(func, args, kwargs or {})


def is_mutable(func: OpOverload) -> bool:
    """True if an operator writes into its arguments: only its schema says it."""
    return func._schema.is_mutable


def named_arguments(func: OpOverload, args: tuple, kwargs: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments of a call of an operator by their names, with its defaults."""
    given = {argument.name: argument.default_value for argument in func._schema.arguments}
    return given | dict(zip(given, args, strict=False)) | dict(kwargs)


def is_view(tensor: Tensor) -> bool:
    """True if a tensor shares the memory of another one."""
    return tensor._is_view()


def is_compiler_imported() -> bool:
    """True if something may have been compiled.

    Torch.compiler would import the compiler to say so.
    """
    return "torch._dynamo" in sys.modules


# ---- worker processes of a DataLoader, which gives no access to them


class WorkerBatches(_MultiProcessingDataLoaderIter):
    """The batches of a DataLoader with workers, with what its public iterator hides.

    A worker's death raises at the next batch only. PyTorch's own iterator raises wherever the main
    process happens to be, be it in the middle of saving a checkpoint.

    Args:
        loader: its `num_workers` are not 0.
        idle: called while a batch does not come; what it raises ends the wait.
        patience: seconds between two such calls.
    """

    def __init__(self, loader: DataLoader, idle: Callable[[], None], patience: float) -> None:
        self._idle, self._patience = idle, patience
        super().__init__(loader)
        signal_handling._remove_worker_pids(id(self))
        self._worker_pids_set = False

    @property
    def processes(self) -> Sequence[BaseProcess]:
        """The workers, to be killed where they do not end."""
        return self._workers

    def shut_down(self) -> None:
        """Ask the workers to end, and wait until they have."""
        self._shutdown_workers()

    def _try_get_data(self, timeout: float | None = None) -> tuple[bool, Any]:
        answer = super()._try_get_data(timeout or self._patience)
        if not answer[0]:
            self._idle()
        return answer
