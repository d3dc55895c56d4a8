"""The graph of a network for TensorBoard."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from srtoolbox.engine.evaluate import uncompiled
from srtoolbox.inference.restore import evaluation
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SIDE = 24  # px: the traced picture; the graph is the same for any


def write_graph(writer: SummaryWriter, network: nn.Module, device: torch.device) -> None:
    """Trace the network on a small gray picture and write its graph; a network that cannot be traced is one warning.

    The network and the random state are as before afterwards.
    """
    facts = facts_of(network)
    side = facts.fit(_SIDE)
    picture = torch.full((1, facts.in_channels, side, side), 0.5, device=device)
    devices = [device] if device.type == "cuda" else []
    quiet = contextlib.redirect_stdout(io.StringIO())  # torch prints what fails
    with evaluation(network), uncompiled(), torch.no_grad(), torch.random.fork_rng(devices), quiet:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes that become constants
                writer.add_graph(network, picture)
        except Exception as error:  # whatever tracing meets in a network of somebody's
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            LOGGER.warning("no graph of %s for TensorBoard: it cannot be traced (%s)", type(network).__name__, reason)
