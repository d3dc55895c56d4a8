"""NIQE, the distance of an image's statistics from those of natural images; no truth is needed.

Mittal, Soundararajan, Bovik: "Making a completely blind image quality analyzer" (IEEE Signal
Processing Letters 2013).
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from srtoolbox.devices import lacks_float64
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError
from srtoolbox.io.mat_files import read_mat
from srtoolbox.metrics.base import Metric
from srtoolbox.metrics.natural_scenes import BLOCK, FEATURES, blocks_in, describe_blocks
from srtoolbox.registry import METRICS

OWN = Path(__file__).with_name("niqe_statistics.npz")
SHARP = 0.75
"""Blocks sharper than this part of an image's sharpest one are natural images' statistics."""
KEYS = (("mu_pris_param", "cov_pris_param"), ("mu_prisparam", "cov_prisparam"), ("pop_mu", "pop_cov"))
"""The names that the mean and the covariance have in published files."""

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    RuntimeError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged file raises, or one of another kind."""


class Statistics(NamedTuple):
    """The statistics of natural images.

    Attributes:
        mean: (36,) float64.
        covariance: (36, 36) float64.
    """

    mean: np.ndarray
    covariance: np.ndarray


@METRICS.register
class NIQE(Metric):
    """Natural image quality evaluator, without a reference: about 2 to 20, lower is better.

    The distance of Gaussians that were fitted to features of the image's blocks of 96x96 px and to
    those of natural images. As the authors' MATLAB code, of luma rounded to 8 bit, as BasicSR
    measures it. An image needs two whole blocks; one with less than two that are not flat scores
    nan.

    Args:
        crop_border: px left out at each side of the image.
        protocol: 'rgb' or 'y_direct', see `metrics.base`.
        statistics: a file of the statistics of natural images: BasicSR's `niqe_pris_params.npz`,
            the authors' `modelparameters.mat`, or one that `fit_statistics` made. None: ours, from
            another set of images than the published ones, so that figures differ a little.
    """

    higher_is_better = False
    needs_target = False
    is_perceptual = True

    def __init__(self, crop_border: int = 0, protocol: str = "rgb", *, statistics: str | None = None) -> None:
        super().__init__(crop_border, True, protocol)
        if faults := _file_faults(statistics):
            raise ConfigError([fault.of("NIQE") for fault in faults])
        self.file = OWN if statistics is None else Path(statistics).expanduser()

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a missing file too; it is not read."""
        return super().check(cfg, context) + _file_faults(cfg.get("statistics"))

    def score_images(self, pred: Tensor, target: Tensor | None = None) -> Tensor:
        """(N,), at least 0."""
        height, width = pred.shape[-2:]
        if (blocks := blocks_in(height, width)) < 2:
            size = f"an image of {width}x{height} px (borders cut) holds {blocks or 'no'} block{'s' * (not blocks)}"
            raise SrtoolboxError(f"NIQE: {size} of {BLOCK}x{BLOCK} px, and it takes 2 at least: leave such images out")
        images = pred.split(1) if pred.device.type == "cpu" else [pred]  # one fits a CPU's cache better
        features = [describe_blocks(self.planes(image, torch.float64).round_()).features for image in images]
        natural = [torch.from_numpy(values).to(pred.device) for values in self.statistics]
        return _distances(torch.cat(features), *natural)

    @cached_property
    def statistics(self) -> Statistics:
        """Read at the first image: a config that is only checked reads no file."""
        return load_statistics(self.file)


def _distances(features: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """(N, B, 36) features of blocks -> (N,) distances from natural ones."""
    difference = features.nanmean(1) - mean
    is_whole = ~features.isnan().any(-1, keepdim=True)
    count = is_whole.sum(1)
    known = torch.where(is_whole, features, 0.0)
    centred = torch.where(is_whole, features - (known.sum(1) / count).unsqueeze(1), 0.0)
    own = centred.mT @ centred / (count - 1).clamp(min=1).unsqueeze(-1)
    inverse = torch.linalg.pinv((covariance + own) / 2, hermitian=True)
    squares = torch.einsum("ni,nij,nj->n", difference, inverse, difference)
    return torch.where(count[:, 0] < 2, torch.nan, squares.sqrt())


# ---- statistics of natural images


def fit_statistics(images: Iterable[Tensor]) -> Statistics:
    """Return the statistics of the sharp blocks of natural images.

    Args:
        images: (1, 3, H, W) each, uint8 or float in [0, 1]; without whole blocks they do not count.

    Raises:
        SrtoolboxError: too few blocks for the covariance of 36 features.
    """
    metric, chosen = NIQE(), []
    for image in images:
        if not blocks_in(*image.shape[-2:]):
            continue
        exact = image.cpu() if lacks_float64(image.device) else image
        features, sharpness = describe_blocks(metric.planes(exact, torch.float64).round_())
        chosen.append(features[sharpness > SHARP * sharpness.max()].cpu().numpy())
    blocks = np.concatenate(chosen) if chosen else np.empty((0, FEATURES))
    whole = blocks[~np.isnan(blocks).any(1)]
    if len(whole) <= FEATURES:
        fault = f"the images have {len(whole)} sharp blocks of {BLOCK}x{BLOCK} px"
        raise SrtoolboxError(f"{fault}; the statistics of {FEATURES} features need more: take a hundred images")
    return Statistics(np.nanmean(blocks, axis=0), np.cov(whole, rowvar=False))


def load_statistics(path: Path) -> Statistics:
    """Return the statistics of a `.npz` or `.mat` file.

    Raises:
        SrtoolboxError: a file that cannot be read, is another one or is damaged.
    """
    try:
        with path.open("rb") as file:
            is_mat = path.suffix.lower() == ".mat"
            arrays: Mapping[str, Any] = read_mat(file) if is_mat else np.load(file, allow_pickle=False)
            names: tuple[str, ...] = next((pair for pair in KEYS if set(pair) <= set(arrays)), ())
            found = [np.asarray(arrays[name]).astype(np.float64, casting="same_kind") for name in names]
    except UNREADABLE as error:
        raise SrtoolboxError(f"{path}: cannot be read as statistics for NIQE ({error})") from error
    sizes = [values.size for values in found]
    if sizes != [FEATURES, FEATURES**2] or not all(np.isfinite(values).all() for values in found):
        need = f"{KEYS[0][0]} of {FEATURES} numbers and {KEYS[0][1]} of {FEATURES}x{FEATURES}"
        raise SrtoolboxError(f"{path}: holds no statistics for NIQE, which are {need}")
    mean, covariance = found[0].ravel(), found[1].reshape(FEATURES, FEATURES)
    rising = np.linalg.eigvalsh(covariance)
    if not np.allclose(covariance, covariance.T) or rising[0] < -1e-9 * rising[-1]:
        need = "a symmetric matrix without negative eigenvalues"
        raise SrtoolboxError(f"{path}: {names[1]} is no covariance, which is {need}: take another file")
    return Statistics(mean, covariance)


def _file_faults(statistics: object) -> list[Fault]:
    if statistics is None or (isinstance(statistics, str) and Path(statistics).expanduser().is_file()):
        return []
    fault = f"statistics={statistics!r} is not the path of a file; leave it out for the toolbox's own"
    return [Fault("statistics", fault)]
