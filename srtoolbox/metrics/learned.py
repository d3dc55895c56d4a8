"""Measures of others' making, through the library pyiqa (the extra `metrics`), of RGB as saved.

The library downloads their weights at the first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS


class LibraryMetric(Metric):
    """Base: one of pyiqa's metrics, made at the first image.

    Args:
        crop_border: px left out at each side of the image.
    """

    library_name: str
    needs_target = True

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border, y_channel=False)
        self._measures: dict[torch.device, Callable[..., Tensor]] = {}

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,) of the library, which must be installed and find its weights."""
        if pred.device not in self._measures:
            self._measures[pred.device] = _create_measure(self.library_name, pred.device)
        measure = self._measures[pred.device]
        images = [self.as_saved(image).split(1) for image in ((pred, target) if self.needs_target else (pred,))]
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


def _create_measure(name: str, device: torch.device) -> Callable[..., Tensor]:
    torchvision_models()  # the library imports torchvision, which may need help
    try:
        library = importlib.import_module("pyiqa")
    except ImportError as error:
        fault = f"the metric {name!r} needs the library pyiqa, which cannot be imported ({error})"
        raise SrtoolboxError(f"{fault}: pip install 'srtoolbox[metrics]'") from error
    try:
        with torch.inference_mode(False):
            return library.create_metric(name, device=device)
    except Exception as error:  # a failed download surfaces as nearly anything
        raise SrtoolboxError(
            f"pyiqa cannot make {name!r} ({type(error).__name__}: {error}). It downloads weights at the first use; "
            f"where that is impossible, let it do so elsewhere and copy its files to {torch.hub.get_dir()}. "
            "FeatureDistance needs no download: it takes a local file"
        ) from error
