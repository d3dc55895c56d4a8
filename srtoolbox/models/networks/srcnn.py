"""SRCNN: three convolutions on the bicubically upscaled image.

Dong, Loy, He, Tang: "Learning a deep convolutional network for image super-resolution" (ECCV 2014,
9-1-5) and "Image super-resolution using deep convolutional networks" (TPAMI 2016, arXiv:1501.00092,
9-5-5 and wider layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from srtoolbox.interfaces import require_choice
from srtoolbox.models.networks.blocks import Padding, PreUpsampled, add_convs, receptive_field, zero_bias
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class SRCNN(PreUpsampled):
    """Bicubic upscaling inside, then `conv1`, `conv2`, `conv3` with ReLU between.

    Args:
        scale: upscaling factor; fractional ones by `forward(lq, size=...)`.
        kernels: kernel sizes, (9, 1, 5) or (9, 5, 5) in the papers; more layers are possible.
        channels: channels of the hidden layers, one fewer than kernels: (64, 32), or (128, 64).
        colour: 'y' (the papers' choice) or 'rgb'.
        padding: beyond the border, before every convolution: 'replicate' as in the authors' test
            code, or 'zeros'.
        init: 'gaussian' is the papers' N(0, 0.001) with zero biases, 'torch' is nn.Conv2d's own.
        mean: subtracted from the input and added to the output: 0.0 in the papers; 0.5 centres the
            images, and training converges several times faster to the same class of functions.
    """

    hidden_arguments: ClassVar = {"padding": ("replicate", "zeros"), "mean": (0.0, 0.5)}
    variants: ClassVar = {"SRCNN": {}, "SRCNN-955": {"kernels": (9, 5, 5)}}

    def __init__(
        self,
        scale: int,
        kernels: Sequence[int] = (9, 1, 5),
        *,
        channels: Sequence[int] = (64, 32),
        colour: str = "y",
        padding: str = "replicate",
        init: str = "gaussian",
        mean: float = 0.0,
    ) -> None:
        super().__init__(scale, colour)
        require_choice("SRCNN", "padding", padding, ("replicate", "zeros"))
        require_choice("SRCNN", "init", init, ("gaussian", "torch"))
        self.mean = mean
        widths = (self.in_channels, *channels, self.in_channels)
        convs = add_convs(self, widths, kernels, cast("Padding", padding))
        self.receptive_field = receptive_field([("bicubic", scale), *kernels])
        self.refine_field = receptive_field(kernels)
        if init == "gaussian":
            for conv in convs:
                nn.init.normal_(conv.weight, std=0.001)
                zero_bias(conv)

    def refine(self, upscaled: Tensor) -> Tensor:
        features = upscaled - self.mean if self.mean else upscaled
        *hidden, last = self.children()
        for conv in hidden:
            features = torch.relu_(conv(features))
        return last(features) + self.mean if self.mean else last(features)
