"""What a report of `test` states of its origin."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srtoolbox import __version__
from srtoolbox.apps.report import NetworkFacts, RunFacts, protocol_of
from srtoolbox.apps.scoring.networks import distinct_names
from srtoolbox.config import Config
from srtoolbox.io.files import sha256
from srtoolbox.io.tensor_files import load_tensors


def run_facts(
    config: Config,
    args: argparse.Namespace,
    networks: Mapping[str, nn.Module],
    datasets: Mapping[str, Any],
    metrics: Mapping[str, Any],
    device: torch.device,
) -> RunFacts:
    """The facts of one run of the command, its networks by the names their scores have."""

    files = distinct_names(args.checkpoints) if args.checkpoints else {}
    scale = next(iter(networks.values())).scale
    threads = torch.get_num_threads()
    return RunFacts(
        config=str(config.filename),
        overrides=list(args.overrides),
        device=f"cpu, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else str(device),
        date=datetime.datetime.now().astimezone().isoformat(" ", "minutes"),
        versions={"srtoolbox": __version__, "torch": torch.__version__},
        networks={
            name: network_facts(name if len(networks) > 2 else type(network).__name__, network, files.get(name))
            for name, network in networks.items()
        },
        metrics={name: protocol_of(metric) for name, metric in metrics.items()},
        scales={name: dataset.scale or scale for name, dataset in datasets.items()},
    )


def network_facts(title: str, network: nn.Module, file: str | None) -> NetworkFacts:
    """What one network is and where its weights are from."""

    parameters = sum(parameter.numel() for parameter in network.parameters())
    facts = {"title": title, "kind": type(network).__name__, "parameters": parameters}
    if file is None:
        return NetworkFacts(**facts)
    state = load_tensors(file)
    iteration, weights = state.get("iter"), state.get("networks")
    return NetworkFacts(
        **facts,
        file=Path(file).as_posix(),
        sha256=sha256(file),
        iteration=iteration if isinstance(iteration, int) else None,
        averaged=isinstance(weights, dict) and "generator_ema" in weights,
    )
