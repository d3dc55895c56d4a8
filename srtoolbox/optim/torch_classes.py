"""Torch's optimizers and schedules whose arguments are plain data, under their own names."""

from __future__ import annotations

import inspect
from types import ModuleType

from torch import optim
from torch.optim import lr_scheduler

from srtoolbox.registry import OPTIMIZERS, SCHEDULERS, Registry

# LBFGS needs a closure and SparseAdam sparse gradients; Muon takes matrices only (ours: muon.py)
OTHER_OPTIMIZERS = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}
# they take functions or other schedulers (a list of them in a config is a SequentialLR) or a metric
OTHER_SCHEDULERS = {"LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"}
OTHER_SCHEDULERS |= {"ReduceLROnPlateau"}


def _register_all(table: Registry, module: ModuleType, base: type, others: set[str]) -> None:
    for name, entry in vars(module).items():
        is_public = not name.startswith("_") and name not in others
        if is_public and inspect.isclass(entry) and issubclass(entry, base):
            table.register(entry, name=name)


_register_all(OPTIMIZERS, optim, optim.Optimizer, OTHER_OPTIMIZERS)
_register_all(SCHEDULERS, lr_scheduler, lr_scheduler.LRScheduler, OTHER_SCHEDULERS)
