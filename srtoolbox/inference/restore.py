"""A network on tensors: padding, chroma, precision, orientations, patches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.devices import exact_convolutions
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import batch_to_float, rgb_to_ycbcr, to_image, to_tensor, ycbcr_to_rgb
from srtoolbox.image.tensors import to_levels
from srtoolbox.inference.replay import Replays, Upscaled, graphs_for
from srtoolbox.inference.tiling.grid import Tile, cut_axis
from srtoolbox.interfaces import NetworkWrapper, Refinable, Splittable, facts_of, unwrap
from srtoolbox.logger import LOGGER
from srtoolbox.resize import imresize

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Restored(NamedTuple):
    """The result of `restore`; neither tensor is clipped or rounded."""

    rgb: Tensor  # (N, C, H, W) float, with as many channels as the input had: 3, or 1 for gray
    output: Tensor  # the network's own: (N, 1, H, W) luma of a Y network, else (N, 3, H, W)


def restore(network: nn.Module, lq: Tensor) -> Restored:
    """Upscale a batch of any size with a network of either colour.

    A Y network gets the BT.601 luma; the chroma is upscaled by bicubic interpolation. A gray batch
    is three equal channels to the network, and the result is averaged back to one. Gradients and
    modes are the caller's: see `evaluation`.

    Args:
        network: one of NETWORKS, bare or wrapped for DDP.
        lq: (N, C, h, w) float in [0, 1], C = 3 (RGB) or 1 (gray), on the network's device.

    Raises:
        SrtoolboxError: another number of channels.
    """
    is_gray = lq.shape[1] == 1
    if lq.dim() != 4 or lq.shape[1] not in (1, 3):
        raise SrtoolboxError(f"restore takes (N, 3, H, W) or (N, 1, H, W), got {tuple(lq.shape)}")
    rgb = lq.expand(-1, 3, -1, -1) if is_gray else lq
    if facts_of(network).colour == "y":
        ycbcr = rgb_to_ycbcr(rgb)
        output = _run_padded(network, ycbcr[:, :1])
        chroma = imresize(ycbcr[:, 1:], size=(output.shape[-2], output.shape[-1]))
        restored = ycbcr_to_rgb(torch.cat([output.to(chroma.dtype), chroma], 1))
    else:
        restored = output = _run_padded(network, rgb)
    return Restored(restored.mean(1, keepdim=True) if is_gray else restored, output)


def _run_padded(network: nn.Module, lq: Tensor) -> Tensor:
    """Run on any size, padded below and at the right to the `size_multiple`."""
    facts = facts_of(network)
    height, width = lq.shape[-2:]
    bottom, right = -height % facts.size_multiple, -width % facts.size_multiple
    if bottom or right:
        mode = "reflect" if bottom < height and right < width else "replicate"
        lq = F.pad(lq, (0, right, 0, bottom), mode=mode)
    if lq.device.type == "cpu":  # channels last nearly halves the time of most networks there
        lq = lq.contiguous(memory_format=torch.channels_last)
        if lq.shape[1] == 1:  # both layouts are the same memory then, and torch goes by the strides
            rows, columns = lq.shape[-2:]
            lq = lq.as_strided(lq.shape, (rows * columns, 1, columns, 1))
    return network(lq)[..., : height * facts.scale, : width * facts.scale]


class Unchecked(Protocol):
    """A run that waits for no values, and can go on in another way."""

    def unchecked(self, flags: list[Tensor], lq: Tensor, /) -> Tensor:
        """Run; whether the result is finite is one more of `flags`."""

    def fall_back(self) -> None:
        """Let the next run be in another way; raise SrtoolboxError where there is none."""


def checked(run: Unchecked, lq: Tensor) -> Tensor:
    """Run, and again in another way where the values are not finite."""
    while True:
        flags: list[Tensor] = []
        result = run.unchecked(flags, lq)
        if bool(flags[0]):
            return result
        del result
        run.fall_back()


class AutocastRestore:
    """`restore` under autocast: weights stay float32, convolutions and products run in `dtype`.

    Half precision ends at 65504: a network whose values go beyond gives infinite or black pixels.
    Where that happens it is run again in float32, as is everything after.

    Args:
        network: one of NETWORKS.
        dtype: one of DTYPES.
        ensemble: average eight orientations, see `SelfEnsemble`.
    """

    def __init__(self, network: nn.Module, dtype: str, *, ensemble: bool = False) -> None:
        self.network = SelfEnsemble(network) if ensemble else network
        self.dtype = DTYPES[dtype]
        graphs = graphs_for(device_of(network))
        # by channels: an image with transparency is two, of one size
        self.replays = {channels: Replays(graphs) for channels in (1, 3)}

    def __call__(self, lq: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] -> float (N, C, scale * h, scale * w).

        Raises:
            SrtoolboxError: the network's values are not finite in float32 either.
        """
        return checked(self, lq)

    def unchecked(self, flags: list[Tensor], lq: Tensor) -> Tensor:
        """Do the same without waiting: whether the result is finite is one more of `flags`."""
        with torch.autocast(lq.device.type, self.dtype, enabled=self.dtype != torch.float32):
            result = restore(self.network, lq).rgb
        flags.append(result.sum(dtype=torch.float32).isfinite())
        return result

    def whole(self, batch: Tensor, bits: int) -> Upscaled:
        """(1, h, w, C) uint8 or uint16 -> rounded to `bits`, unchecked.

        Sizes that come again are replayed.
        """

        def work(batch: Tensor) -> Upscaled:
            flags: list[Tensor] = []
            return Upscaled(to_levels(self.unchecked(flags, batch_to_float(batch)), bits), flags[0])

        pieces = [module.piece for module in self.network.modules() if isinstance(module, PiecewiseUpsampling)]
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        key = bits, self.dtype, *pieces, *(tensor.data_ptr() for tensor in tensors)
        return self.replays[batch.shape[-1]].run(key, batch, work)

    def forget(self) -> None:
        """Give up the graphs, and their memory."""
        for replays in self.replays.values():
            replays.forget()

    def fall_back(self) -> None:
        """Go on in float32, after a result that was not finite; raises as a call does."""
        if self.dtype == torch.float32:
            raise SrtoolboxError("the network gives values that are not finite: its weights are ruined or not for it")
        name = str(self.dtype).removeprefix("torch.")
        LOGGER.warning("the result in %s is not finite (its range is too small for it): going on in float32", name)
        self.dtype = torch.float32


def upscale_whole(network: nn.Module, image: np.ndarray, *, device: torch.device | str | None = None) -> np.ndarray:
    """Upscale one image by one run of the network on all of it; `upscaler.upscale` takes any size.

    Args:
        network: one of NETWORKS; its training flags are as before afterwards.
        image: HWC uint8 or uint16, RGB or gray (C = 1).
        device: where to run; the network is moved there. None: where the network is.

    Returns:
        HWC of `scale` times the size, same dtype and number of channels.
    """
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16):
        raise SrtoolboxError(f"upscale takes an HWC uint8 or uint16 image, got {image.dtype} {image.shape}")
    if device is not None:
        network.to(device)
    with evaluation(network), torch.inference_mode():
        restored = restore(network, to_tensor(image, device_of(network, device))).rgb
    return to_image(restored, bits=8 * image.dtype.itemsize)


def device_of(network: nn.Module, default: torch.device | str | None = None) -> torch.device:
    """Return where a network's parameters are; `default`, or the CPU, where it has none."""
    return next(network.parameters(), torch.empty(0, device=default)).device


@contextlib.contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Keep the network in evaluation mode inside, every module as it was afterwards.

    So a frozen BatchNorm stays frozen. float32 is float32 inside, see `exact_convolutions`.
    """
    modes = [(module, module.training) for module in network.modules()]
    if any(training for _, training in modes):
        network.eval()
    try:
        with exact_convolutions():
            yield
    finally:
        for module, training in modes:
            # setting an attribute of a module takes longer than all else here
            if module.training is not training:
                module.training = training


FLIPS: Sequence[tuple[int, ...]] = ((), (-1,), (-2,), (-2, -1))
Orientation = tuple[bool, tuple[int, ...]]
"""Whether an image is transposed, and the axes along which it is flipped then."""
ORIENTATIONS: Sequence[Orientation] = tuple(itertools.product((False, True), FLIPS))
PATCHES = ("overlapping", "non-overlapping")
PATCH_SIDE = 33  # SRCNN's training patches
PATCH_BATCH = 256
# most LR pixels of a piece: small enough for the caches, which pays for what it sees around it
PIECE = 8192  # on MSRResNet a little faster than 32768, with three quarters of the memory


class SelfEnsemble(NetworkWrapper):
    """A network averaged over the eight flips and quarter turns of its input.

    The "x8" or "+" of the papers (Timofte et al. 2016, "Seven ways to improve example-based single
    image super resolution", arXiv:1511.02228; Lim et al. 2017, EDSR+): some hundredths to tenths
    of a dB for eight times the work.

    Args:
        network: one of NETWORKS.
    """

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W): the float32 mean of eight results."""
        orientations = iter(ORIENTATIONS)
        total = self._run(lq, *next(orientations)).contiguous()
        for orientation in orientations:
            total.add_(self._run(lq, *orientation))
        return total / 8

    def _run(self, lq: Tensor, is_transposed: bool, flips: tuple[int, ...]) -> Tensor:
        """Run the network on one orientation of `lq`, and turn its result back."""
        oriented = torch.flip(lq.transpose(-2, -1) if is_transposed else lq, flips)
        result = torch.flip(self.network(oriented).float(), flips)
        return result.transpose(-2, -1) if is_transposed else result


class RefinementOnly(NetworkWrapper):
    """A pre-upsampling network (`Refinable`) without its interpolation: a network of scale 1."""

    def __init__(self, network: nn.Module) -> None:
        bare = unwrap(network)
        assert isinstance(bare, Refinable)
        facts = replace(facts_of(bare), scale=1, size_multiple=1, receptive_field=bare.refine_field)
        super().__init__(bare, facts)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""
        assert isinstance(self.network, Refinable)
        return self.network.refine(lq)


class Patchwise(NetworkWrapper):
    """A network of scale 1 on patches of 33 x 33 pixels, as the first programs of SRCNN ran it.

    'overlapping': all of them, one beginning at each pixel, and each pixel is the mean of its
    values in all patches that it lies in (about 1000 times the work). 'non-overlapping': side by
    side, each pixel once; the last ones are smaller. A patch sees nothing around it.

    Args:
        network: a network of scale 1.
        patches: 'overlapping' or 'non-overlapping'.
    """

    def __init__(self, network: nn.Module, patches: str) -> None:
        field = PATCH_SIDE - 1 if patches == "overlapping" else None
        super().__init__(network, replace(facts_of(network), receptive_field=field))
        self.step = 1 if patches == "overlapping" else PATCH_SIDE

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        total = torch.zeros_like(lq, dtype=torch.float32)
        counts = lq.new_zeros(lq.shape[-2:], dtype=torch.float32)
        lefts = self._starts(lq.shape[-1])
        full = [left for left in lefts if left + PATCH_SIDE <= lq.shape[-1]]
        groups = [full[first : first + PATCH_BATCH] for first in range(0, len(full), PATCH_BATCH)]
        groups += [[left] for left in lefts if left + PATCH_SIDE > lq.shape[-1]]
        for top in self._starts(lq.shape[-2]):
            rows = slice(top, top + PATCH_SIDE)
            for group in groups:
                places = [slice(left, left + PATCH_SIDE) for left in group]
                stack = torch.cat([lq[..., rows, place] for place in places])
                results = self.network(stack).float()
                for place, result in zip(places, results.split(lq.shape[0]), strict=True):
                    total[..., rows, place] += result
                    counts[rows, place] += 1
        return total / counts

    def _starts(self, length: int) -> range:
        overlapping = self.step == 1
        return range(0, max(1, length - PATCH_SIDE + 1) if overlapping else length, self.step)


class PiecewiseUpsampling(NetworkWrapper):
    """A network that upsamples the features of the whole image piece by piece: exact and small.

    At four times the size a feature map takes sixteen times the memory; so nearly all that a
    network with several upsampling steps needs, it needs there; but there it sees few pixels.

    Args:
        network: one of NETWORKS that is `Splittable`, bare.
    """

    piece: int | None = PIECE
    """The most LR pixels of a piece, to be changed at will; None: all in one."""

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, scale * H, scale * W)."""
        height, width = lq.shape[-2:]
        if self.piece is None or height * width <= self.piece:
            return self.network(lq)
        network, scale = self.network, self.scale
        assert isinstance(network, Splittable)
        features = network.extract(lq)
        cell, halo = width // features.shape[-1], network.reconstruct_field
        side = int(self.piece**0.5)
        across = width if width <= 4 * side else side  # whole rows lie in one stretch of memory
        result: Tensor | None = None
        for rows in cut_axis(height, max(1, self.piece // across), halo, cell):
            for columns in cut_axis(width, across, halo, cell):
                part = network.reconstruct(_window(features, rows, columns, cell), _window(lq, rows, columns))
                if result is None:
                    result = part.new_empty(*part.shape[:2], height * scale, width * scale)
                kept = part[..., rows.source(scale), columns.source(scale)]
                result[..., rows.target(scale), columns.target(scale)] = kept
        assert result is not None
        return result


def _window(tensor: Tensor, rows: Tile, columns: Tile, cell: int = 1) -> Tensor:
    tall, wide = (slice(tile.read_start // cell, tile.read_stop // cell) for tile in (rows, columns))
    return tensor[..., tall, wide]
