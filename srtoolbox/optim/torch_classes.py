"""Registers torch's optimizers and learning rate schedulers whose arguments are plain data under their own names."""

from __future__ import annotations

import inspect

import torch

from srtoolbox.registry import OPTIMIZERS, SCHEDULERS

# LBFGS needs a closure and SparseAdam sparse gradients; Muon takes matrices only
_NOT_HERE = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}
# they take functions or other schedulers (a list of schedulers in a config becomes a SequentialLR), or need a metric
_NOT_DATA = {"LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler", "ReduceLROnPlateau"}


def _register_all() -> None:
    for name, entry in vars(torch.optim).items():
        if inspect.isclass(entry) and issubclass(entry, torch.optim.Optimizer) and name not in _NOT_HERE:
            OPTIMIZERS.register(entry, name=name)
    base = torch.optim.lr_scheduler.LRScheduler
    for name, entry in vars(torch.optim.lr_scheduler).items():
        if inspect.isclass(entry) and issubclass(entry, base) and not name.startswith("_") and name not in _NOT_DATA:
            SCHEDULERS.register(entry, name=name)


_register_all()
