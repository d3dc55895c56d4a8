"""GT images alone: LQ is made on the fly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srtoolbox.data.datasets.base import CropOptions, Entry, GTDataset, Sampling, as_list, check_options
from srtoolbox.data.datasets.crops import CropMode, SmallPolicy
from srtoolbox.data.loading.rng import Rng
from srtoolbox.data.stores.base import Store, Window
from srtoolbox.data.stores.opening import open_store
from srtoolbox.data.stores.pairing import check_readable
from srtoolbox.errors import DataError, Fault
from srtoolbox.registry import DATASETS
from srtoolbox.resize import imresize

MARGIN = 3
"""LQ pixels read around a crop before it is shrunk. The widened kernel reaches 2 LQ pixels, so the crop's own are
exact.
"""

KEEP_BYTES = 256 << 20
"""If the LQ of all images together takes no more, each is made whole, once, and kept; else around each crop, anew."""


@DATASETS.register
class GTOnlyDataset(GTDataset):
    """Images whose LQ is their MATLAB bicubic reduction, made when asked for: bit for bit the crop of the whole
    image's LQ.

    Images are cut at the right and bottom to multiples of `scale`. Transforms that act on GT first (a rotation) are
    given the pixels they need around the crop; LQ is then the reduction of the GT they made.

    Args:
        gt: path of a store, or several.
        scale, gt_size, crop, small, transforms, channels, sampling, max_images: as in `PairedDataset`.

    Raises:
        MissingDataError: a store is not there.
        DataError: images too small for the crop; all are named.
    """

    makes_lq = True

    def __init__(
        self,
        gt: str | Sequence[str],
        scale: int,
        *,
        gt_size: int | None = None,
        crop: CropMode | None = "random",
        small: SmallPolicy = "error",
        transforms: Sequence[Any] | Mapping[str, Any] = (),
        channels: int = 3,
        sampling: Sampling = "image",
        max_images: int | None = None,
    ) -> None:
        options = CropOptions(gt_size, crop, small, transforms, channels, sampling, max_images)
        options.validate(type(self).__name__, scale)
        stores = [(store, store.keys()[:max_images]) for store in map(open_store, as_list(gt))]
        check_readable(stores)
        entries = [_entry(store, key, scale) for store, keys in stores for key in keys]
        super().__init__(entries, scale, options)
        lq_bytes = sum(3 * entry.height * entry.width for entry in self._entries)
        if self.before_lq is not None:
            changed = (self.cropper.needed + 2 * MARGIN) * scale  # GT px that must be right after these transforms
            self._reach = -(-self.before_lq.margin(changed) // scale)
        self._kept: dict[Entry, np.ndarray] | None = {} if lq_bytes <= KEEP_BYTES else None

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        return check_options(cfg)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None if self._kept is None else {}}  # images do not travel between processes

    def _read(self, entry: Entry, window: Window, rng: Rng | None = None) -> tuple[np.ndarray, np.ndarray]:
        rng = rng if self.before_lq is not None else None
        if self._kept is None or rng is not None:
            return self._read_around(entry, window, rng)
        lq = self._kept.get(entry)
        if lq is None:
            whole = Window(0, 0, entry.height, entry.width)
            lq = imresize(entry.gt.read(entry.gt_key, whole.scaled(self.scale)), size=whole[2:])
            lq.setflags(write=False)
            self._kept[entry] = lq
        return window.cut(lq), entry.gt.read(entry.gt_key, window.scaled(self.scale))

    def _read_around(self, entry: Entry, window: Window, rng: Rng | None) -> tuple[np.ndarray, np.ndarray]:
        """Read the window with what lies around it, change GT, shrink it, cut the window out."""
        outer = inner = _grown(window, MARGIN, entry)
        if rng is not None:
            outer = _grown(window, MARGIN + self._reach, entry)
        gt = entry.gt.read(entry.gt_key, outer.scaled(self.scale))
        if rng is not None:
            gt = inner.within(outer).scaled(self.scale).cut(self._changed(gt, window.within(outer), entry, rng))
        lq = imresize(gt, size=inner[2:])
        window = window.within(inner)
        return window.cut(lq), window.scaled(self.scale).cut(gt)

    def _changed(self, gt: np.ndarray, crop: Window, entry: Entry, rng: Rng) -> np.ndarray:
        top, left, height, width = crop.scaled(self.scale)
        centre = (top + (height - 1) / 2, left + (width - 1) / 2)
        changed = self.before_lq({"gt": gt, "key": entry.gt_key, "centre": centre}, rng)["gt"]
        if changed.shape != gt.shape or changed.dtype != gt.dtype:
            raise DataError(
                f"{entry.gt_key}: the transforms that act on GT before LQ is made turned {gt.shape} {gt.dtype} into "
                f"{changed.shape} {changed.dtype}: they keep size and dtype (round and clip what is computed in floats)"
            )
        return changed


def _grown(window: Window, margin: int, entry: Entry) -> Window:
    """The window and `margin` LQ px around it, as far as the image goes."""
    top, left = max(0, window.top - margin), max(0, window.left - margin)
    bottom = min(entry.height, window.top + window.height + margin)
    right = min(entry.width, window.left + window.width + margin)
    return Window(top, left, bottom - top, right - left)


def _entry(store: Store, key: str, scale: int) -> Entry:
    height, width, _ = store.shape(key)
    if min(height, width) < scale:
        raise DataError(f"{store.source(key)}: {width}x{height} is too small to be reduced by {scale}")
    return Entry(store, None, key, key, height // scale, width // scale)
