"""Tiles against the whole, for networks that see the whole image: what remains at an overlap, and with which sums.

A line for each overlap (pixels) and each way to come by the sums over the whole image: `own`, each tile has its own;
`1`, `2`, learned in as many rounds over all tiles and given to them; `settled`, in rounds until normalisations in a row
change no more; `maps`, the network has none, but coarse maps
(spatial attention), which are enlarged as in the whole (always beside `1` and `2`); `-`, it has neither. Then, in
levels of 8 bit, `seam`: the largest step across a tile's border in tiles minus whole, a mean over 8 pixels along the
border; `inside`: the same in the middles of tiles, where no border is; `largest` and `mean`: the difference at a pixel;
PSNR between the two.

Networks are files of weights, of any project that the toolbox opens, or names of the registry with their arguments:
these get random weights, whose layers have unit gain, so that what is far away counts at least as in a trained network,
and their results are compared at the contrast of the photograph.

`python tools/benchmarks/tiles.py IMDN_x4.pth "SwinIR(scale=2, num_features=60)" [--tile 96] [--overlaps 16 32]`
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox import load_network, read_image
from srtoolbox.image import to_tensor
from srtoolbox.inference.restore import AutocastRestore
from srtoolbox.inference.tiling.coarse_maps import coarse_steps
from srtoolbox.inference.tiling.grid import TileGrid
from srtoolbox.inference.tiling.planner import Overlap, tile_multiple
from srtoolbox.inference.tiling.source import Source
from srtoolbox.inference.tiling.statistics import are_in_a_row, measure_statistics
from srtoolbox.inference.tiling.stitch import float_bands
from srtoolbox.inference.tiling.sums import find_sums
from srtoolbox.registry import NETWORKS

OWN = ("own", "-")
ALONG = 8  # pixels of a border over which a step is averaged


def build(text: str) -> nn.Module:
    """The network of a file, or of a name and arguments with random weights."""
    if Path(text).is_file():
        return load_network(text).eval()
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    torch.manual_seed(0)
    network = NETWORKS.build(
        {"type": call.func.id} | {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    )
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    return network


def steps(difference: Tensor, grid: TileGrid, scale: int, *, at_borders: bool) -> float:
    """The largest step across a border of a tile or of a cross-fade, or across the middle of a tile."""
    largest = 0.0
    for axis, tiles in ((2, grid.rows), (3, grid.columns)):
        lines = difference.movedim(axis, -1)
        for tile in tiles[1:]:
            middle = (tile.keep_start + tile.keep_stop) // 2
            borders = [tile.keep_start + place for place in (0, tile.fade_in // 2, tile.fade_in)]
            for at in borders if at_borders else [middle - 1, middle, middle + 1]:
                step = (lines[..., at * scale] - lines[..., at * scale - 1]).flatten(0, 1)
                largest = max(largest, F.avg_pool1d(step, ALONG, 1).abs().max().item())
    return largest


def rows(network: nn.Module, is_random: bool, image: np.ndarray, tile: int, overlaps: list[int]) -> Iterator[str]:
    """Lines of the table."""
    run, source = AutocastRestore(network, "fp32"), Source(image, torch.device("cpu"))
    sums, lq = find_sums(run), to_tensor(image)
    ways: list[int | str] = ["own", 1, "settled"] if are_in_a_row(sums) else ["own", 1, 2]
    if not sums.axes:
        ways = ["own", "maps"] if any(coarse_steps(network)) else ["-"]
    whole = run(lq)
    factor = 255 * (float(lq.std() / whole.std()) if is_random else 1)
    for overlap in overlaps:
        grid = Overlap(overlap, tile_multiple(network), True).grid(image.shape[:2], (tile, tile))
        for way in ways:
            rounds = way if isinstance(way, int) else None
            given = None if way in OWN else measure_statistics(run, sums, source, grid, rounds)
            tiles = torch.cat(list(float_bands(given or run, source, network.scale, grid)), 2)
            difference = factor * (tiles - whole)
            psnr = 10 * torch.log10(255**2 / difference.square().mean())
            names = f"{overlap} | {way}"
            seams = [steps(difference, grid, network.scale, at_borders=kind) for kind in (True, False)]
            values = *seams, difference.abs().max(), difference.abs().mean()
            yield f"| {names} | " + " | ".join(f"{value:.3f}" for value in values) + f" | {psnr:.1f} |"


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="FILE_OR_NAME")
    parser.add_argument("--tile", type=int, default=96)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--size", type=int, nargs=2, default=[256, 320], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--image", help="a photograph; scikit-image's cat without it")
    args = parser.parse_args()
    photograph = read_image(args.image) if args.image else skimage.data.chelsea()
    image = photograph[: args.size[0], : args.size[1]]
    print(
        "| network | overlap | sums | seam | inside | largest | mean | PSNR |\n|---|--:|:-:|--:|--:|--:|--:|--:|",
        flush=True,
    )
    for text in args.networks:
        network, is_file = build(text), Path(text).is_file()
        for row in rows(network, not is_file, image, args.tile, args.overlaps):
            print(f"| {Path(text).stem if is_file else text} {row}", flush=True)


if __name__ == "__main__":
    main()
