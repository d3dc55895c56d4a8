"""The device of a run, and what it sets in its process: torch, threads, random states."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srtoolbox import dist
from srtoolbox.errors import ConfigError
from srtoolbox.image.tensors import carry
from srtoolbox.interfaces import repeated_blocks
from srtoolbox.text import first_line

TINY = 2e9
"""Parameters x pixels of GT in an iteration below which one thread is enough.

So ESPCN, SRCNN, FSRCNN on usual crops: their threads wait for each other every few microseconds.
On an idle machine two save at most a third; beside other work an iteration takes ten times longer.
"""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def select_device(name: str | None) -> torch.device:
    """Return the named device; for None and 'auto' this rank's GPU if there is one, else the CPU.

    Raises:
        ConfigError: a device this machine does not have, or one GPU for several processes.
    """
    if name in (None, "auto"):
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} is not usable here ({first_line(error)}); try cpu or auto") from error
    if device.type != "cuda":
        return device
    if device.index is not None and dist.launched():
        raise ConfigError(f"device {name!r} would be shared by all processes; say 'cuda', and each takes its own")
    return torch.device("cuda", dist.local_rank()) if device.index is None else device


def set_up_torch(runtime: dict[str, Any]) -> None:
    """Set threads, determinism and kernel choice by `runtime`."""
    if runtime.get("threads"):
        torch.set_num_threads(runtime["threads"])
    if runtime.get("deterministic"):
        os.environ.setdefault(_CUBLAS, ":4096:8")  # else cuBLAS refuses later on
    torch.use_deterministic_algorithms(bool(runtime.get("deterministic")))
    torch.backends.cudnn.benchmark = not runtime.get("deterministic")


def compile_network(network: nn.Module, what: bool | str) -> None:
    """Compile a network in place (the keys of its state stay): all of it, its 'blocks', or nothing.

    Blocks of one class share one compilation, which takes seconds where that of all may take
    minutes.
    """
    for module in repeated_blocks(network) if what == "blocks" else [network] if what else []:
        module.compile()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the batch with its images on the device, copied without waiting from pinned memory."""
    if device.type == "cpu":
        return batch
    images = {key: value for key, value in batch.items() if isinstance(value, Tensor)}
    return {**batch, **{key: carry(value, device, non_blocking=True) for key, value in images.items()}}


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generators(device: torch.device) -> list[torch.Generator]:
    """Return the generators that PyTorch draws from in a training step on a device."""
    own = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    return [torch.default_generator, *own]


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the random states of this process, as tensors and plain values."""
    name, keys, *rest = np.random.get_state(legacy=True)
    numpy_state = [name, np.asarray(keys).tolist(), *rest]
    state = {"python": random.getstate(), "numpy": numpy_state, "torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `random_state` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def default_threads(networks: Iterable[nn.Module], config: Mapping[str, Any]) -> int | None:
    """Return 1 for a run in which tiny networks learn, None for others and where the user decides.

    The number follows from the config and the environment alone, not from the machine's load: a
    resumed run takes the same, on which the last bits of its results may depend.
    """
    train = config["data"]["train"]
    size = _crop_size(train["dataset"])
    is_chosen = (config.get("runtime") or {}).get("threads") or any(map(os.environ.get, VARIABLES))
    if is_chosen or not size:
        return None
    count = sum(value.numel() for network in networks for value in network.parameters())
    return 1 if count * size**2 * train["batch_size"] < TINY else None


def _crop_size(dataset: object) -> int | None:
    """Return the largest `gt_size` in the config of a dataset, which may hold others."""
    sizes: list[int | None] = []
    if isinstance(dataset, Mapping):
        own = dataset.get("gt_size")
        sizes = [own] if isinstance(own, int) else [_crop_size(value) for value in dataset.values()]
    elif isinstance(dataset, list | tuple):
        sizes = [_crop_size(item) for item in dataset]
    return max(filter(None, sizes), default=None)


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Put torch's settings and the random states back, so that a run changes nothing after it."""
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(_CUBLAS)
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = [generator.get_state() for generator in torch.cuda.default_generators]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if workspace is None:
            os.environ.pop(_CUBLAS, None)
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        for generator, state in zip_longest(torch.cuda.default_generators, cuda):
            if state is not None:
                generator.set_state(state)
            else:  # CUDA began inside: as it would have begun outside
                generator.manual_seed(torch.initial_seed())
