"""The contextual loss, which compares features wherever in the image they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.features import FeatureNetwork
from srtoolbox.features.backbones import IMAGENET
from srtoolbox.losses.perceptual import FeatureLoss, layer_weight_faults
from srtoolbox.registry import LOSSES

BLOCK = 1 << 24  # distances that are held at once
LEAST_DISTANCE = 1e-5  # as the authors have it
LEAST_NORM = 1e-5


@LOSSES.register
class ContextualLoss(FeatureLoss):
    """-log of how well each feature of the target is matched by one of the prediction, anywhere.

    Mechrez, Talmi, Zelnik-Manor: "The contextual loss for image transformation with non-aligned
    data" (ECCV 2018, arXiv:1803.02077); for super-resolution, Mechrez et al.: "Maintaining natural
    image statistics with the contextual loss" (ACCV 2018, arXiv:1803.04626). Cosine distances of
    features, less the mean of the target image's; those from one place of the prediction over their
    least; softmax of their negatives over `band_width`; the largest for each place of the target,
    mean over places; sum over layers, mean over images.

    All places count, where the authors' code draws 65 x 65 of larger maps. The matrix of distances
    is made in blocks of rows, each anew in the backward pass where there are several, so memory
    grows with the number of places only; time grows with its square: take a layer from the third
    pooling on for large crops.

    Args:
        layers: {layer: its weight}, see `srtoolbox.features.backbones`.
        backbone: a torchvision network.
        weights: 'imagenet' (downloaded by torchvision), the path of a file, or 'random'.
        band_width: the papers' h: the smaller, the more only the nearest feature counts.
        weight: factor of the returned value.
    """

    def __init__(
        self,
        layers: dict[str, float],
        backbone: str = "vgg19",
        weights: str = IMAGENET,
        band_width: float = 0.5,
        weight: float = 1.0,
    ) -> None:
        arguments = {"layers": layers, "backbone": backbone, "weights": weights, "band_width": band_width}
        if faults := self.check(arguments, {}):
            raise ConfigError([fault.of("ContextualLoss") for fault in faults])
        super().__init__(FeatureNetwork(backbone, list(layers), weights=weights), weight)
        self.layers, self.band_width = dict(layers), band_width

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report an unknown backbone or layer, a missing file, or a width that is not above 0.

        Read no weights.
        """
        faults, width = layer_weight_faults(cfg), cfg.get("band_width", 0.5)
        if isinstance(width, int | float) and not width > 0:
            faults.append(Fault("band_width", f"band_width={width!r} is not possible; it is above 0"))
        return faults

    def distance(self, maps: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        terms = [-factor * self.similarity(maps[name], true[name]).log().mean() for name, factor in self.layers.items()]
        return self.weight * torch.stack(terms).sum()

    def similarity(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N, C, h, w) features each -> (N,), above 0 and at most 1."""
        centre = target.mean((2, 3), keepdim=True)
        pred, target = (_directions(features - centre) for features in (pred, target))
        if len(pred) * pred.shape[2] * target.shape[2] <= BLOCK:
            best = self._best_matches(pred.transpose(1, 2), target)
        else:
            pairs = zip(pred.split(1), target.split(1), strict=True)
            best = torch.cat([self._best_by_blocks(*each) for each in pairs])
        return best.mean(1)

    def _best_by_blocks(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return (1, Q) for (1, C, P) and (1, C, Q) directions; memory for `BLOCK` distances."""
        blocks = pred.transpose(1, 2).split(max(1, BLOCK // target.shape[2]), 1)
        parts = [
            checkpoint(self._best_matches, block, target, use_reentrant=False, preserve_rng_state=False)
            for block in blocks
        ]
        return torch.stack(parts).amax(0)

    def _best_matches(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return how well each place of the target is matched by one of the prediction's, (N, Q).

        Args:
            pred: (N, P, C) directions, all or some of the prediction's.
            target: (N, C, Q), all of the target's.
        """
        distances = ((1 - pred @ target) / 2).clamp_min(0)
        relative = distances / (distances.amin(2, keepdim=True) + LEAST_DISTANCE)
        return torch.softmax(-relative / self.band_width, 2).amax(1)


def _directions(features: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, h * w), of length 1.

    What is as good as 0 in a flat image stays short.
    """
    flat = features.flatten(2)
    return flat / (torch.linalg.vector_norm(flat, dim=1, keepdim=True) + LEAST_NORM)
