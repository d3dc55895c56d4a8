"""The comparison of an exported file with its network, before it gets its name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from srtoolbox.apps.export.form import NUMBERS, ExportForm
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import rgb_to_ycbcr, to_tensor
from srtoolbox.inference.restore import device_of, evaluation, restore

LIMITS = {"fp32": 80.0, "fp16": 40.0}
"""PSNR in dB that an exported file must reach against the network it was made of."""
ROUNDED = 60.0
"""The same of a file that takes and gives float16 or uint8."""
# the same of the images to compare on, if they are so large
_COMPARED = ((1, 67, 93), (1, 96, 64), (3, 33, 40))
_SMALLEST = 33

Run = Callable[[np.ndarray], np.ndarray]
"""What the file makes of a batch, in the numbers and the layout of its form."""


class Parity(NamedTuple):
    """The difference of an exported file's result from the network's, over all values."""

    psnr: float
    """In dB, for a peak of 1; inf where there is no difference."""
    largest: float
    """The largest difference."""


def compared(form: ExportForm, run: Run, batches: Sequence[Tensor]) -> Parity:
    """Compare a file with its network in float32, in other sizes than traced where it takes any."""
    worst, squared, count = 0.0, 0.0, 0
    for batch in batches:
        expected = _rounded(form, reference(form, batch))
        result = np.asarray(run(_as_input(form, batch)))
        values = _as_output(form, result)
        if values.shape != tuple(expected.shape) or result.dtype != _as_input(form, batch).dtype:
            raise SrtoolboxError(f"gives {result.dtype} {result.shape} for {tuple(expected.shape)}")
        difference = np.abs(values - expected.double().numpy())
        worst = max(worst, float(difference.max()) if np.isfinite(values).all() else math.inf)
        squared, count = squared + float(np.square(difference).sum()), count + difference.size
    return Parity(math.inf if squared == 0 else 10 * math.log10(count / squared), worst)


def pieces(form: ExportForm, image: np.ndarray) -> list[Tensor]:
    """Return batches around the middle of a photograph, (N, C, H, W), mirrored where N > 1.

    They are rounded to what the file takes. Of a form of one size, two of that, for which a smaller
    photograph goes on mirrored.
    """
    if min(image.shape[:2]) < _SMALLEST:
        raise SrtoolboxError(
            f"the image to compare on is {image.shape[1]}x{image.shape[0]}; it needs {_SMALLEST} px each way"
        )
    sizes = _COMPARED if form.static is None else ((1, *form.static),)
    if form.static is not None:
        missing = [max(0, side - length) for side, length in zip(form.static, image.shape[:2], strict=True)]
        image = np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")
    whole = to_tensor(image if image.shape[2] == 3 else np.repeat(image, 3, 2))
    whole = whole if form.channels == 3 else rgb_to_ycbcr(whole)[:, :1]
    batches = []
    for batch, *sides in sizes:
        sides = [min(side, length) for side, length in zip(sides, whole.shape[-2:], strict=True)]
        top, left = ((length - side) // 2 for side, length in zip(sides, whole.shape[-2:], strict=True))
        piece = whole[..., top : top + sides[0], left : left + sides[1]]
        batches.append(torch.cat([piece, piece.flip(3), piece.flip(2)][:batch]).contiguous())
    if form.static is not None:
        batches.append(batches[0].flip(3))
    return [_rounded(form, batch) for batch in batches]


def reference(form: ExportForm, batch: Tensor) -> Tensor:
    """Return the network's own result, float32 in [0, 1]."""
    (network,) = form.original
    with evaluation(network), torch.inference_mode():
        lq = batch.to(device_of(network))
        return (network(lq) if form.channels == 1 else restore(network, lq).rgb).cpu()


def check(parity: Parity, form: ExportForm, path: str | os.PathLike) -> None:
    """Raise a SrtoolboxError where a file differs by more than its numbers explain."""
    is_half = form.compute == torch.float16
    limit = min(LIMITS["fp16" if is_half else "fp32"], LIMITS["fp32"] if form.io == "fp32" else ROUNDED)
    if not parity.psnr >= limit:
        advice = "; its values may be too large for float16: export in float32" if is_half else ""
        raise SrtoolboxError(
            f"{os.fspath(path)}: not written: its result differs from the network's "
            f"(PSNR {parity.psnr:.1f} dB, {limit:g} is asked; largest difference {parity.largest:.2g}){advice}"
        )


def _rounded(form: ExportForm, batch: Tensor) -> Tensor:
    """Return values of [0, 1] as the numbers of a form hold them, in float32."""
    if form.io == "uint8":
        return (batch * 255).round().clamp(0, 255) / 255
    return batch.to(NUMBERS[form.io]).to(torch.float32)


def _as_input(form: ExportForm, batch: Tensor) -> np.ndarray:
    values = (batch * 255).round() if form.io == "uint8" else batch
    values = values.to(NUMBERS[form.io])
    return (values.permute(0, 2, 3, 1) if form.layout == "nhwc" else values).contiguous().numpy()


def _as_output(form: ExportForm, result: np.ndarray) -> np.ndarray:
    values = result.astype(np.float64) / (255 if form.io == "uint8" else 1)
    return values.transpose(0, 3, 1, 2) if form.layout == "nhwc" and values.ndim == 4 else values
