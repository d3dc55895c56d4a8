"""Devices that lack something: MPS float64 and 16-bit pixels, the meta device memory.

And memory that does not suffice, and calls that wait for a device. On the meta device networks are
built of which only names and shapes are asked.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srtoolbox.logger import LOGGER

_INIT = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)
_VALUES_ALONE = (Tensor.normal_, Tensor.uniform_, *_INIT, nn.functional.leaky_relu)
_SHORTAGES = (
    *("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory"),
    *("bad_alloc", "cudnn_status_alloc_failed", "cublas_status_alloc_failed"),
    # of oneDNN
    *("could not create a primitive", "could not create a memory", "could not execute a primitive"),
)


def release_generator(device: torch.device) -> None:
    """Let a CUDA device's random numbers go on after a capture that broke off."""
    index = torch.cuda.current_device() if device.index is None else device.index
    generator = torch.cuda.default_generators[index]
    generator.graphsafe_set_state(generator.clone_state())


def lacks_float64(device: torch.device | str | None) -> bool:
    """True if a device cannot compute in float64, as MPS."""
    return device is not None and torch.device(device).type == "mps"


def to_exact(tensor: Tensor) -> Tensor:
    """Return the tensor where it can be summed in float64: on its device, or else on the CPU."""
    if not lacks_float64(tensor.device):
        return tensor
    tell_once("MPS has no float64: metrics are computed on the CPU")
    return tensor.cpu()


@functools.cache
def tell_once(text: str) -> None:
    """Log a sentence the first time."""
    LOGGER.info(text)


def is_out_of_memory(error: BaseException) -> bool:
    """True if torch or numpy says that memory did not suffice; on the CPU only in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _SHORTAGES)


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Let float32 be float32: cuDNN would round the inputs of convolutions to 10 bits (TF32).

    Scores show that, and so do differences of means. torch keeps this twice, for each kind of
    layer and as one flag over all, and refuses to read the flag while the two disagree, as
    `torch.backends.cudnn.flags()` does. So both are set, wherever nobody has set them apart before.
    """
    cudnn = torch.backends.cudnn
    kinds = [getattr(cudnn, name) for name in ("conv", "rnn")]  # torch's stubs do not know them
    before = [kind.fp32_precision for kind in kinds]
    try:
        allowed = cudnn.allow_tf32
    except RuntimeError:
        allowed = None
    try:
        if allowed is not None:
            cudnn.allow_tf32 = False  # first: it resets the others
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        if allowed is not None:
            cudnn.allow_tf32 = allowed
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Let products of float32 matrices be float32 on this device, despite autocast and settings.

    Torch may be set to TF32, and on a CPU to bfloat16. Other devices' settings are not touched: a
    thread that makes batches on the CPU works beside the steps of a GPU.
    """
    on_cpu = getattr(torch.backends.mkldnn, "matmul", None)  # unknown to the stubs of torch
    backends = {"cpu": on_cpu, "cuda": torch.backends.cuda.matmul}
    matmul = backends.get(device.type)
    before = None if matmul is None else matmul.fp32_precision
    has_autocast = torch.amp.is_autocast_available(device.type)
    try:
        if matmul is not None:
            matmul.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False) if has_autocast else contextlib.nullcontext():
            yield
    finally:
        if matmul is not None:
            matmul.fp32_precision = before


@contextlib.contextmanager
def without_memory() -> Iterator[None]:
    """Make tensors and modules on the meta device, and draw no random weights for them.

    There the first `normal_` takes a second: it imports PyTorch's compiler. `leaky_relu` is slow.
    """
    with torch.device("meta"), _Undrawn():
        yield


@contextlib.contextmanager
def without_drawing() -> Iterator[None]:
    """Make modules whose weights are zeros in place of random numbers: others are to be loaded.

    Drawing takes most of the time for a large network.
    """
    with _Zeros():
        yield


# what gives a value to Python, or has a size that only the values tell
_READS = {
    **{getattr(Tensor, name): f".{name}()" for name in ("item", "tolist", "cpu", "numpy", "nonzero", "masked_select")},
    **{getattr(Tensor, f"__{name}__"): f"{name}()" for name in ("bool", "float", "int", "index", "array", "format")},
    **{getattr(torch, name): f"torch.{name}()" for name in ("equal", "allclose", "nonzero", "masked_select", "unique")},
    Tensor.equal: ".equal()",
    Tensor.allclose: ".allclose()",
}
_OWN = ("_place", "note", "__torch_function__")
_TORCH = os.path.dirname(torch.__file__)
_MAKERS = {torch.tensor: "torch.tensor()", torch.as_tensor: "torch.as_tensor()", Tensor.new_tensor: ".new_tensor()"}
_MOVES = {Tensor.to: ".to()", Tensor.cuda: ".cuda()"}


class DeviceWaits(TorchFunctionMode):
    """Counts the calls inside at which Python waits for a device.

    Attributes:
        calls: how often, by (call, place as FILE:LINE): such as ('.item()', '/home/me/loss.py:12').
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple[str, str]] = Counter()

    def device_of(self, tensor: Tensor) -> torch.device:
        """Return where a tensor is."""
        return tensor.device

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        kwargs = kwargs or {}
        self.note(func, args, kwargs)
        return func(*args, **kwargs)

    def note(self, func: Callable, args: tuple, kwargs: Mapping[str, Any]) -> None:
        """Count a call if it waits."""
        name = self._waits(func, args, kwargs)
        if name:
            self.calls[name, _place()] += 1

    def _is_far(self, tensor: Tensor) -> bool:
        return self.device_of(tensor).type != "cpu"

    def _waits(self, func: Callable, args: tuple, kwargs: Mapping[str, Any]) -> str | None:
        """Return what is called if it waits, else None."""
        if func in _MAKERS:
            device = kwargs.get("device", self.device_of(args[0]) if func is Tensor.new_tensor else None)
            return _MAKERS[func] if device is not None and torch.device(device).type != "cpu" else None
        if func in _READS and any(isinstance(arg, Tensor) and self._is_far(arg) for arg in args[:2]):
            return _READS[func]
        if func in _MOVES and not kwargs.get("non_blocking"):
            target = kwargs.get("device", next((arg for arg in args[1:] if not isinstance(arg, torch.dtype)), None))
            if func is Tensor.cuda:
                target = target or "cuda"
            device = target.device if isinstance(target, Tensor) else target
            is_other = isinstance(device, str | int | torch.device) and torch.device(device) != self.device_of(args[0])
            return _MOVES[func] if is_other else None
        if func is torch.where and len(args) == 1 and not kwargs:
            return "torch.where(condition)" if self._is_far(args[0]) else None
        is_mask = func is Tensor.__getitem__ and isinstance(args[1], Tensor) and args[1].dtype == torch.bool
        return "[mask]" if is_mask and self._is_far(args[1]) else None


def _place() -> str:
    """Return FILE:LINE of the innermost call that is none of PyTorch's or of this watch."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_name in _OWN or frame.f_code.co_filename.startswith(_TORCH)):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class _Undrawn(TorchFunctionMode):
    """Skips what does nothing but fill or change values, of which these tensors have none."""

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        kwargs = kwargs or {}
        if func in _VALUES_ALONE:
            tensor = args[0] if args else kwargs.get("tensor", kwargs.get("input"))
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


class _Zeros(TorchFunctionMode):
    """Fills with zeros what would be filled with random numbers."""

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        kwargs = kwargs or {}
        if func is Tensor.normal_ or func is Tensor.uniform_:
            return args[0].zero_()
        return func(*args, **kwargs)
