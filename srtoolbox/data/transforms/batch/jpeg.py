"""JPEG computed in PyTorch: each image at a quality of its own, on any device, with gradients if need be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.data.loading.draws import Rngs
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan, upload
from srtoolbox.data.transforms.batch.pixelwise import YCBCR
from srtoolbox.data.transforms.degrade import ordered_range
from srtoolbox.devices import exact_products
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS

SUBSAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:4:0": (2, 1), "4:2:0": (2, 2)}
"""How many rows and columns of an image share a value of Cb and Cr."""

# T.81, tables K.1, transposed as in the published code, and K.2
_LUMA_STEPS = np.array(
    [
        [16, 12, 14, 14, 18, 24, 49, 72],
        [11, 12, 13, 17, 22, 35, 64, 92],
        [10, 14, 16, 22, 37, 55, 78, 95],
        [16, 19, 24, 29, 56, 64, 87, 98],
        [24, 26, 40, 51, 68, 81, 103, 112],
        [40, 58, 57, 87, 109, 104, 121, 100],
        [51, 60, 69, 80, 103, 113, 120, 103],
        [61, 55, 56, 62, 77, 92, 101, 99],
    ]
)
_CHROMA_STEPS = np.full((8, 8), 99)
_CHROMA_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

TO_YCBCR = 255 * YCBCR
"""From RGB in [0, 1] to luma and chroma in levels, those of chroma about 0."""
FROM_CBCR = np.array([[0, 1.402], [-0.344136, -0.714136], [1.772, 0]]) / 255
"""From chroma back to what it adds to each of RGB."""


@TRANSFORMS.register
class DiffJPEG(BatchDegradation):
    """Quantises the DCT of blocks of 8 x 8 as JPEG does, without its rounding of pixels.

    As in Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833, BasicSR's `diffjpeg.py`): beyond its last
    rows and columns an image is black, chroma is a mean of pixels and comes back without
    interpolation, steps of quantisation are no whole numbers, and those of luma are transposed
    (the real codec, `JPEGCompression`, has them as they are).

    Args:
        quality: (lowest, highest) from 1 to 100, each between them equally likely.
        subsampling: of chroma, '4:4:4', '4:2:2', '4:4:0' or '4:2:0', or several, each equally likely.
        differentiable: let gradients pass: x is rounded to round(x) + (x - round(x))^3 (Shin and Song
            2017, "JPEG-resistant adversarial images").
    """

    def __init__(
        self,
        quality: Sequence[float] = (30, 95),
        subsampling: str | Sequence[str] = "4:2:0",
        *,
        differentiable: bool = False,
    ) -> None:
        self.quality = ordered_range("DiffJPEG", "quality", quality, 1, 100)
        self.subsampling = known_subsamplings("DiffJPEG", subsampling)
        self.differentiable = differentiable

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"quality": rngs.uniform(*self.quality), "subsampling": rngs.one_of(self.subsampling)}

    def apply(self, images: Images, parameters: Parameters) -> Images:
        qualities, kinds = parameters["quality"], parameters["subsampling"]
        if not images.batched:
            return images.map(lambda image, n: self._coded(image[None], qualities[n : n + 1], kinds[n])[0])
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            some = images.select(rows)
            coded = self._coded(some.pixels.where(some.inside(), 0.0), qualities[rows], kind)
            images = images.replace(rows, some.like(coded))
        return images

    def _coded(self, pixels: Tensor, quality: np.ndarray, subsampling: str) -> Tensor:
        return compress(pixels, quality, subsampling, differentiable=self.differentiable)


def compress(
    pixels: Tensor, quality: np.ndarray, subsampling: str = "4:2:0", *, differentiable: bool = False
) -> Tensor:
    """Return images as JPEG leaves them.

    Args:
        pixels: (N, C, H, W) float32 in [0, 1], RGB or gray; any size.
        quality: of each, (N,), from 1 to 100 (which is taken as 99.95: the steps must not be 0).
        subsampling: one of `SUBSAMPLINGS`.
        differentiable: see `DiffJPEG`.
    """
    channels, height, width = pixels.shape[1:]
    share = SUBSAMPLINGS[subsampling] if channels == 3 else (1, 1)
    below, right = (-length % (8 * each) for length, each in zip((height, width), share, strict=True))
    if below or right:
        pixels = F.pad(pixels, (0, right, 0, below))
    factors = np.where(quality < 50, 50 / quality, np.maximum(2 - quality / 50, 1e-3))
    result = pixels * 255 if channels == 1 else mix_channels(pixels, TO_YCBCR[:1])
    result = _quantised(result.sub_(128), _LUMA_STEPS, factors, differentiable).add_(128).div_(255)
    if channels == 3:
        chroma = mix_channels(_shrunk(pixels, share), TO_YCBCR[1:])
        chroma = _quantised(chroma, _CHROMA_STEPS, factors, differentiable)
        result = F.interpolate(mix_channels(chroma, FROM_CBCR), size=result.shape[-2:]).add_(result)
    return result.clamp_(0, 1)[..., :height, :width]


def mix_channels(planes: Tensor, matrix: np.ndarray) -> Tensor:
    """Weigh and add the channels of (N, C, H, W) for each new one."""
    weights = upload(matrix.astype(np.float32), planes.device)
    with exact_products(planes.device):
        return torch.matmul(weights, planes.flatten(2)).unflatten(2, planes.shape[2:])


def known_subsamplings(owner: str, subsampling: str | Sequence[str]) -> list[str]:
    """Return one subsampling or several as a list. Raises ConfigError unless all are known."""
    kinds = [subsampling] if isinstance(subsampling, str) else list(subsampling)
    if not kinds or not set(kinds) <= set(SUBSAMPLINGS):
        names = ", ".join(map(repr, SUBSAMPLINGS))
        raise ConfigError(f"{owner}: subsampling is one or several of {names}, got {subsampling!r}", key="subsampling")
    return kinds


def _quantised(planes: Tensor, steps: np.ndarray, factors: np.ndarray, differentiable: bool) -> Tensor:
    """Round the DCT of each block of (N, C, H, W), in levels about 0, to multiples of its steps."""
    count, channels, height, width = planes.shape
    blocks = planes.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(count, -1, 64)
    dct = upload(_DCT, planes.device)
    size = upload((factors[:, None, None] * steps.reshape(1, 1, 64)).astype(np.float32), planes.device)
    with exact_products(planes.device):
        values = torch.matmul(blocks, dct).div_(size)
    if differentiable:
        whole = values.detach().round()
        values = whole + (values - whole) ** 3
    else:
        values.round_()
    with exact_products(planes.device):
        blocks = torch.matmul(values.mul_(size), dct.T)
    blocks = blocks.view(count, channels, height // 8, width // 8, 8, 8).transpose(3, 4)
    return blocks.reshape(count, channels, height, width)


def _shrunk(pixels: Tensor, share: tuple[int, int]) -> Tensor:
    """Return the means of so many rows and columns, each 1 or 2; several times as fast as pooling on a CPU."""
    for axis, number in zip((2, 3), share, strict=True):
        if number == 2:
            first, second = pixels.unflatten(axis, (-1, 2)).unbind(axis + 1)
            pixels = (first + second).mul_(0.5)
    return pixels


def _dct_of_blocks() -> np.ndarray:
    """Return the matrix (64, 64) that a block's pixels, row by row, times it are its DCT."""
    place = np.arange(8)
    waves = np.cos((2 * place + 1) * place[:, None] * np.pi / 16) * np.where(place == 0, np.sqrt(1 / 8), 0.5)[:, None]
    return np.kron(waves, waves).T.astype(np.float32)


_DCT = _dct_of_blocks()
