"""A network on tensors in the precision that is asked for, or in a finer one where that gives no picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.restore import restore
from srtoolbox.logger import LOGGER

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Restoring:
    """`restore` under autocast: weights stay float32, convolutions and matrix products run in `dtype`.

    Half precision ends at 65504: a network whose values go beyond gives infinite or black pixels. Where that happens
    it is run again in float32, as is everything after.

    Args:
        network: one of NETWORKS.
        dtype: one of DTYPES.
    """

    def __init__(self, network: nn.Module, dtype: str) -> None:
        self.network, self.dtype = network, DTYPES[dtype]

    def __call__(self, lq: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] -> float (N, C, scale * h, scale * w).

        Raises:
            SrtoolboxError: the network's values are not finite in float32 either.
        """
        result = self._run(lq)
        if _is_finite(result):
            return result
        if self.dtype != torch.float32:
            name = str(self.dtype).removeprefix("torch.")
            LOGGER.warning("the result in %s is not finite (its range is too small for it): going on in float32", name)
            self.dtype = torch.float32
            result = self._run(lq)
            if _is_finite(result):
                return result
        raise SrtoolboxError("the network gives values that are not finite: its weights are ruined or not for it")

    def _run(self, lq: Tensor) -> Tensor:
        with torch.autocast(lq.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return restore(self.network, lq).rgb


def _is_finite(result: Tensor) -> bool:
    return bool(result.sum(dtype=torch.float32).isfinite())
