"""What a network costs: parameters, operations, time and memory of one forward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from srtoolbox.inference.tiling.memory_model import peak_bytes


class Cost(NamedTuple):
    """The cost of one forward pass in eval mode, float32, without gradients."""

    parameters: int
    trainable: int
    flops: int
    """Of convolutions and matrix products; other operations (activations, interpolation) are not counted."""
    macs: int
    """Multiply-accumulates: half the FLOPs. What papers call Multi-Adds."""
    seconds: float
    """Median over the runs after the first."""
    fastest: float
    peak_bytes: int
    """Most bytes alive at once: weights, input and activations. On a GPU the allocator's peak, with the kernels' own
    workspace; on the CPU the tensors'.
    """
    input: tuple[int, ...]
    output: tuple[int, ...]


def measure(network: nn.Module, shape: Sequence[int], device: torch.device, runs: int = 10) -> Cost:
    """Run a network on noise.

    Args:
        network: maps one tensor to one tensor.
        shape: of the input, (N, C, H, W).
        device: where it runs; the network is moved there.
        runs: how many passes are timed, after one that is not.
    """
    network = network.eval().to(device)
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            output = network(x)
        size = tuple(output.shape)
        del output
        peak = _cuda_peak(network, x) if device.type == "cuda" else _tensor_peak(network, x)
        times = [_timed(lambda: network(x), device) for _ in range(runs)]
    parameters = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    flops = counter.get_total_flops()
    return Cost(
        parameters=sum(count for count, _ in parameters),
        trainable=sum(count for count, trainable in parameters if trainable),
        flops=flops,
        macs=flops // 2,
        seconds=statistics.median(times),
        fastest=min(times),
        peak_bytes=peak,
        input=tuple(shape),
        output=size,
    )


def _timed(run: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def _resident(network: nn.Module, x: Tensor) -> int:
    tensors = [*network.parameters(), *network.buffers(), x]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def _cuda_peak(network: nn.Module, x: Tensor) -> int:
    torch.cuda.synchronize(x.device)
    before = torch.cuda.memory_allocated(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    network(x)
    torch.cuda.synchronize(x.device)
    return torch.cuda.max_memory_allocated(x.device) - before + _resident(network, x)


def _tensor_peak(network: nn.Module, x: Tensor) -> int:
    return peak_bytes(lambda: network(x)) + _resident(network, x)
