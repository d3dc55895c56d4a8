"""Sharpening by unsharp masks: of GT as Real-ESRGAN does it, and as a fault of LQ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch import kernels
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.filtering import filter_image, filter_images
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import require_positive
from srtoolbox.registry import TRANSFORMS


@TRANSFORMS.register
class USMSharpening(BatchDegradation):
    """Sharpens edges and leaves flat areas as they are, as Real-ESRGAN does with GT.

    Wang et al. 2021 (arXiv:2107.10833) and their code: of an image I and its Gaussian blur B,
    I + weight (I - B), clipped, takes the place of I as far as a mask says: 1 where |I - B| is
    above the threshold, else 0, blurred by the same Gaussian. Nothing is drawn.

    Args:
        weight: how much of the difference is added.
        radius: side of the Gaussian's kernel in px, as published; the next odd number where it is
            even. The standard deviation is 0.3 ((side - 1) / 2 - 1) + 0.8, 8 px for 50.
        threshold: in levels of 8 bits.
    """

    def __init__(self, weight: float = 0.5, radius: int = 50, threshold: float = 10.0) -> None:
        require_positive("USMSharpening", radius=radius)
        if weight < 0 or threshold < 0:
            name, value = ("weight", weight) if weight < 0 else ("threshold", threshold)
            raise ConfigError(f"USMSharpening: {name} is at least 0, got {value}", key=name)
        self.weight, self.threshold = weight, threshold
        side = radius // 2 * 2 + 1
        sigma = np.array([max(0.3 * ((side - 1) / 2 - 1) + 0.8, 0.1)])
        self._kernel = kernels.gaussian(np.array([side]), sigma, sigma, np.zeros(1), side)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        if not images.batched:  # all of one image at a time: it stays in the processor's caches
            return images.map(lambda image, _: self._sharpen(image, lambda plane: filter_image(plane, self._kernel[0])))

        def blur(pixels: Tensor) -> Tensor:
            return filter_images(images.like(pixels), self._kernel).pixels

        return images.like(self._sharpen(images.pixels, blur))

    def _sharpen(self, pixels: Tensor, blur: Callable[[Tensor], Tensor]) -> Tensor:
        residual = pixels - blur(pixels)
        above = residual.abs().mul_(255).sub_(self.threshold).sign_().clamp_(min=0)  # 1 or 0, faster than bool
        mask = blur(above).clamp_(0, 1)  # rounding errors leave that range
        sharpened = pixels.add(residual, alpha=self.weight).clamp_(0, 1)
        return torch.lerp(pixels, sharpened, mask)


@TRANSFORMS.register
class SharpeningHalo(BatchDegradation):
    """Sharpens all of an image until its edges overshoot, as cameras and web services do.

    An unsharp mask without threshold: I + weight (I - B) of an image I and its Gaussian blur B,
    clipped. What is drawn are `weight` and `sigma`.

    Args:
        weight: (lowest, highest) share of the difference that is added.
        sigma: (lowest, highest) standard deviation of the Gaussian in px: how wide halos are.
    """

    def __init__(self, weight: Sequence[float] = (0.3, 1.5), sigma: Sequence[float] = (0.5, 2.5)) -> None:
        self.weight = ordered_range("SharpeningHalo", "weight", weight, 0)
        self.sigma = ordered_range("SharpeningHalo", "sigma", sigma, 0.01)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        weight, sigma = rngs.uniform(*self.weight), rngs.uniform(*self.sigma)
        side = 2 * int(np.ceil(4 * self.sigma[1])) + 1
        kernel = kernels.gaussian(np.full(len(rngs), side), sigma, sigma, np.zeros(len(rngs)), side)
        return {"kernel": kernel, "weight": weight, "sigma": sigma}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        blurred = filter_images(images, parameters["kernel"]).pixels
        pixels = images.pixels[..., : blurred.shape[-2], : blurred.shape[-1]]
        weight = upload(parameters["weight"].astype(np.float32), images.device)[:, None, None, None]
        sharpened = (pixels - blurred).mul_(weight).add_(pixels).clamp_(0, 1)
        return images.like(sharpened)
