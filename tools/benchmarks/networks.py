"""Networks against the same ones of another project: a forward pass and a training step, in time and memory.

The other side is spandrel's module, which opens the weights of ours; for families that spandrel lacks it is the second
transcription of this project's tests (tests/models/networks/transcriptions). Both have the same weights, and give the
same image to 1e-3 of its range, or the row says so. A network without a second one is measured alone.

The forward pass is that of a whole image in eval mode; the step is zero_grad, forward, L1, backward and a fused Adam on
random crops. The two sides take turns in one process, in alternating order; a round has as many passes as take 30 ms.
Ratios are ours / theirs, below 1 is faster or smaller: the median over the rounds with its quartiles, and that of the
fastest rounds. Memory is the most that is alive at once above what there was before: of tensors on the CPU, of the
allocator on a GPU.

    python tools/benchmarks/networks.py [--only SwinIR EDSR] [--threads 1] [--rounds 15] [--json FILE]
    python tools/benchmarks/networks.py --device cuda --channels-last
    python tools/benchmarks/networks.py --only SAFMN --quick           # tiny: only to see that it runs
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.engine.device import select_device
from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.interfaces import facts_of, network_kind, variants_of
from srtoolbox.models.networks.spandrel import architectures, is_installed, release
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats import families, rename
from srtoolbox.weights.formats.edsr import with_means
from srtoolbox.weights.recognise import recognise

ROOT = Path(__file__).parents[2]
ROUND = 0.03  # seconds that a round lasts at least
Config = dict[str, Any]
Row = dict[str, Any]


class Setting(NamedTuple):
    """Where and how much."""

    device: torch.device
    layout: torch.memory_format
    size: int  # of the image that is upscaled
    crop: int  # of those of a training step, in LR pixels
    batch: int
    rounds: int
    seconds: float  # that the rounds of one comparison may take; there are three at least

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


# ---- networks


def variants(scale: int, only: Sequence[str]) -> dict[str, Config]:
    """The configs of all variants that have this scale, by name.

    Args:
        scale: of all of them.
        only: families, or how names of variants begin; empty: all.
    """
    found: dict[str, Config] = {}
    starts = tuple(each.lower() for each in only)
    for family in NETWORKS:
        kind: Any = NETWORKS.get(family)
        if network_kind(kind) != "generator" or family in ("Adapter", "Bicubic", "Spandrel"):
            continue
        for name, arguments in variants_of(kind).items():
            is_wanted = not only or family.lower() in starts or name.lower().startswith(starts)
            if is_wanted and (kind.scales is None or scale in kind.scales):
                found[name] = {"type": family, "scale": scale, **arguments}
    return found


class Scaled(nn.Module):
    """A network of values in 0 ... 255 for images in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lq: Tensor) -> Tensor:
        return self.network(lq * 255) / 255


def by_spandrel(ours: nn.Module) -> nn.Module | None:
    """spandrel's network with our weights, which it opens as files of others; None: it knows none."""
    kind, state = type(ours).__name__, {key: value.clone() for key, value in ours.state_dict().items()}
    if kind == "RCAN":  # it wants the authors' names
        state = with_means(state)
    else:
        exports = [row for family in families() for row in getattr(family, "EXPORTS", ())]
        names = next((row.names for row in exports if (row.to, row.network) == ("basicsr", kind)), {})
        state = rename(state, {theirs: own for own, theirs in names.items()} if isinstance(names, Mapping) else names)
    for support in architectures().values():
        if support.detect(state):
            return support.architecture.load(state).model
    return None


def _edsr(module: Any, c: Config) -> nn.Module:  # noqa: ANN401 - a module of the tests
    return module.EDSR(c["scale"], c["num_blocks"], c["num_features"], c["residual_scaling"])


def _carn(module: Any, c: Config) -> nn.Module:  # noqa: ANN401
    return module.CARN(c["scale"], c["num_features"], c["groups"] or 1, c["groups"] is not None)


def _rdn(module: Any, c: Config) -> nn.Module:  # noqa: ANN401
    return module.RDN(c["scale"], (c["num_blocks"], c["num_convs"], c["growth_channels"]), c["num_features"])


def _pan(module: Any, c: Config) -> nn.Module:  # noqa: ANN401
    return module.PAN(c["scale"], c["num_features"], c["upsampling_channels"], c["num_blocks"])


def _rfdn(module: Any, c: Config) -> nn.Module | None:  # noqa: ANN401
    return module.RFDN(c["scale"], c["num_features"], c["num_blocks"]) if c["attention"] == "spatial" else None


def _rlfn(module: Any, c: Config) -> nn.Module:  # noqa: ANN401
    return module.RLFN(c["scale"], c["num_features"], c["num_blocks"], c["mid_channels"], c["esa_channels"])


TRANSCRIBED: dict[str, Callable[[Any, Config], nn.Module | None]] = {
    "CARN": _carn,
    "EDSR": _edsr,
    "PAN": _pan,
    "RDN": _rdn,
    "RFDN": _rfdn,
    "RLFN": _rlfn,
}
"""By network: how its transcription is built, of a module of the tests and all arguments of ours."""


def by_transcription(ours: nn.Module, config: Config) -> nn.Module | None:
    """The second one of the tests, whose weights ours gets; None: there is none."""
    name = config["type"]
    if name not in TRANSCRIBED or not (ROOT / "tests/models/networks/transcriptions").is_dir():
        return None
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    module = importlib.import_module(f"tests.models.networks.transcriptions.{name.lower()}")
    parameters = inspect.signature(NETWORKS.get(name)).parameters.items()
    theirs = TRANSCRIBED[name](module, {key: each.default for key, each in parameters} | config)
    if theirs is None:
        return None
    ours.load_state_dict(recognise(theirs.state_dict(), f"x{config['scale']}.pth").tensors)
    return Scaled(theirs) if getattr(ours, "img_range", 1.0) == 255 else theirs


def pair(config: Config) -> tuple[nn.Module, nn.Module | None, str]:
    """Our network, the other one, and where that is from, or why there is none."""
    torch.manual_seed(0)
    ours = NETWORKS.build(config)
    theirs = by_transcription(ours, config)
    if theirs is not None:
        return ours, theirs, "transcription"
    if not is_installed():
        return ours, None, "spandrel is not installed"
    theirs = by_spandrel(ours)
    if theirs is None:
        return ours, None, "no second one"
    return ours, theirs.requires_grad_(requires_grad=True), "spandrel"


# ---- work


def forward_of(network: nn.Module, channels: int, setting: Setting) -> Callable[[], Tensor]:
    """A pass over one image."""
    lq = _noise((1, channels, setting.size, setting.size), setting)

    @torch.inference_mode()
    def run() -> Tensor:
        return network(lq)

    network.eval()
    return run


def step_of(network: nn.Module, channels: int, scale: int, setting: Setting) -> Callable[[], Tensor]:
    """A training step."""
    lq = _noise((setting.batch, channels, setting.crop, setting.crop), setting)
    gt = _noise((setting.batch, channels, setting.crop * scale, setting.crop * scale), setting)
    learned = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=1e-6, fused=True)

    def run() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = F.l1_loss(network(lq), gt)
        loss.backward()
        optimizer.step()
        return loss.detach()

    network.train()
    return run


def _noise(shape: tuple[int, ...], setting: Setting) -> Tensor:
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return noise.to(setting.device, memory_format=setting.layout)


# ---- measuring

Work = Callable[[], Tensor]


def milliseconds(work: Work, count: int, device: torch.device) -> float:
    """The time of a pass, mean over a count of them; on a GPU that between two events of its stream.

    On one thread of a CPU it is the process's own time, which others on the machine disturb less.
    """
    if device.type != "cuda":
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        start = clock()
        for _ in range(count):
            work()
        return (clock() - start) * 1e3 / count
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    events[0].record()
    for _ in range(count):
        work()
    events[1].record()
    events[1].synchronize()
    return events[0].elapsed_time(events[1]) / count


def megabytes(work: Work, setting: Setting) -> float:
    """The most bytes alive at once in a pass, above what there was before."""
    if setting.device.type != "cuda":
        return peak_bytes(work) / 1e6
    setting.wait()
    before = torch.cuda.memory_allocated(setting.device)
    torch.cuda.reset_peak_memory_stats(setting.device)
    work()
    setting.wait()
    return (torch.cuda.max_memory_allocated(setting.device) - before) / 1e6


def interleave(sides: Mapping[str, Work], setting: Setting) -> dict[str, list[float]]:
    """Milliseconds of each side in each round."""
    counts = {name: max(1, round(ROUND * 1e3 / _once(work, setting))) for name, work in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    end = time.perf_counter() + setting.seconds
    for number in range(setting.rounds):
        if number >= 3 and time.perf_counter() > end:
            break
        for name in list(sides)[:: -1 if number % 2 else 1]:
            times[name].append(milliseconds(sides[name], counts[name], setting.device))
    return times


def _once(work: Work, setting: Setting) -> float:
    start = time.perf_counter()
    work()
    setting.wait()
    return (time.perf_counter() - start) * 1e3


def compare(sides: Mapping[str, Work], setting: Setting) -> Row:
    """Times, memory and ratios of one kind of work; `sides` are 'ours' and, where there is one, 'theirs'."""
    for work in sides.values():  # Adam's moments are there from now on, and what a device chooses at first
        work()
    memory = {name: megabytes(work, setting) for name, work in sides.items()}
    times = interleave(sides, setting)
    row: Row = {"ms": statistics.median(times["ours"]), "MB": memory["ours"], "rounds": len(times["ours"])}
    if "theirs" in sides:
        ratios = sorted(a / b for a, b in zip(times["ours"], times["theirs"], strict=True))
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        row |= {"ratio": statistics.median(ratios), "quartiles": [quartiles[0], quartiles[2]]}
        row |= {"fastest": min(times["ours"]) / min(times["theirs"]), "memory": memory["ours"] / memory["theirs"]}
    return row


def difference(ours: Work, theirs: Work) -> float:
    """The largest difference of two images, in parts of the range of values."""
    result, expected = ours(), theirs()
    return float((result - expected).abs().max() / (expected.max() - expected.min()))


def rows(configs: Mapping[str, Config], setting: Setting) -> Iterator[Row]:
    """Measure each variant."""
    for name, config in configs.items():
        row: Row = {"network": name}
        try:
            ours, theirs, row["against"] = pair(config)
            networks = {"ours": ours, "theirs": theirs} if theirs is not None else {"ours": ours}
            for network in networks.values():
                network.to(setting.device, memory_format=setting.layout)
            facts = facts_of(ours)
            fitting = setting._replace(size=facts.fit(setting.size), crop=facts.fit(setting.crop))
            sides: dict[str, Work]
            sides = {key: forward_of(network, facts.in_channels, fitting) for key, network in networks.items()}
            if theirs is not None:
                row["difference"] = difference(*sides.values())
            row["forward"] = compare(sides, fitting)
            sides = {key: step_of(each, facts.in_channels, facts.scale, fitting) for key, each in networks.items()}
            row["step"] = compare(sides, fitting)
        except (RuntimeError, ValueError, SrtoolboxError) as error:  # the others still count
            row["missing"] = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        yield row


# ---- the report


def line(row: Row) -> str:
    """A row of the table."""
    if "missing" in row:
        return f"| {row['network']} | {row['missing']} |"
    against = row["against"]
    if row.get("difference", 0) > 1e-3:
        against += f", which differs by {row['difference']:.1e}"
    cells = [row["network"], against]
    for work in (row["forward"], row["step"]):
        cells += [f"{work['ms']:.1f}", f"{work['MB']:.1f}"]
        if "ratio" not in work:
            cells += ["", "", ""]
            continue
        low, high = work["quartiles"]
        cells += [f"{work['ratio']:.3f} ({low:.3f} - {high:.3f})", f"{work['fastest']:.3f}", f"{work['memory']:.2f}"]
    return f"| {' | '.join(cells)} |"


def machine_of(device: torch.device) -> str:
    """The device, its threads, and how busy it is."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    load = f"; load {os.getloadavg()[0]:.1f} of {os.cpu_count()}" if hasattr(os, "getloadavg") else ""
    against = f", spandrel {release()}" if is_installed() else ""
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}{against}{load}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="families, or variants whose names begin so"
    )
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--size", type=int, default=64, help="of the image, in LR pixels (default: 64)")
    parser.add_argument("--crop", type=int, default=32, help="of a training step, in LR pixels (default: 32)")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20, help="for the rounds of one comparison (default: 20)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--quick", action="store_true", help="images of 16 pixels, one round")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    if args.quick:
        args.size, args.crop, args.rounds = 16, 16, 1
    if not variants(args.scale, args.only):
        parser.error(f"--only {' '.join(args.only)}: no network has such a name and x{args.scale}")
    return args


def main() -> None:
    """Measure and print a line a variant as it comes."""
    args = parse()
    torch.set_num_threads(args.threads)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    device = select_device(args.device)
    setting = Setting(device, layout, args.size, args.crop, args.batch, args.rounds, args.seconds)
    machine = machine_of(device)
    print(
        f"{machine}\nx{args.scale}; forward: {args.size} x {args.size}; step: {args.batch} x {args.crop} x {args.crop}"
    )
    columns = "ms | MB | ratio (quartiles) | of the fastest | memory"
    print(f"\n| network | against | forward {columns} | step {columns} |\n|---|---|{'--:|' * 10}", flush=True)
    results = []
    for row in rows(variants(args.scale, args.only), setting):
        print(line(row), flush=True)
        results.append(row)
    print(f"\n{machine_of(device)}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine, "setting": vars(args), "networks": results}, default=str))


if __name__ == "__main__":
    main()
