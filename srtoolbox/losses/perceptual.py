"""Losses over features of a classification network instead of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.features import FeatureNetwork
from srtoolbox.features.backbones import layer_faults, weight_faults
from srtoolbox.losses.pixel import exact, require_one_shape
from srtoolbox.registry import LOSSES

CRITERIA: Mapping[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda difference: difference.abs().mean(),
    "l2": lambda difference: difference.square().mean(),
    "mse": lambda difference: difference.square().mean(),
    "fro": lambda difference: torch.linalg.vector_norm(difference.flatten(1), dim=1).mean(),
}


class FeatureLoss(nn.Module):
    """Base: a distance of the features of two RGB images, in float32. The target gets no gradient.

    Args:
        features: the frozen network whose features are compared.
        weight: for `distance`, which gives the weighted value.
    """

    colour = "rgb"  # `check` compares it with the generator's

    def __init__(self, features: FeatureNetwork, weight: float) -> None:
        super().__init__()
        self.features, self.weight = features, weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1] each -> weighted scalar, float32.

        Raises:
            SrtoolboxError: the shapes differ, are not RGB, or too small for the deepest layer.
        """
        require_one_shape(type(self).__name__, pred, target)
        with torch.no_grad():
            true = self.maps(target)
        maps = self.maps(pred)
        with exact(pred):
            return self.distance(maps, true)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return what is compared, by name: (N, C, h, w) each."""
        return self.features(images)

    def distance(self, maps: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        """Return the weighted distance of what `maps` gave of prediction and target, a scalar."""
        raise NotImplementedError


def layer_weight_faults(cfg: Mapping[str, Any]) -> list[Fault]:
    """Return the faults in `layers` (a dict of weights), `backbone` and `weights` of a loss."""
    layers = cfg.get("layers")
    if not isinstance(layers, Mapping):
        fault = f"layers is a dict of layers and their weights, such as {{'conv5_4': 1.0}}; got {layers!r}"
        return [Fault("layers", fault)]
    faults = layer_faults(cfg.get("backbone", "vgg19"), layers) + weight_faults(cfg.get("weights", "imagenet"))
    if not all(isinstance(value, int | float) for value in layers.values()):
        fault = f"layers gives every layer a number as its weight; got {dict(layers)!r}"
        faults.append(Fault("layers", fault))
    return faults


@LOSSES.register
class PerceptualLoss(FeatureLoss):
    """Distance between features of prediction and target (Johnson et al. 2016, arXiv:1603.08155).

    SRGAN's VGG(5,4) (Ledig et al. 2016, arXiv:1609.04802) is layer `relu5_4` of vgg19 with 'mse';
    ESRGAN's (Wang et al. 2018, arXiv:1809.00219) is `conv5_4`, before the activation, with 'l1'.

        weight * sum of (layer's weight * criterion(features))
        + style_weight * sum of (the same of Gram matrices)

    Args:
        layers: {layer: its weight}; the papers' names, see `srtoolbox.features.backbones`.
        backbone: a torchvision network: vgg11/13/16/19 (also with _bn), resnet18/34/50,
            squeezenet1_0/1_1, alexnet.
        weights: 'imagenet' (downloaded by torchvision), the path of a file, or 'random'.
        criterion: mean over elements of the absolute difference ('l1') or of its square ('mse' or
            'l2'), or mean over images of the Frobenius norm of the difference ('fro').
        weight: factor of the features' term.
        style_weight: factor of the term of Gram matrices (C, C), each divided by its C * h * w.
        normalize_input: bring RGB to ImageNet's mean and deviation, as torchvision's networks do.
        normalize_loss: divide both terms by the sum of the layers' weights: a weighted mean.
    """

    def __init__(
        self,
        layers: dict[str, float],
        backbone: str = "vgg19",
        weights: str = "imagenet",
        criterion: str = "l1",
        weight: float = 1.0,
        style_weight: float = 0.0,
        normalize_input: bool = True,
        normalize_loss: bool = False,
    ) -> None:
        arguments = {"layers": layers, "backbone": backbone, "criterion": criterion, "weights": weights}
        if faults := self.check({**arguments, "normalize_loss": normalize_loss}, {}):
            raise ConfigError([fault.of("PerceptualLoss") for fault in faults])
        features = FeatureNetwork(backbone, list(layers), weights=weights, normalize_input=normalize_input)
        super().__init__(features, weight)
        total = sum(layers.values()) if normalize_loss else 1.0
        self.layers = {name: factor / total for name, factor in layers.items()}
        self.criterion, self.style_weight = criterion, style_weight

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report an unknown backbone, layer or criterion, or a missing file; reads no weights."""
        faults, criterion = layer_weight_faults(cfg), cfg.get("criterion", "l1")
        if criterion not in CRITERIA:
            fault = f"criterion={criterion!r} is not possible; allowed: {', '.join(CRITERIA)}"
            faults.append(Fault("criterion", fault))
        if not faults and cfg.get("normalize_loss") and sum(cfg["layers"].values()) <= 0:
            fault = "normalize_loss divides by the sum of the layers' weights, which must be positive"
            faults.append(Fault("normalize_loss", fault))
        return faults

    def distance(self, maps: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        loss = self.weight * self._sum(maps, true)
        if self.style_weight:
            grams, true_grams = ({name: gram(each) for name, each in parts.items()} for parts in (maps, true))
            loss = loss + self.style_weight * self._sum(grams, true_grams)
        return loss

    def _sum(self, maps: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        distance = CRITERIA[self.criterion]
        terms = [weight * distance(maps[name] - true[name]) for name, weight in self.layers.items()]
        return torch.stack(terms).sum()


def gram(features: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, C): correlations of channels over all places, divided by C * h * w."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])
