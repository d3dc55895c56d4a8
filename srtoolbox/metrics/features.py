"""Distance in the features of a classification network, which is nearer to the eye than pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.features import FeatureNetwork
from srtoolbox.features.backbones import layer_faults, weight_faults
from srtoolbox.metrics.base import Metric
from srtoolbox.registry import METRICS


@METRICS.register
class FeatureDistance(Metric):
    """Mean over layers and places of |f(pred) - f(target)|^2 of feature vectors of length 1.

    This is LPIPS (Zhang et al. 2018, arXiv:1801.03924) without its learned weights: 0 for equal
    images, at most 2 after a ReLU, layers count alike. Give it layers that no loss of the run uses:
    features that were trained on are no judge. Of RGB as saved; computed in float32.

    Args:
        backbone: a torchvision network, see `srtoolbox.features.backbones`.
        layers: names of its layers.
        weights: 'imagenet' (downloaded by torchvision), the path of a file, or 'random'.
        crop_border: px left out at each side of the image.
    """

    higher_is_better = False
    is_perceptual = True

    def __init__(self, backbone: str, layers: Sequence[str], weights: str = "imagenet", crop_border: int = 0) -> None:
        super().__init__(crop_border, y_channel=False)
        if faults := layer_faults(backbone, layers) + weight_faults(weights):
            raise ConfigError([fault.of("FeatureDistance") for fault in faults])
        self.backbone, self.layers, self.weights = backbone, tuple(layers), weights

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Unknown backbone or layer, or a missing file of weights; reads none."""
        faults = layer_faults(cfg.get("backbone"), cfg.get("layers")) + weight_faults(cfg.get("weights", "imagenet"))
        return super().check(cfg, context) + faults

    def score_images(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N,), at least 0."""
        network = self.network.to(pred.device)
        features, true = network(self.as_saved(pred)), network(self.as_saved(target))
        distances = []
        for name in self.layers:
            difference = F.normalize(features[name]) - F.normalize(true[name])
            distances.append(difference.square_().sum(1).flatten(1).mean(1, dtype=torch.float64))
        return torch.stack(distances).mean(0)

    @cached_property
    def network(self) -> FeatureNetwork:
        """Built at the first image: a config that is only checked reads no weights."""
        return FeatureNetwork(self.backbone, self.layers, weights=self.weights)
