"""ESPCN: convolutions at the LR size, the last one making scale^2 values per pixel.

Shi et al.: "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network" (CVPR 2016, arXiv:1609.05158).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.interfaces import SRNetwork, require_choice
from srtoolbox.models.networks.blocks import add_convs, receptive_field, zero_bias
from srtoolbox.registry import NETWORKS

# in place: a convolution's backward pass needs its input and weight, not its output
ACTIVATIONS = {"tanh": torch.tanh_, "relu": torch.relu_}
GAINS = {"tanh": nn.init.calculate_gain("tanh"), "relu": nn.init.calculate_gain("relu")}


@NETWORKS.register
class ESPCN(SRNetwork):
    """`conv1` ... `convN` with an activation between, then the sub-pixel shuffle.

    Args:
        scale: upscaling factor.
        kernels: kernel sizes; (5, 3, 3) is the paper's.
        channels: channels of the hidden layers, one fewer than kernels: (64, 32) is the paper's.
        activation: 'tanh' (the paper's final choice) or 'relu'.
        init: 'torch', nn.Conv2d's own, since the paper names none; with zero biases 'orthogonal'
            (the activation's gain, 1 in the last layer) or 'normal' (He et al. 2015, the last layer
            N(0, 0.001) as in SRCNN).
        colour: 'y' (the paper's choice) or 'rgb'.
        mean: subtracted from the input and added to the output: 0.0 in the paper; 0.5 centres the
            images, and training converges several times faster to the same class of functions.
    """

    hidden_arguments: ClassVar = {"activation": ("tanh", "relu"), "mean": (0.0, 0.5)}

    def __init__(
        self,
        scale: int,
        kernels: Sequence[int] = (5, 3, 3),
        *,
        channels: Sequence[int] = (64, 32),
        activation: str = "tanh",
        init: str = "torch",
        colour: str = "y",
        mean: float = 0.0,
    ) -> None:
        super().__init__(scale, colour)
        require_choice("ESPCN", "activation", activation, ACTIVATIONS)
        require_choice("ESPCN", "init", init, ("torch", "orthogonal", "normal"))
        self.activation, self.mean = activation, mean
        convs = add_convs(self, (self.in_channels, *channels, self.in_channels * scale**2), kernels)
        self.receptive_field = receptive_field([*kernels, ("shuffle", scale)])
        if init != "torch":
            _initialise(convs, init, GAINS[activation])

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W)."""
        activate = ACTIVATIONS[self.activation]
        *hidden, last = self.children()
        features = lq - self.mean if self.mean else lq
        for conv in hidden:
            features = activate(conv(features))
        sr = F.pixel_shuffle(last(features), self.scale)
        return sr + self.mean if self.mean else sr


def _initialise(convs: Sequence[nn.Conv2d], init: str, gain: float) -> None:
    for conv in convs:
        is_last = conv is convs[-1]
        zero_bias(conv)
        if init == "orthogonal":
            nn.init.orthogonal_(conv.weight, 1.0 if is_last else gain)
        elif is_last:
            nn.init.normal_(conv.weight, std=0.001)
        else:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
