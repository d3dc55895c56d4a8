"""Devices that lack something: MPS float64 and 16-bit pixels, the meta device memory.

On the latter networks are built of which only names and shapes are asked.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srtoolbox.logger import LOGGER

_INIT = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)
_VALUES_ALONE = (Tensor.normal_, Tensor.uniform_, *_INIT, nn.functional.leaky_relu)


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


@contextlib.contextmanager
def without_memory() -> Iterator[None]:
    """Make tensors and modules on the meta device, and draw no random weights for them.

    There the first `normal_` takes a second: it imports PyTorch's compiler. `leaky_relu` is slow.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Skips what does nothing but fill or change values, of which these tensors have none."""

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - what func gives
        kwargs = kwargs or {}
        if func in _VALUES_ALONE:
            tensor = args[0] if args else kwargs.get("tensor", kwargs.get("input"))
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)
