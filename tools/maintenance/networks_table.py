"""Writes the table of docs/networks.md to choose a network by, and the picture beside it.

A row is a variant that a class names: parameters and Multi-Adds are counted on the meta device, published scores are
those of the tables in configs/*/README.md and in the page itself (a table with columns `network`, `trained on`, `scale`
and the sets; a blank cell means the one above, a star: not confirmed). Time and memory stay as the page has them unless
they are measured anew.

    python tools/maintenance/networks_table.py                              # counts and scores
    python tools/maintenance/networks_table.py --measure                    # time and memory of all, too: half an hour
    python tools/maintenance/networks_table.py --measure SwinIR-light SPAN  # of these
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from torch import nn

from srtoolbox.apps.cost import count_flops
from srtoolbox.inference.tiling.memory import peak_bytes
from srtoolbox.interfaces import facts_of, fuse_branches, network_kind, variants_of
from srtoolbox.plots.charts import COLOURS, INK, SOFT, add_legend, new_panels, simplify, write_figure
from srtoolbox.registry import NETWORKS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/networks.md"
PICTURE = ROOT / "docs/img/networks.png"
BEGIN, END = "<!-- written by tools/maintenance/networks_table.py -->\n", "<!-- to here -->\n"
GT = (720, 1280)
SIDE, RUNS, SECONDS = 64, 5, 5.0  # of what is timed; two passes at least
COLUMNS = (
    *("network", "parameters", "Multi-Adds", "ms", "MB"),
    *("Set5 x4", "Urban100 x4", "Set5 x2", "Urban100 x2", "trained on", "scales"),
)
MS, MB = COLUMNS.index("ms"), COLUMNS.index("MB")  # which are measured
TRAININGS = ("DIV2K", "DF2K", "ImageNet, DF2K", "others")
NOT_SHOWN = ("Adapter", "Bicubic", "Spandrel")


class Published(NamedTuple):
    """The scores of one training of a network."""

    trained_on: str
    source: str  # a file, as the page refers to it
    psnr: Mapping[tuple[str, int], str]  # by set and scale, with a star where it is not confirmed


class Row(NamedTuple):
    """A variant as the table shows it."""

    name: str
    parameters: int
    macs: int
    published: Published | None
    scales: str


# ---- what is published


def published(root: Path = ROOT) -> dict[str, Published]:
    """Return the scores of each network; of several trainings the one with the best of Urban100, x4 before x2."""
    found: dict[str, list[Published]] = {}
    for path in [*sorted(root.glob("configs/*/README.md")), root / "docs/networks.md"]:
        source = "#published-scores" if path.parent.name == "docs" else f"../configs/{path.parent.name}/README.md"
        for name, trainings in _scores_in(path.read_text(encoding="utf-8")).items():
            found.setdefault(name, []).extend(Published(on, source, psnr) for on, psnr in trainings.items())
    return {name: max(trainings, key=_quality) for name, trainings in found.items()}


def _quality(training: Published) -> tuple[float, ...]:
    order = itertools.product((4, 2, 3), ("Urban100", "Set5"))
    return tuple(float(training.psnr.get((name, scale), "0").rstrip("*")) for scale, name in order)


def _scores_in(text: str) -> dict[str, dict[str, dict[tuple[str, int], str]]]:
    """Return network -> training images -> (set, scale) -> PSNR, of all such tables in a text."""
    found: dict[str, dict[str, dict[tuple[str, int], str]]] = {}
    columns: list[str] = []
    above: dict[str, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif cells[:3] == ["network", "trained on", "scale"]:
            columns, above = cells, {}
        elif columns and not cells[0].startswith("--"):
            row = dict(zip(columns, cells, strict=True))
            above = {key: row.pop(key) or above.get(key, "") for key in columns[:3]}
            scores = found.setdefault(above["network"], {}).setdefault(above["trained on"], {})
            for name, cell in row.items():
                if cell:
                    scores[name, int(above["scale"])] = cell.split(" /")[0].rstrip(" *") + "*" * cell.endswith("*")
    return found


# ---- what is counted and measured


def variants() -> dict[str, dict[str, Any]]:
    """The config of each variant at x4, or at the only scale it has."""
    generators = [name for name in NETWORKS if network_kind(NETWORKS.get(name)) == "generator"]
    return {
        name: {"type": family, "scale": 4, **arguments}
        for family in generators
        if family not in NOT_SHOWN
        for name, arguments in variants_of(NETWORKS.get(family)).items()
    }


def build(config: Mapping[str, Any], device: str = "meta") -> nn.Module:
    """The network as it upscales, without branches."""
    with torch.device(device):
        network = NETWORKS.build(config).eval()
    fuse_branches(network)
    return network


def rows(names: Iterable[str] | None = None) -> Iterator[Row]:
    """Count each variant, or those of these names."""
    scores, configs = published(), variants()
    for name in configs if names is None else names:
        network = build(configs[name])
        facts = facts_of(network)
        sides = [facts.fit(-(-side // facts.scale)) for side in GT]
        flops, _ = count_flops(network, torch.empty(1, facts.in_channels, *sides, device="meta"))
        parameters = sum(each.numel() for each in network.parameters())
        yield Row(name, parameters, flops // 2, scores.get(name), scales_of(name, configs[name]))


def scales_of(name: str, config: Mapping[str, Any]) -> str:
    """The factors by which a variant upscales: '2, 3, 4', 'any'."""
    family = NETWORKS.get(config["type"])
    if "scale" in variants_of(family)[name]:
        return str(config["scale"])
    return "any" if family.scales is None else ", ".join(map(str, family.scales))


@torch.inference_mode()
def timed(config: Mapping[str, Any]) -> tuple[str, str]:
    """Milliseconds of the fastest of some passes over an image, and the MB that are alive at most.

    The time is the process's own on one thread, which others on the machine disturb less. The pass in which memory is
    counted is not timed.
    """
    torch.manual_seed(0)
    network = build(config, "cpu")
    facts = facts_of(network)
    lq = torch.rand(1, facts.in_channels, facts.fit(SIDE), facts.fit(SIDE))
    weights = [*network.parameters(), *network.buffers()]
    memory = peak_bytes(lambda: network(lq)) + sum(each.nbytes for each in (*weights, lq))
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < RUNS and sum(seconds) < SECONDS):
        start = time.process_time()
        network(lq)
        seconds.append(time.process_time() - start)
    return short(min(seconds) * 1e3), short(memory / 1e6)


# ---- the page


def short(value: float) -> str:
    """A number of about three digits: '0.58', '12.3', '1558'."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def line(row: Row, times: tuple[str, str]) -> str:
    """A row of the table."""
    million = row.parameters >= 1e6
    count = f"{short(row.parameters / (1e6 if million else 1e3))} {'M' if million else 'K'}"
    cells = [row.name, count, f"{short(row.macs / 1e9)} G", *times]
    psnr = row.published.psnr if row.published else {}
    cells += [psnr.get((name, scale), "") for scale in (4, 2) for name in ("Set5", "Urban100")]
    cells += [f"[{row.published.trained_on}]({row.published.source})" if row.published else "", row.scales]
    return re.sub(" +", " ", f"| {' | '.join(cells)} |")


def lines_of(page: str) -> dict[str, list[str]]:
    """The cells of each row that the page has."""
    section = page.partition(BEGIN)[2].partition(END)[0]
    found = ([cell.strip() for cell in text.strip("|").split("|")] for text in re.findall(r"^\|.*\|$", section, re.M))
    return {cells[0]: cells for cells in found if cells[0] != "network" and not cells[0].startswith("--")}


def rewritten(page: str, found: Sequence[Row], times: Mapping[str, tuple[str, str]], words: str) -> str:
    """Return the page with the table anew; `words` tell how it was measured, '' keeps the page's."""
    before, _, rest = page.partition(BEGIN)
    section, _, after = rest.partition(END)
    words = words or next(iter(re.findall(r"^Measured: .*$", section, re.M)), "")
    old = {name: (cells[MS], cells[MB]) for name, cells in lines_of(page).items()}
    rule = "|---|" + "--:|" * 8 + "---|---|"
    ordered = sorted(found, key=lambda row: row.macs)
    header = f"| {' | '.join(COLUMNS)} |"
    table = [header, rule, *(line(row, times.get(row.name) or old.get(row.name) or ("", "")) for row in ordered)]
    return f"{before}{BEGIN}" + "\n".join([*table, "", words]) + f"\n{END}{after}"


# ---- the picture


def draw(found: Sequence[Row], page: str) -> None:
    """PSNR on Urban100 at x4 over Multi-Adds and over the time, with names, by the images of the training."""
    cells = lines_of(page)
    points = {row.name: row for row in found if row.published and ("Urban100", 4) in row.published.psnr}
    images = {name: row.published.trained_on for name, row in points.items() if row.published}
    colours = {kind: COLOURS[number] for number, kind in enumerate(TRAININGS)}
    psnr = {name: float(row.published.psnr["Urban100", 4].rstrip("*")) for name, row in points.items() if row.published}
    sides = {
        "Multi-Adds at 1280 x 720, in G": {name: row.macs / 1e9 for name, row in points.items()},
        "ms of a 64 x 64 image, one CPU thread": {name: float(cells[name][MS] or "nan") for name in points},
    }
    figure, axes = new_panels(2, 1, (9.0, 5.2), 0.4)
    add_legend(figure, [Patch(color=colour, label=f"trained on {kind}") for kind, colour in colours.items()])
    for axis, (label, x) in zip(axes, sides.items(), strict=True):
        sizes = [14 + 40 * (row.parameters / 1e6) ** 0.5 for row in points.values()]
        shades = [colours[images[name] if images[name] in colours else TRAININGS[-1]] for name in points]
        axis.scatter(x.values(), psnr.values(), sizes, shades, alpha=0.6, linewidths=0)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel(label)
        axis.set_ylabel("PSNR on Urban100, x4 (dB)")
        simplify(axis)
        figure.draw_without_rendering()
        name_points(axis, {name: (x[name], psnr[name]) for name in points})
    write_figure(PICTURE, figure)


def name_points(axis: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each name beside its point where no other name or point is, or else further off, with a line."""
    renderer = axis.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    near = [(8, -3, "left"), (-8, -3, "right"), (0, 9, "center"), (0, -16, "center")]
    beside = [(dx, side) for distance in (9, 30) for dx, side in ((distance, "left"), (-distance, "right"))]
    places = near + [(dx, dy, side) for dy in (9, -15, 21, -27, 33, -39, 45, -51) for dx, side in beside]
    leader = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4}
    centres = [axis.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in centres]
    for name, point in points.items():
        for dx, dy, side in places:
            options: dict[str, Any] = {"textcoords": "offset points", "ha": side, "fontsize": 8, "color": INK}
            options["arrowprops"] = None if (dx, dy, side) in near else leader
            text = axis.annotate(name, point, (dx, dy), **options)
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)  # without its line to the point
            is_free = axis.bbox.y0 < box.y0 and not any(box.overlaps(other) for other in taken)
            if is_free or (dx, dy, side) == places[-1]:
                taken.append(box)
                break
            text.remove()


def main() -> None:
    """Write the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", metavar="NAME", help="time these variants; without names, all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    page, found = PAGE.read_text(encoding="utf-8"), list(rows())
    configs = {row.name: variants()[row.name] for row in sorted(found, key=lambda row: row.macs)}
    unknown = set(args.measure or ()) - configs.keys()
    if unknown:
        parser.error(f"--measure {min(unknown)}: no variant has this name; there are {', '.join(configs)}")
    wanted = [] if args.measure is None else [name for name in configs if name in args.measure or not args.measure]
    words = ""
    for name in wanted:
        times = timed(configs[name])
        print(f"{name}: {times[0]} ms, {times[1]} MB", flush=True)
        words = (
            f"Measured: one thread of a CPU with {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}."
        )
        page = rewritten(page, found, {name: times}, words)
        PAGE.write_text(page, encoding="utf-8")
    page = rewritten(page, found, {}, "")
    PAGE.write_text(page, encoding="utf-8")
    draw(found, page)
    print(f"{PAGE}: {len(found)} variants")


if __name__ == "__main__":
    main()
