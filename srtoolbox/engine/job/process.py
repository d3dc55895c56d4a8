"""Settings of a whole process that a run changes: threads, torch's flags, random states."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

TINY = 2e9
"""Parameters x pixels of GT in an iteration below which one thread is enough.

Such are ESPCN, SRCNN, FSRCNN on usual crops. Their operations take microseconds, after each of
which the threads wait for each other. On an idle machine two save at most a third; beside other
work each wait is one for the scheduler, and an iteration takes ten times as long and more.
"""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def default_threads(networks: Iterable[nn.Module], config: Mapping[str, Any]) -> int | None:
    """Return 1 for a run of tiny networks, None for others and where the user has decided.

    The number follows from the config and the environment alone, not from the machine's load: a
    resumed run takes the same, on which the last bits of its results may depend.

    Args:
        networks: those that learn.
        config: of the run.
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
    return max((size for size in sizes if size), default=None)


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Put back torch's settings and the global random states once what runs inside has ended.

    So a run in a session that does other things is that of a process of its own, and changes
    nothing of what comes after it.
    """
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
        for number, generator in enumerate(torch.cuda.default_generators):
            if number < len(cuda):
                generator.set_state(cuda[number])
            else:  # CUDA began inside: as it would have begun outside
                generator.manual_seed(torch.initial_seed())
