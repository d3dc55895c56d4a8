"""Measures of others' making that judge an image alone, through the library pyiqa.

Their weights were fitted to people's opinions of photographs. The library is for noncommercial
purposes only. Nothing is downloaded unless `download` allows it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from srtoolbox.errors import Fault, SrtoolboxError
from srtoolbox.metrics.learned import INSTALL, LibraryMetric
from srtoolbox.registry import METRICS

SOURCE = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"


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
        scores = self.measure(pred.device)(self.as_saved(pred))
        if scores.numel() != len(pred):
            raise SrtoolboxError(f"{type(self).__name__}: pyiqa gave {tuple(scores.shape)} for {len(pred)} images")
        return scores.double().reshape(len(pred))


@METRICS.register
class BRISQUE(BlindMetric):
    """Distortions told from statistics of the scene (Mittal et al., IEEE TIP 2012). Lower is better."""

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
    """Agreement with prompts such as 'Good photo' (Wang et al. 2022, arXiv:2207.12396), of CLIP RN50."""

    library_name = "clipiqa"
    score_range = (0.0, 1.0)
    file = "clip/RN50.pt"


@METRICS.register
class TOPIQ(BlindMetric):
    """From semantics to distortions (Chen et al. 2023, arXiv:2308.03060), without reference, of KonIQ-10k."""

    library_name = "topiq_nr"
    score_range = (0.0, 1.0)
    file = "pyiqa/cfanet_nr_koniq_res50-9a73138b.pth"
    backbone = "timm/resnet50.a1_in1k"
