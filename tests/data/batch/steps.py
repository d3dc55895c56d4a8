"""Degradations of the tests: they end at LQ's size, may need the host, and tell what they have been given."""

from __future__ import annotations

import numpy as np
from torch.nn.functional import interpolate

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan
from srtoolbox.registry import TRANSFORMS


@TRANSFORMS.register
class Brightening(BatchDegradation):
    """Adds up to `most` levels to each image, as many as it draws, and as many as its batch's first one draws."""

    def __init__(self, most: float = 20.0) -> None:
        self.most = most

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"own": rngs.uniform(0.0, self.most), "shared": rngs.shared.uniform(0.0, self.most)}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        levels = (parameters["own"] + parameters["shared"]) / 255
        return images.map(lambda image, n: (image + float(levels[n])).clamp(0, 1))


@TRANSFORMS.register
class HostBrightening(Brightening):
    """The same by a codec's means."""

    on_host = True


@TRANSFORMS.register
class Enlarging(BatchDegradation):
    """Makes every second image, or as it draws, half as large again."""

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"size": np.where(rngs.random()[:, None] < 0.5, sizes * 3 // 2, sizes)}

    def sizes_after(self, sizes: np.ndarray, parameters: Parameters) -> np.ndarray:
        return parameters["size"]

    def apply(self, images: Images, parameters: Parameters) -> Images:
        return images.map(lambda image, n: interpolate(image[None], size=tuple(parameters["size"][n].tolist()))[0])


@TRANSFORMS.register
class Fitting(Enlarging):
    """Makes every image as large as LQ is to be, or `by` pixels larger."""

    def __init__(self, by: int = 0) -> None:
        self.by = by

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"size": np.tile(plan.lq_sizes[:1], (len(sizes), 1)) + self.by}
