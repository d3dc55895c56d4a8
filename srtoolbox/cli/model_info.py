"""Parameters, FLOPs, receptive field, time and memory of the networks of a config or a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srtoolbox.cli.options import CommandParser, add_device, add_plugin
from srtoolbox.text import counted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from srtoolbox.apps.cost import Cost

    Networks = dict[str, nn.Module]

SUMMARY = "count a network's parameters and FLOPs, measure its time and memory"
EXAMPLE = """example:
  python tools/model_info.py srresnet/srresnet_x4_mse_div2k_1000k.py
  python tools/model_info.py model.pth --gt 720 1280 --device cuda      # the size papers count Multi-Adds for
  python tools/model_info.py espcn/espcn_x3_t91.py model.generator.channels=[32,16] --json cost.json"""
DEFAULT_SIZE = (64, 64)
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors")


def build_parser() -> CommandParser:
    """Options of the command."""
    parser = CommandParser("model_info", __doc__, EXAMPLE)
    add = parser.add_argument
    add("source", metavar="CONFIG_OR_CKPT", help="a config, or a checkpoint (.pth, .pt, .ckpt, .safetensors)")
    parser.add_overrides()
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size", nargs=2, type=int, metavar=("H", "W"), help="of the low-resolution image (default: 64 64)"
    )
    size.add_argument("--gt", nargs=2, type=int, metavar=("H", "W"), help="of the upscaled image instead")
    add("--batch", type=int, default=1, metavar="N", help="images at once (default: 1)")
    add("--runs", type=int, default=10, metavar="N", help="passes that are timed; the median counts (default: 10)")
    add("--threads", type=int, metavar="N", help="threads of the CPU (default: torch's)")
    add_device(parser)
    add("--json", metavar="FILE", help="write the figures")
    add_plugin(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    args = parser.parse(argv)
    numbers = [args.batch, args.runs, *(args.size or ()), *(args.gt or ()), *([args.threads] if args.threads else [])]
    if min(numbers) < 1:
        parser.error("sizes, --batch, --runs and --threads are at least 1")
    import torch

    from srtoolbox.apps.cost import measure
    from srtoolbox.engine.device import select_device
    from srtoolbox.errors import RunError
    from srtoolbox.io.files import write_json

    if args.threads:
        torch.set_num_threads(args.threads)
    device = select_device(args.device)
    networks = load(args)
    shapes = input_shapes(networks, args)
    try:
        costs = {name: measure(network, shapes[name], device, args.runs) for name, network in networks.items()}
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"{shapes} does not fit into the memory of {device_name(device)}; take a smaller size"
        ) from error
    setting = f"{device_name(device)}, float32, median of {counted(args.runs, 'run')}, torch {torch.__version__}"
    print(f"{args.source}\non {setting}")
    print_table({name: (networks[name], cost) for name, cost in costs.items()})
    if args.json:
        rows = {name: {**facts(networks[name]), **cost._asdict()} for name, cost in costs.items()}
        write_json(args.json, {"setting": setting, "networks": rows})
    return 0


def load(args: argparse.Namespace) -> Networks:
    """The networks of the config, or of the config in the checkpoint, by their names in `model`; with new weights.

    Raises:
        ConfigError: there are none, or overrides are given for a checkpoint.
    """
    from srtoolbox.config import Config
    from srtoolbox.errors import ConfigError
    from srtoolbox.plugins import load_plugins
    from srtoolbox.registry import NETWORKS
    from srtoolbox.weights.load import read_network

    if Path(args.source).suffix in CHECKPOINTS:
        if args.overrides:
            raise ConfigError(f"{args.overrides[0]!r}: a checkpoint's config cannot be changed; give a config")
        load_plugins(None, args.plugin)
        model: Any = read_network(args.source, trial=False).run_config["model"]
    else:
        config = Config.fromfile(args.source, args.overrides)
        load_plugins(config, args.plugin)
        model = config.get("model")
    entries = model.items() if isinstance(model, Mapping) else ()
    found = {name: cfg for name, cfg in entries if isinstance(cfg, Mapping) and name != "losses" and "type" in cfg}
    networks = {name: NETWORKS.build(cfg) for name, cfg in found.items() if cfg["type"] in NETWORKS}
    if "generator" not in networks:
        raise ConfigError(f"{args.source}: model.generator names no network")
    return networks


def input_shapes(networks: Networks, args: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """(N, C, H, W) for each: the generator gets the size asked for, raised to multiples of what it takes; a
    discriminator the size it is made for, or else what the generator makes.
    """
    from srtoolbox.interfaces import discriminator_facts_of, facts_of

    generator = facts_of(networks["generator"])
    sides = args.size or DEFAULT_SIZE
    if args.gt:
        sides = [-(-side // generator.scale) for side in args.gt]
    sides = [generator.fit(side) for side in sides]
    shapes = {}
    for name, network in networks.items():
        mine = sides
        if name != "generator":
            judge = discriminator_facts_of(network)
            mine = [judge.fit(side * generator.scale) for side in sides]
        shapes[name] = (args.batch, network.in_channels, *mine)
    return shapes


def facts(network: nn.Module) -> dict[str, Any]:
    """What a network says about itself."""
    from srtoolbox.interfaces import discriminator_facts_of, facts_of, network_kind

    if network_kind(network) == "discriminator":
        own = {"scale": None, "colour": discriminator_facts_of(network).colour, "receptive_field": None}
    else:
        known = facts_of(network)
        own = {"scale": known.scale, "colour": known.colour, "receptive_field": known.receptive_field}
    return {"type": type(network).__name__, **own}


def device_name(device: torch.device) -> str:
    """'NVIDIA H100' or 'CPU, 4 threads'."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type.upper()}, {threads} thread{'s' * (threads > 1)}"


def print_table(rows: Mapping[str, tuple[nn.Module, Cost]]) -> None:
    """A column per network."""
    from rich.table import Table

    from srtoolbox.logger import CONSOLE

    table = Table()
    table.add_column("")
    columns = []
    for name, (network, cost) in rows.items():
        table.add_column(f"{name}: {type(network).__name__}", justify="right", overflow="fold")
        columns.append(figures(network, cost))
    for label in columns[0]:
        table.add_row(label, *(column[label] for column in columns))
    CONSOLE.print(table)


def figures(network: nn.Module, cost: Cost) -> dict[str, str]:
    """The rows of the table, as text."""
    radius = facts(network)["receptive_field"]
    still = cost.parameters - cost.trainable
    return {
        "input": " x ".join(map(str, cost.input)),
        "output": " x ".join(map(str, cost.output)),
        "parameters": f"{cost.parameters:,}" + (f" ({still:,} not trained)" if still else ""),
        "FLOPs": scaled(cost.flops),
        "MACs (Multi-Adds)": scaled(cost.macs),
        "receptive field": "-" if radius is None else f"{2 * radius + 1} px of input",
        "latency": f"{1000 * cost.seconds:,.2f} ms (fastest {1000 * cost.fastest:,.2f})",
        "peak memory": f"{cost.peak_bytes / 2**20:,.1f} MiB",
    }


def scaled(count: int) -> str:
    """1234567 -> '1.235 M'."""
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3f} {letter}"
    return str(count)
