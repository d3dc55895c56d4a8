"""Measures of others' making, through the library pyiqa (the extra `metrics`), of RGB as saved.

The library is for noncommercial purposes only. It downloads weights at the first use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from srtoolbox.devices import tell_once
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.logger import LOGGER
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS

INSTALL = "pip install 'srtoolbox[metrics]', then pip install --no-deps pyiqa"
LICENCE = "pyiqa is for noncommercial purposes only (PolyForm Noncommercial License 1.0.0)"


class LibraryMetric(Metric):
    """Base: one of pyiqa's metrics, made at the first image.

    Args:
        crop_border: px left out at each side of the image.
    """

    library_name: str
    is_perceptual = True

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border, y_channel=False)
        self._measures: dict[torch.device, Callable[..., Tensor]] = {}

    def measure(self, device: torch.device) -> Callable[..., Tensor]:
        """Return the library's measure, which must be installed and find its weights."""
        if device not in self._measures:
            self._measures[device] = _create_measure(self.library_name, device)
        return self._measures[device]

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) of the library, image by image."""
        measure = self.measure(pred.device)
        images = [self.as_saved(image).split(1) for image in (pred, target)]
        return torch.cat([measure(*one).double().reshape(1) for one in zip(*images, strict=True)])


@METRICS.register
class LPIPS(LibraryMetric):
    """LPIPS, version 0.1 (Zhang et al. 2018, arXiv:1801.03924). Lower is better.

    Args:
        net: 'alex', which papers report, or 'vgg'.
        crop_border: px left out at each side of the image.
    """

    higher_is_better = False

    def __init__(self, net: Literal["alex", "vgg"] = "alex", crop_border: int = 0) -> None:
        super().__init__(crop_border)
        names = {"alex": "lpips", "vgg": "lpips-vgg"}
        if net not in names:
            raise ConfigError(f"LPIPS: net={net!r} is not possible; allowed: {', '.join(names)}", key="net")
        self.library_name = names[net]


@METRICS.register
class DISTS(LibraryMetric):
    """Structure and texture similarity (Ding et al. 2020, arXiv:2004.07728). Lower is better."""

    higher_is_better = False
    library_name = "dists"


def _warn_of_two_opencvs() -> None:
    """Warn where pyiqa's installation has written over the files of another opencv."""
    packages = ("opencv-python", "opencv-python-headless")
    if all(any(importlib.metadata.distributions(name=name)) for name in packages):
        LOGGER.warning(
            "opencv-python and opencv-python-headless are both installed, in one folder: the later one wrote over the "
            "other. Keep one: pip uninstall -y opencv-python opencv-python-headless, then pip install opencv-python"
        )


def _create_measure(name: str, device: torch.device) -> Callable[..., Tensor]:
    torchvision_models()  # the library imports torchvision, which may need help
    try:
        library = importlib.import_module("pyiqa")
    except ImportError as error:
        fault = f"the metric {name!r} needs the library pyiqa, which cannot be imported ({error})"
        raise SrtoolboxError(f"{fault}: {INSTALL}") from error
    tell_once(LICENCE)
    _warn_of_two_opencvs()
    try:
        with torch.inference_mode(False):
            return library.create_metric(name, device=device)
    except Exception as error:  # a failed download surfaces as nearly anything
        raise SrtoolboxError(
            f"pyiqa cannot make {name!r} ({type(error).__name__}: {error}). It downloads weights at the first use; "
            f"where that is impossible, let it do so elsewhere and copy its files to {torch.hub.get_dir()}. "
            "FeatureDistance needs no download: it takes a local file"
        ) from error
