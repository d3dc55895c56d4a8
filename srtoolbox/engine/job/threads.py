"""The number of threads of a run on the CPU where nobody says: one for tiny networks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

TINY = 2e9
"""Parameters x pixels of GT in an iteration below which one thread is enough: ESPCN, SRCNN, FSRCNN on usual crops.

Their operations take microseconds, after each of which the threads wait for each other. On an idle machine two save at
most a third; beside other work each wait is one for the scheduler, and an iteration takes ten times as long and more.
"""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def default_threads(networks: Iterable[nn.Module], config: Mapping[str, Any]) -> int | None:
    """Return 1 for a run of tiny networks, None for others and where the user has decided.

    The number follows from the config and the environment alone, not from the machine's load: a resumed run takes the
    same, on which the last bits of its results may depend.

    Args:
        networks: those that learn.
        config: of the run.
    """
    train = config["data"]["train"]
    size = _crop_size(train["dataset"])
    if (config.get("runtime") or {}).get("threads") or any(os.environ.get(name) for name in VARIABLES) or not size:
        return None
    parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
    return 1 if parameters * size**2 * train["batch_size"] < TINY else None


def _crop_size(dataset: Any) -> int | None:  # noqa: ANN401 - any config value
    """The largest `gt_size` in the config of a dataset, which may hold others."""
    if isinstance(dataset, Mapping):
        own = dataset.get("gt_size")
        found = [own] if isinstance(own, int) else [_crop_size(value) for value in dataset.values()]
    else:
        found = [_crop_size(item) for item in dataset] if isinstance(dataset, list | tuple) else []
    return max((size for size in found if size), default=None)
