"""Measures of others' making, through the library pyiqa (the extra `metrics`), of RGB as saved.

The library is for noncommercial purposes only. It downloads weights at the first use; those of
measures that judge an image alone, which were fitted to people's opinions of photographs, only
where `download` allows it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from srtoolbox.devices import is_out_of_memory, tell_once
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.logger import LOGGER
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS
from srtoolbox.text import first_line

INSTALL = "pip install 'srtoolbox[metrics]', then pip install --no-deps pyiqa"
SOURCE = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"
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


# ---- of an image and the truth


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


# ---- of an image alone


class BlindMetric(LibraryMetric):
    """Base: one of pyiqa's metrics without reference, of whole batches.

    Args:
        crop_border: px left out at each side of the image.
        download: let the library download weights that are missing, into the folders that the
            message about them names.
    """

    higher_is_better = True
    needs_target = False
    score_range: ClassVar[tuple[float, float]]
    """About the least and the greatest score."""
    file: ClassVar[str]
    """Of its weights, in torch's folder of downloads, as pyiqa 0.1.16 calls it."""
    backbone: ClassVar[str | None] = None
    """The repository of the weights that it begins with, in the cache of the Hugging Face hub."""

    def __init__(self, crop_border: int = 0, *, download: bool = False) -> None:
        super().__init__(crop_border)
        self.download = download

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a missing library and missing weights, before anything is run."""
        fault = cls.missing(is_allowed=cfg.get("download", False))
        return super().check(cfg, context) + ([Fault("type", fault)] if fault else [])

    @classmethod
    def missing(cls, *, is_allowed: bool) -> str | None:
        """Return what the metric lacks here, with what to do; None for nothing.

        `is_allowed` says that weights may be downloaded.
        """
        name = cls.__name__
        if importlib.util.find_spec("pyiqa") is None:
            return f"{name} needs the library pyiqa: {INSTALL}"
        lacks = [] if is_allowed else [text for path, text in cls._files() if not path.exists()]
        if not lacks:
            return None
        return f"{name}: weights are missing here. Put {', and '.join(lacks)}; or let them be downloaded: download=True"

    @classmethod
    def _files(cls) -> list[tuple[Path, str]]:
        """Return each file or folder, and how to come by it."""
        path = Path(torch.hub.get_dir(), cls.file)
        source = SOURCE if path.parent.name == "pyiqa" else "CLIP of OpenAI"
        files = [(path, f"{path.name} ({source}) into {path.parent}")]
        if cls.backbone is not None:
            home = os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface"
            cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))
            folder = cache / f"models--{cls.backbone.replace('/', '--')}"
            files.append((folder, f"the folder {folder.name} of a machine that has downloaded it into {cache}"))
        return files

    def score_images(self, pred: Tensor, target: Tensor | None = None) -> Tensor:
        """(N,) of the library, all images at once."""
        if fault := self.missing(is_allowed=self.download):
            raise SrtoolboxError(fault)
        scores = self._judged(pred)
        if scores.numel() != len(pred):
            raise SrtoolboxError(f"{type(self).__name__}: pyiqa gave {tuple(scores.shape)} for {len(pred)} images")
        return scores.double().reshape(len(pred))

    def _judged(self, pred: Tensor) -> Tensor:
        """Return what the library gives for images; some of its networks refuse small ones, each in its own way."""
        measure = self.measure(pred.device)
        try:
            return measure(self.as_saved(pred))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            size = f"an image of {pred.shape[-1]}x{pred.shape[-2]} px (borders cut)"
            fault = f"pyiqa cannot score {size} ({type(error).__name__}: {first_line(error)})"
            raise SrtoolboxError(f"{type(self).__name__}: {fault}: leave such images out, or this metric") from error


@METRICS.register
class BRISQUE(BlindMetric):
    """Distortions told from statistics of the scene (Mittal et al., IEEE TIP 2012).

    Lower is better.
    """

    higher_is_better = False
    library_name = "brisque"
    score_range = (0.0, 150.0)
    file = "pyiqa/brisque_svm_weights.pth"


@METRICS.register
class MUSIQ(BlindMetric):
    """Multi-scale image quality transformer (Ke et al. 2021, arXiv:2108.05997), of KonIQ-10k."""

    library_name = "musiq"
    score_range = (0.0, 100.0)
    file = "pyiqa/musiq_koniq_ckpt-e95806b9.pth"


@METRICS.register
class MANIQA(BlindMetric):
    """Multi-dimension attention (Yang et al. 2022, arXiv:2204.08958), of KonIQ-10k."""

    library_name = "maniqa"
    score_range = (0.0, 1.0)
    file = "pyiqa/ckpt_koniq10k.pt"
    backbone = "timm/vit_base_patch8_224.augreg2_in21k_ft_in1k"


@METRICS.register
class CLIPIQA(BlindMetric):
    """Agreement with prompts as 'Good photo' (Wang et al. 2022, arXiv:2207.12396), of CLIP RN50."""

    library_name = "clipiqa"
    score_range = (0.0, 1.0)
    file = "clip/RN50.pt"


@METRICS.register
class TOPIQ(BlindMetric):
    """From semantics to distortions (Chen et al. 2023, arXiv:2308.03060), of KonIQ-10k."""

    library_name = "topiq_nr"
    score_range = (0.0, 1.0)
    file = "pyiqa/cfanet_nr_koniq_res50-9a73138b.pth"
    backbone = "timm/resnet50.a1_in1k"
