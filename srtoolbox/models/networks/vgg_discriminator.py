"""VGGDiscriminator: the discriminators of SRGAN and ESRGAN, and everything of their shape.

Ledig et al. 2017 (SRGAN, arXiv:1609.04802), Wang et al. 2018 (ESRGAN, arXiv:1809.00219), both after
DCGAN and VGG.

state_dict: `convS_P.{weight,bias}` and `bnS_P`, where S counts the stages (a stage ends with a
convolution of stride 2) and P the convolutions inside one, then `linear1` `linear2` ...: BasicSR's
names, so its files fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.interfaces import Discriminator, require_choice, require_positive
from srtoolbox.models.networks.blocks import gt_sizes, leaky, shown_size
from srtoolbox.registry import NETWORKS


@NETWORKS.register
class VGGDiscriminator(Discriminator):
    """Convolutions that halve the image again and again, fully connected layers to one logit.

    Every convolution is followed by its BatchNorm (the first has none) and LeakyReLU(0.2).

    The defaults are SRGAN's. ESRGAN's, BasicSR's `VGGStyleDiscriminator`: `dict(input_size=128,
    channels=[64, 64, 128, 128, 256, 256, 512, 512, 512, 512], strides=[1, 2] * 5, kernels=[3, 4],
    fc=[100])`: 4x4 convolutions halve, and two stages of 512 channels need the strides.

    Args:
        input_size: side of the images in pixels, a multiple of 2 to the number of convolutions of
            stride 2: the training crops' `gt_size`.
        channels: output channels of each convolution.
        strides: 1 or 2 for each convolution; None: 2 for as many channels as the one before has,
            else 1. So 64, 64, 128, 128, 256, 512, 512 means 1, 2, 1, 2, 1, 1, 2.
        kernels: kernel sizes at stride 1 (odd) and at stride 2 (3 in SRGAN, 4 in BasicSR).
        fc: widths of the hidden fully connected layers, LeakyReLU(0.2) after each.
        norm: 'batch', or None (then no statistics depend on how a batch is divided over processes).
        bias: of the convolutions; None: of only those without a BatchNorm, which has its own.
        colour: 'rgb' or 'y'.
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int] = (64, 64, 128, 128, 256, 256, 512, 512),
        *,
        strides: Sequence[int] | None = None,
        kernels: Sequence[int] = (3, 3),
        fc: Sequence[int] = (1024,),
        norm: str | None = "batch",
        bias: bool | None = None,
        colour: str = "rgb",
    ) -> None:
        super().__init__(colour)
        require_choice("VGGDiscriminator", "norm", norm, ("batch", None))
        strides = strides_of(channels) if strides is None else tuple(strides)
        _check_shape(input_size, channels, strides, kernels, fc)
        self.input_size = input_size
        self._features: list[str] = []
        stage, place, width = 0, 0, self.in_channels
        for number, (outputs, stride) in enumerate(zip(channels, strides, strict=True)):
            name, kernel = f"{stage}_{place}", kernels[stride - 1]
            normed = norm is not None and number > 0
            biased = not normed if bias is None else bias
            conv = nn.Conv2d(width, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=biased)
            self.add_module(f"conv{name}", conv)
            if normed:
                self.add_module(f"bn{name}", nn.BatchNorm2d(outputs))
            self._features.append(name)
            stage, place, width = (stage + 1, 0, outputs) if stride == 2 else (stage, place + 1, outputs)
        widths = (width * (input_size // 2 ** strides.count(2)) ** 2, *fc, 1)
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            self.add_module(f"linear{number}", nn.Linear(inputs, outputs))
        self._linears = [f"linear{number}" for number in range(1, len(widths))]

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """The training crops must have the size the fully connected layers are made for."""
        size = cfg.get("input_size")
        return [
            Fault("input_size", f"input_size is {size}, but {path} is {gt_size}: they must be equal")
            for path, gt_size in gt_sizes(context).items()
            if gt_size != size
        ]

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, input_size, input_size) in [0, 1] -> logits (N, 1), no sigmoid."""
        if image.shape[-2:] != (self.input_size, self.input_size):
            need = f"input_size={self.input_size}"
            raise ConfigError(f"VGGDiscriminator: {need}, got images of {shown_size(image)}")
        features = image
        for place in self._features:
            features = self.get_submodule(f"conv{place}")(features)
            if hasattr(self, f"bn{place}"):
                features = self.get_submodule(f"bn{place}")(features)
            features = leaky(features)
        logits = features.flatten(1)
        for name in self._linears[:-1]:
            logits = leaky(self.get_submodule(name)(logits))
        return self.get_submodule(self._linears[-1])(logits)


def strides_of(channels: Sequence[int]) -> tuple[int, ...]:
    """Return the strides that channels stand for: 2 for as many as the one before has, else 1."""
    return (1, *(2 if this == before else 1 for before, this in pairwise(channels)))


def _check_shape(
    input_size: int, channels: Sequence[int], strides: Sequence[int], kernels: Sequence[int], fc: Sequence[int]
) -> None:
    owner = "VGGDiscriminator"
    require_positive(owner, input_size=input_size)
    for name, widths in {"channels": channels, "fc": fc}.items():
        require_positive(owner, **{f"{name}[{i}]": width for i, width in enumerate(widths)})
    if not channels or len(strides) != len(channels):
        raise ConfigError(f"{owner}: {len(channels)} channels need as many strides, got {len(strides)}", key="strides")
    for stride in strides:
        require_choice(owner, "strides", stride, (1, 2))
    if len(kernels) != 2 or not all(isinstance(k, int) and k > 0 for k in kernels) or kernels[0] % 2 == 0:
        fault = "is not possible; one for stride 1, odd, and one for stride 2"
        raise ConfigError(f"{owner}: kernels={tuple(kernels)!r} {fault}", key="kernels")
    halvings = list(strides).count(2)
    if input_size % 2**halvings:
        fault = f"with {halvings} convolutions of stride 2 it is a multiple of {2**halvings}"
        raise ConfigError(f"{owner}: input_size={input_size} is not possible; {fault}", key="input_size")
