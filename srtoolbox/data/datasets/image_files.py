"""Single image files as a set to evaluate on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srtoolbox.data.datasets.base import expanded
from srtoolbox.data.transforms.base import Sample
from srtoolbox.errors import DataError
from srtoolbox.image import read_image
from srtoolbox.resize import imresize


class ImageFiles:
    """Images that are the truth; LQ is their MATLAB bicubic reduction, as `GTOnlyDataset` makes it.

    Images are cut at the right and bottom to multiples of `scale`.

    Args:
        paths: image files.
        scale: GT size over LQ size.
    """

    def __init__(self, paths: Sequence[str | Path], scale: int) -> None:
        self.paths = [Path(path) for path in paths]
        self.scale = scale

    def __len__(self) -> int:
        return len(self.paths)

    def keys(self) -> list[str]:
        """File names without suffix."""
        return [path.stem for path in self.paths]

    def __getitem__(self, index: int) -> Sample:
        """`{'lq': (h, w, 3), 'gt': (scale * h, scale * w, 3), 'key': str}`, uint8 or uint16.

        Raises:
            ImageError: unreadable.
            DataError: smaller than `scale`.
        """
        path = self.paths[index]
        image = read_image(path)
        height, width = (side // self.scale for side in image.shape[:2])
        if not height or not width:
            raise DataError(f"{path}: {image.shape[1]}x{image.shape[0]} is too small to be reduced by {self.scale}")
        gt = image[: height * self.scale, : width * self.scale]
        lq = imresize(gt, size=(height, width))
        return {"lq": expanded(lq, 3), "gt": expanded(gt, 3), "key": path.stem}
