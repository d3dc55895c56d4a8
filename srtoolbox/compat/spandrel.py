"""Private names of spandrel, with the reason why no public one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:  # an extra, which may be missing
    from spandrel import ImageModelDescriptor


def call_of(descriptor: ImageModelDescriptor) -> Callable[[Any, Tensor], Tensor]:
    """Return what runs the module of a descriptor: (module, image in [0, 1]) -> image.

    The public way, to call the descriptor, clips the result, and gives no gradients.
    """
    return descriptor._call_fn
