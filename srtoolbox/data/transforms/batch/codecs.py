"""Real codecs: each image is compressed and decoded in memory, on the host, at a quality of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.batch.base import Images, Parameters, Plan
from srtoolbox.data.transforms.batch.jpeg import known_subsamplings
from srtoolbox.data.transforms.degrade import Degradation, ordered_range
from srtoolbox.errors import ConfigError
from srtoolbox.image import to_uint8
from srtoolbox.image.pixels import compress_avif, compress_jpeg, compress_webp, require_avif
from srtoolbox.image.video_codecs import VIDEO_CODECS, compress_as_video, require_encoder
from srtoolbox.registry import TRANSFORMS


class Codec(Degradation):
    """A codec of 8 bits: an image of 16 comes back with those."""

    @abstractmethod
    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        """Return what `code` is to be given of each image."""

    @abstractmethod
    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        """Return an image (H, W, C) uint8 of any size, compressed and decoded."""

    def degrade(self, image: np.ndarray, rng: Rng) -> np.ndarray:
        sizes = np.array([image.shape[:2]])
        coded = self.code(to_uint8(image), _of_one(self.draw(rng.alone(), sizes, Plan(sizes, sizes)), 0))
        return coded if image.dtype == np.uint8 else coded.astype(np.uint16) * 257

    def apply(self, images: Images, parameters: Parameters) -> Images:
        return self.change_each(images, lambda image, n: self.code(image, _of_one(parameters, n)))


@TRANSFORMS.register
class JPEGCompression(Codec):
    """Compresses LQ as JPEG and decodes it. The blocks of 8 x 8 begin at the crop's corner.

    Args:
        quality: (lowest, highest) whole numbers from 1 to 100, each between them equally likely.
        subsampling: of chroma, '4:4:4', '4:2:2', '4:4:0' or '4:2:0', or several, each equally likely.
    """

    def __init__(self, quality: Sequence[int] = (30, 95), subsampling: str | Sequence[str] = "4:2:0") -> None:
        self.quality = ordered_range("JPEGCompression", "quality", quality, 1, 100)
        self.subsampling = known_subsamplings("JPEGCompression", subsampling)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"quality": rngs.whole(*self.quality), "subsampling": rngs.one_of(self.subsampling)}

    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        return compress_jpeg(image, parameters["quality"], parameters["subsampling"])


@TRANSFORMS.register
class WebPCompression(Codec):
    """Compresses LQ as lossy WebP, 4:2:0, and decodes it.

    Args:
        quality: (lowest, highest) whole numbers from 1 to 100, each between them equally likely.
    """

    def __init__(self, quality: Sequence[int] = (20, 95)) -> None:
        self.quality = ordered_range("WebPCompression", "quality", quality, 1, 100)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"quality": rngs.whole(*self.quality)}

    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        return compress_webp(image, parameters["quality"])


@TRANSFORMS.register
class AVIFCompression(Codec):
    """Compresses LQ as AVIF (a frame of AV1), 4:2:0, and decodes it.

    Args:
        quality: (lowest, highest) whole numbers from 1 to 100, each between them equally likely.
    """

    def __init__(self, quality: Sequence[int] = (20, 95)) -> None:
        require_avif()
        self.quality = ordered_range("AVIFCompression", "quality", quality, 1, 100)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"quality": rngs.whole(*self.quality)}

    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        return compress_avif(image, parameters["quality"])


@TRANSFORMS.register
class VideoCompression(Codec):
    """Compresses LQ as the last frame of a short clip, 4:2:0, by PyAV (the extra `video`).

    Of a single frame the image is coded in itself, as in APISR (Wang et al. 2024, arXiv:2403.01598),
    whose codecs and quantisers are the defaults. Of more it is predicted from those before, in
    which it lies elsewhere, as in videos (Chan et al. 2022, arXiv:2111.12704, compress clips, too).

    Args:
        codecs: names of `quantisers`, which have these ranges then, or a map of names to (lowest,
            highest): the CRF of 'h264', 'hevc' (0 to 51) and 'vp9' (0 to 63), the scale of the
            steps of 'mpeg1', 'mpeg2' and 'mpeg4' (1 to 31). Codecs and values are equally likely.
        frames: (fewest, most) of the clip.
        motion: rows and columns that the image moves at most from frame to frame, either way.
    """

    quantisers: ClassVar[Mapping[str, Sequence[int]]] = {
        "h264": (23, 38),
        "hevc": (28, 42),
        "mpeg1": (8, 31),
        "mpeg2": (8, 31),
        "mpeg4": (8, 31),
        "vp9": (38, 58),
    }

    def __init__(
        self,
        codecs: Sequence[str] | Mapping[str, Sequence[int]] = ("h264", "hevc", "mpeg2", "mpeg4"),
        frames: Sequence[int] = (1, 1),
        motion: int = 4,
    ) -> None:
        owner = type(self).__name__
        ranges = codecs if isinstance(codecs, Mapping) else {name: self.quantisers.get(name, ()) for name in codecs}
        if not ranges or not set(ranges) <= set(VIDEO_CODECS):
            fault = f"codecs are some of {', '.join(VIDEO_CODECS)}, got {codecs!r}"
            raise ConfigError(f"{owner}: {fault}", key="codecs")
        self.codecs = {
            name: ordered_range(owner, "codecs", ranges[name], *VIDEO_CODECS[name].limits) for name in ranges
        }
        self.frames = ordered_range(owner, "frames", frames, 1)
        if motion < 0:
            raise ConfigError(f"{owner}: motion is 0 or more pixels, got {motion}", key="motion")
        self.motion = motion
        for name in self.codecs:
            require_encoder(name)

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        chosen = rngs.whole(0, len(self.codecs) - 1)
        low, high = np.array(list(self.codecs.values()))[chosen].T
        return {
            "codec": np.array(list(self.codecs))[chosen],
            "quantiser": low + rngs.integers(high + 1 - low),
            "frames": rngs.whole(*self.frames),
            "motion": np.stack([rngs.whole(-self.motion, self.motion) for _ in range(2)], 1),
        }

    def code(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        return compress_as_video(image, **parameters)


def _of_one(parameters: Parameters, number: int) -> dict[str, Any]:
    """Return the parameters of one image as plain values."""
    return {name: values[number].tolist() for name, values in parameters.items()}
