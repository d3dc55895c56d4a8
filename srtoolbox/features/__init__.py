"""Features of an image: the outputs of chosen layers of a frozen classification network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.features.backbones import IMAGENET, filled_backbone, layer_faults, layer_steps, steps_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HANN = (0.25, 0.5, 0.25)
LEAST_SQUARE = 1e-12  # the gradient of a root is infinite at 0


class L2Pool2d(nn.Module):
    """Halves a map: root of squares blurred by a 3 x 3 Hann window (Hénaff, Simoncelli 2016).

    "Geodesics of learned representations" (ICLR 2016, arXiv:1511.06394). Unlike the maximum's, its
    output moves evenly with a shift of the image.
    """

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor(HANN)
        self.register_buffer("window", torch.outer(line, line)[None, None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, ceil(h / 2), ceil(w / 2))."""
        channels = features.shape[1]
        window = self.window.expand(channels, 1, 3, 3)
        squares = F.conv2d(features.square(), window, stride=2, padding=1, groups=channels)
        return (squares + LEAST_SQUARE).sqrt()


class FeatureNetwork(nn.Module):
    """The layers of a torchvision network up to the deepest of `layers`, frozen.

    It has no parameters (its weights are buffers that no state_dict holds), so no optimizer, DDP or
    checkpoint ever sees them; it stays in evaluation mode, and computes in float32 whatever
    autocast says.

    Args:
        backbone: one of `backbones.BACKBONES`.
        layers: names of the layers, see `backbones`.
        weights: 'imagenet' (downloaded by torchvision), the path of a file, or 'random' (the same
            everywhere).
        normalize_input: subtract ImageNet's mean and divide by its deviation, as the weights of
            torchvision expect.
        pooling: 'max' as the network was trained, or 'l2' for `L2Pool2d` in its place.

    Raises:
        ConfigError: unknown backbone or layer, or no such file.
        CheckpointError: the download failed, or the file does not hold this network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        *,
        weights: str = IMAGENET,
        normalize_input: bool = True,
        pooling: Literal["max", "l2"] = "max",
    ) -> None:
        super().__init__()
        faults = layer_faults(backbone, layers)
        if faults:
            raise ConfigError(faults)
        # built during evaluation it must serve for training, built on `meta` have weights
        with torch.inference_mode(False), torch.device("cpu"):
            model = filled_backbone(backbone, weights)
            self._output_steps = {name: layer_steps(backbone)[name] for name in layers}
            steps = [
                L2Pool2d() if pooling == "l2" and isinstance(module, nn.MaxPool2d) else module
                for _, module in steps_of(model)
            ]
            self.steps = nn.ModuleList(steps[: max(self._output_steps.values()) + 1])
            for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
                self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
            for part in self.modules():  # all tensors become buffers that no state_dict holds
                tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
                for name, tensor in tensors:
                    delattr(part, name)
                    part.register_buffer(name, tensor.detach(), persistent=False)
            self.to("cpu")
        self.backbone, self.layers, self.normalize_input = backbone, tuple(layers), normalize_input
        for index in self._output_steps.values():  # no ReLU in place overwrites the one before
            following = self.steps[index + 1] if index + 1 < len(self.steps) else None
            if isinstance(following, nn.ReLU):
                following.inplace = False
        self.train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return features by layer.

        Args:
            images: (N, 3, H, W) RGB in [0, 1], of any float type; gradients flow through to it.

        Returns:
            {layer: (N, C, h, w)}, float32.

        Raises:
            SrtoolboxError: not three channels, or too small for the deepest layer.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise SrtoolboxError(f"{self.backbone} takes RGB images (N, 3, H, W), got {tuple(images.shape)}")
        if not torch.is_autocast_enabled(images.device.type):  # entering a context costs
            return self._run(images)
        with torch.autocast(images.device.type, enabled=False):
            return self._run(images)

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Stay in evaluation mode."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FeatureNetwork:
        """Take the layout that halves the time on the CPU; elsewhere the usual one."""
        super()._apply(fn, recurse)
        layout = torch.channels_last if self.mean.device.type == "cpu" else torch.contiguous_format
        for buffer in self.buffers():
            if buffer.dim() == 4 and not buffer.is_contiguous(memory_format=layout):
                buffer.data = buffer.data.contiguous(memory_format=layout)
        return self

    def _run(self, images: Tensor) -> dict[str, Tensor]:
        value = images.to(self.mean.dtype)
        if self.normalize_input:
            value = (value - self.mean) / self.std
        outputs = []
        for step in self.steps:
            if _is_too_small(value, step):
                deepest = max(self._output_steps, key=lambda name: self._output_steps[name])
                raise SrtoolboxError(
                    f"an image of {images.shape[-2]}x{images.shape[-1]} px is too small for "
                    f"{self.backbone}'s layer {deepest!r}"
                )
            value = step(value)
            outputs.append(value)
        return {name: outputs[index] for name, index in self._output_steps.items()}


def _is_too_small(value: Tensor, step: nn.Module) -> bool:
    """True if a pooling has no window in a feature map."""
    if not isinstance(step, nn.MaxPool2d) or step.padding:
        return False
    kernel = step.kernel_size
    return min(value.shape[-2:]) < (max(kernel) if isinstance(kernel, tuple) else kernel)
