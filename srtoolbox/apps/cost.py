"""The cost of networks: parameters, operations, time and memory of one forward pass."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from srtoolbox.compat.pytorch import attention_on_cpu
from srtoolbox.engine.device import select_device
from srtoolbox.errors import ConfigError, RunError
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.interfaces import (
    CHANNELS,
    discriminator_facts_of,
    discriminator_faults,
    facts_of,
    network_faults,
    network_kind,
)
from srtoolbox.plugins import load_config, load_plugins
from srtoolbox.registry import NETWORKS
from srtoolbox.text import counted
from srtoolbox.weights.load import read_network
from srtoolbox.weights.of_config import with_network_of_file

CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors", ".onnx")
DEFAULT_SIZE = (64, 64)


class Cost(NamedTuple):
    """The cost of one forward pass in eval mode, float32, without gradients."""

    parameters: int
    trainable: int
    flops: int
    """Of convolutions and matrix products; activations and interpolation are not counted."""
    macs: int
    """Multiply-accumulates: half the FLOPs. What papers call Multi-Adds."""
    seconds: float
    """Median over the runs after the first."""
    fastest: float
    peak_bytes: int
    """Most bytes alive at once: weights, input and activations. On a GPU the allocator's peak, with
    the kernels' own workspace; on the CPU the tensors'.
    """
    input: tuple[int, ...]
    output: tuple[int, ...]


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def measure(network: nn.Module, shape: Sequence[int], device: torch.device, runs: int = 10) -> Cost:
    """Return the cost of a network, run on noise.

    Args:
        network: maps one tensor to one tensor.
        shape: of the input, (N, C, H, W).
        device: where it runs; the network is moved there.
        runs: how many passes are timed, after one that is not.
    """
    network = network.eval().to(device)
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        flops, size = count_flops(network, x)
        peak = _cuda_peak(network, x) if device.type == "cuda" else peak_bytes(lambda: network(x))
        peak += _resident(network, x)
        times = [_timed(lambda: network(x), device) for _ in range(runs)]
    parameters = [(each.numel(), each.requires_grad) for each in network.parameters()]
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


@torch.no_grad()
def count_flops(network: nn.Module, x: Tensor) -> tuple[int, tuple[int, ...]]:
    """Return the FLOPs of one pass and the size of its result.

    On the meta device nothing is computed.
    """
    with FlopCounterMode(display=False, custom_mapping={attention_on_cpu: _attention_flops}) as counter:
        output = network(x)
    return counter.get_total_flops(), tuple(output.shape)


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
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _cuda_peak(network: nn.Module, x: Tensor) -> int:
    torch.cuda.synchronize(x.device)
    before = torch.cuda.memory_allocated(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    network(x)
    torch.cuda.synchronize(x.device)
    return torch.cuda.max_memory_allocated(x.device) - before


# ---- the networks of a config


@dataclass(frozen=True)
class NetworkCosts:
    """Costs of the networks of a config or checkpoint, by their names in `model`."""

    setting: str
    """Device, precision and count of the runs."""
    networks: Mapping[str, nn.Module]
    costs: Mapping[str, Cost]

    def as_json(self) -> dict[str, Any]:
        """Return the figures, and the facts of each network, as plain values."""
        rows = {name: network_facts(self.networks[name]) | cost._asdict() for name, cost in self.costs.items()}
        return {"setting": self.setting, "networks": rows}

    def table(self) -> Table:
        """Return a table with a column per network."""
        table = Table()
        table.add_column("")
        columns = []
        for name, network in self.networks.items():
            table.add_column(f"{name}: {type(network).__name__}", justify="right", overflow="fold")
            columns.append(_figures(network, self.costs[name]))
        for label in columns[0]:
            table.add_row(label, *(column[label] for column in columns))
        return table


def measure_networks(
    source: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    size: Sequence[int] | None = None,
    gt: Sequence[int] | None = None,
    batch: int = 1,
    runs: int = 10,
    threads: int | None = None,
    device: str | None = None,
    plugins: Sequence[str | os.PathLike[str]] = (),
) -> NetworkCosts:
    """Measure the networks of a config or a checkpoint, with new weights.

    Args:
        source: a config, or a checkpoint.
        overrides: 'key.sub=value' texts that change a config.
        size: (height, width) of the low-resolution image; None is 64 x 64.
        gt: that of the upscaled image instead.
        batch: images at once.
        runs: passes that are timed.
        threads: of the CPU; None leaves them as they are.
        device: where they run; None is a GPU where there is one.
        plugins: Python files with components.

    Raises:
        ConfigError: there are no networks, or one lacks facts, or overrides are given for a
            checkpoint.
        RunError: the memory does not suffice.
    """
    if threads:
        torch.set_num_threads(threads)
    place = select_device(device)
    machine = _device_name(place)
    networks = _networks_of(source, overrides, plugins)
    shapes = _input_shapes(networks, batch, size, gt)
    try:
        costs = {key: measure(each, shapes[key], place, runs) for key, each in networks.items()}
    except torch.OutOfMemoryError as error:
        fault = f"{shapes} does not fit into the memory of {machine}; take a smaller size"
        raise RunError(fault) from error
    setting = f"{machine}, float32, median of {counted(runs, 'run')}, torch {torch.__version__}"
    return NetworkCosts(setting, networks, costs)


def _networks_of(
    source: str | os.PathLike[str], overrides: Sequence[str], plugins: Sequence[str | os.PathLike[str]]
) -> dict[str, nn.Module]:
    """Return the networks of a config, or of a checkpoint's, by their names in `model`."""
    if Path(source).suffix in CHECKPOINTS:
        if overrides:
            advice = "a checkpoint's config cannot be changed; give a config"
            raise ConfigError(f"{overrides[0]!r}: {advice}")
        load_plugins(None, plugins)
        model = read_network(os.fspath(source), trial=False).run_config["model"]
    else:
        model = with_network_of_file(load_config(source, overrides, plugins=plugins)).get("model")
    entries = model.items() if isinstance(model, Mapping) else ()
    networks = {
        name: NETWORKS.build(part)
        for name, part in entries
        if name != "losses" and isinstance(part, Mapping) and part.get("type", "") in NETWORKS
    }
    if "generator" not in networks:
        raise ConfigError(f"{os.fspath(source)}: model.generator names no network")
    for name, network in networks.items():
        is_generator = network_kind(network) == "generator"
        fault = network_faults(network) if is_generator else discriminator_faults(network)
        if fault:
            raise ConfigError(f"{os.fspath(source)}: model.{name}: {fault}")
    return networks


def _input_shapes(
    networks: Mapping[str, nn.Module], batch: int, size: Sequence[int] | None, gt: Sequence[int] | None
) -> dict[str, tuple[int, ...]]:
    """Return (N, C, H, W) for each network.

    The generator gets the size asked for, raised to multiples of what it takes; a discriminator the
    size it is made for, or else what the generator makes.
    """
    generator = facts_of(networks["generator"])
    sides = [-(-side // generator.scale) for side in gt] if gt else size or DEFAULT_SIZE
    sides = [generator.fit(side) for side in sides]
    shapes = {}
    for name, network in networks.items():
        if name == "generator":
            shapes[name] = (batch, generator.in_channels, *sides)
        else:
            facts = discriminator_facts_of(network)
            judged = [facts.fit(side * generator.scale) for side in sides]
            shapes[name] = (batch, CHANNELS[facts.colour], *judged)
    return shapes


def network_facts(network: nn.Module) -> dict[str, Any]:
    """Return the class of a network, its scale, colour and receptive field."""
    kind = type(network).__name__
    if network_kind(network) == "discriminator":
        colour = discriminator_facts_of(network).colour
        return {"type": kind, "scale": None, "colour": colour, "receptive_field": None}
    facts = facts_of(network)
    radius = facts.receptive_field
    return {"type": kind, "scale": facts.scale, "colour": facts.colour, "receptive_field": radius}


def _device_name(device: torch.device) -> str:
    """Return 'NVIDIA H100' or 'CPU, 4 threads'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type.upper()}, {threads} thread{'s' * (threads > 1)}"


def _figures(network: nn.Module, cost: Cost) -> dict[str, str]:
    """Return the rows of the table, as text."""
    radius = network_facts(network)["receptive_field"]
    still = cost.parameters - cost.trainable
    return {
        "input": " x ".join(map(str, cost.input)),
        "output": " x ".join(map(str, cost.output)),
        "parameters": f"{cost.parameters:,}" + (f" ({still:,} not trained)" if still else ""),
        "FLOPs": _scaled(cost.flops),
        "MACs (Multi-Adds)": _scaled(cost.macs),
        "receptive field": "-" if radius is None else f"{2 * radius + 1} px of input",
        "latency": f"{1000 * cost.seconds:,.2f} ms (fastest {1000 * cost.fastest:,.2f})",
        "peak memory": f"{cost.peak_bytes / 2**20:,.1f} MiB",
    }


def _scaled(count: int) -> str:
    """Return a number with a letter for its size: 1234567 -> '1.235 M'."""
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3f} {letter}"
    return str(count)
