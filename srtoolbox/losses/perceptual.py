"""Losses over features of a classification network instead of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, Fault, SrtoolboxError
from srtoolbox.features import FeatureNetwork
from srtoolbox.features.backbones import layer_faults, weight_faults
from srtoolbox.registry import LOSSES

CRITERIA: Mapping[str, Callable[[Tensor], Tensor]] = {
    "l1": lambda difference: difference.abs().mean(),
    "l2": lambda difference: difference.square().mean(),
    "mse": lambda difference: difference.square().mean(),
    "fro": lambda difference: torch.linalg.vector_norm(difference.flatten(1), dim=1).mean(),
}


@LOSSES.register
class PerceptualLoss(nn.Module):
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

    colour = "rgb"  # `check` compares it with the generator's

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
        super().__init__()
        arguments = {"layers": layers, "backbone": backbone, "criterion": criterion, "weights": weights}
        if faults := self.check({**arguments, "normalize_loss": normalize_loss}, {}):
            raise ConfigError([fault.of("PerceptualLoss") for fault in faults])
        self.features = FeatureNetwork(backbone, list(layers), weights=weights, normalize_input=normalize_input)
        total = sum(layers.values()) if normalize_loss else 1.0
        self.layers = {name: factor / total for name, factor in layers.items()}
        self.criterion, self.weight, self.style_weight = criterion, weight, style_weight

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report an unknown backbone, layer or criterion, or a missing file; reads no weights."""
        layers, criterion = cfg.get("layers"), cfg.get("criterion", "l1")
        if not isinstance(layers, Mapping):
            fault = f"layers is a dict of layers and their weights, such as {{'conv5_4': 1.0}}; got {layers!r}"
            return [Fault("layers", fault)]
        faults = layer_faults(cfg.get("backbone", "vgg19"), layers) + weight_faults(cfg.get("weights", "imagenet"))
        if criterion not in CRITERIA:
            fault = f"criterion={criterion!r} is not possible; allowed: {', '.join(CRITERIA)}"
            faults.append(Fault("criterion", fault))
        factors = [value for value in layers.values() if isinstance(value, int | float)]
        if len(factors) < len(layers):
            fault = f"layers gives every layer a number as its weight; got {dict(layers)!r}"
            faults.append(Fault("layers", fault))
        elif cfg.get("normalize_loss") and layers and sum(factors) <= 0:
            fault = "normalize_loss divides by the sum of the layers' weights, which must be positive"
            faults.append(Fault("normalize_loss", fault))
        return faults

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1] each -> weighted scalar, float32. The target gets no gradient.

        Raises:
            SrtoolboxError: the shapes differ, are not RGB, or too small for the deepest layer.
        """
        if pred.shape != target.shape:
            shapes = f"prediction {tuple(pred.shape)} and target {tuple(target.shape)}"
            raise SrtoolboxError(f"PerceptualLoss: {shapes} differ in shape")
        with torch.no_grad():
            true = self.features(target)
        features = self.features(pred)
        with torch.autocast(pred.device.type, enabled=False):
            loss = self.weight * self._sum(features, true)
            if self.style_weight:
                grams, true_grams = ({k: gram(v) for k, v in maps.items()} for maps in (features, true))
                loss = loss + self.style_weight * self._sum(grams, true_grams)
        return loss

    def _sum(self, features: dict[str, Tensor], true: dict[str, Tensor]) -> Tensor:
        distance = CRITERIA[self.criterion]
        terms = [weight * distance(features[name] - true[name]) for name, weight in self.layers.items()]
        return torch.stack(terms).sum()


def gram(features: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, C): correlations of channels over all places, divided by C * h * w."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])
