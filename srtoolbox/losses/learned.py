"""Distances of images that were fitted to people's judgement, as losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.features import FeatureNetwork
from srtoolbox.features.backbones import IMAGENET, weight_faults
from srtoolbox.features.channel_weights import (
    DISTS,
    LPIPS,
    PUBLISHED,
    Judge,
    channel_weight_faults,
    load_channel_weights,
)
from srtoolbox.losses.perceptual import FeatureLoss
from srtoolbox.registry import LOSSES

LEAST_NORM = 1e-10  # as the authors of LPIPS have it
C1 = C2 = 1e-6  # as the authors of DISTS have them


class _JudgeLoss(FeatureLoss):
    """Base: features by a backbone of torchvision, channels weighted by a published file."""

    channel_weights: Tensor

    def __init__(
        self, judge: Judge, weight: float, weights: str, source: str, pooling: Literal["max", "l2"] = "max"
    ) -> None:
        super().__init__(FeatureNetwork(judge.backbone, list(judge.layers), weights=weights, pooling=pooling), weight)
        self.register_buffer("channel_weights", load_channel_weights(judge, source), persistent=False)

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report missing files of weights; read none."""
        faults = weight_faults(cfg.get("weights", IMAGENET))
        return faults + channel_weight_faults(cfg.get("channel_weights", PUBLISHED))


@LOSSES.register
class LPIPSLoss(_JudgeLoss):
    """LPIPS, version 0.1 (Zhang et al. 2018, arXiv:1801.03924), mean over images.

    Features of length 1 at each place; squared differences, each channel weighted; mean over
    places, sum over layers. Its authors train on 'vgg', and papers report 'alex'; so a network that
    was trained on one is judged by the other.

    Args:
        weight: factor of the returned value.
        net: 'vgg' (VGG16), 'alex' (AlexNet) or 'squeeze' (SqueezeNet 1.1).
        weights: of the backbone: 'imagenet' (downloaded by torchvision), the path of a file, or
            'random'.
        channel_weights: 'published' (the authors' file, downloaded once), the path of that file
            (`lpips/weights/v0.1/vgg.pth` of the package lpips), or 'random'.
    """

    def __init__(
        self,
        weight: float = 1.0,
        net: Literal["vgg", "alex", "squeeze"] = "vgg",
        weights: str = IMAGENET,
        channel_weights: str = PUBLISHED,
    ) -> None:
        if faults := self.check({"net": net, "weights": weights, "channel_weights": channel_weights}, {}):
            raise ConfigError([fault.of("LPIPSLoss") for fault in faults])
        super().__init__(LPIPS[net], weight, weights, channel_weights)
        self.net = net

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        net, faults = cfg.get("net", "vgg"), []
        if net not in LPIPS:
            faults.append(Fault("net", f"net={net!r} is not possible; allowed: {', '.join(LPIPS)}"))
        return faults + super().check(cfg, context)

    def distance(self, maps: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        squares = [(_unit(maps[name]) - _unit(true[name])).square().mean((0, 2, 3)) for name in maps]
        return self.weight * (torch.cat(squares) @ self.channel_weights)


def _unit(features: Tensor) -> Tensor:
    """Return features of length 1 at each place; where all are 0, as below a ReLU, they stay so."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + LEAST_NORM)


@LOSSES.register
class DISTSLoss(_JudgeLoss):
    """1 - structure and texture similarity (Ding et al. 2020, arXiv:2004.07728), mean over images.

    Of the image and five layers of VGG16 with `L2Pool2d`: means (texture) and covariance
    (structure) of each channel over the whole crop are compared, so textures may be shifted. Crops
    are taken as they are; as a metric, images are brought to 256 pixels first.

    Args:
        weight: factor of the returned value.
        weights: of the backbone: 'imagenet' (downloaded by torchvision), the path of a file, or
            'random'.
        channel_weights: 'published' (the authors' file, downloaded once), the path of that file
            (`weights.pt` of the package dists-pytorch), or 'random'.
    """

    def __init__(self, weight: float = 1.0, weights: str = IMAGENET, channel_weights: str = PUBLISHED) -> None:
        if faults := self.check({"weights": weights, "channel_weights": channel_weights}, {}):
            raise ConfigError([fault.of("DISTSLoss") for fault in faults])
        super().__init__(DISTS, weight, weights, channel_weights, pooling="l2")

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        return {"image": images.to(self.channel_weights.dtype), **self.features(images)}

    def distance(self, maps: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        parts = [_similarities(maps[name], true[name]) for name in maps]
        means, structures = (torch.cat(each, 1) for each in zip(*parts, strict=True))
        likeness = torch.cat((means, structures), 1) @ self.channel_weights / self.channel_weights.sum()
        return self.weight * (1 - likeness).mean()


def _similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) each -> likeness of the channels' means, and of structures, (N, C) each."""
    x_mean, y_mean = (each.mean((2, 3), keepdim=True) for each in (x, y))
    means = (2 * x_mean * y_mean + C1) / (x_mean.square() + y_mean.square() + C1)
    x, y = x - x_mean, y - y_mean
    covariance, variances = ((x * y).mean((2, 3)), (x.square() + y.square()).mean((2, 3)))
    return means.flatten(1), (2 * covariance + C2) / (variances + C2)
