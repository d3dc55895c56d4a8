"""GT images with given LQ images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srtoolbox.data.datasets.base import (
    CropOptions,
    Entry,
    GTDataset,
    Sampling,
    as_list,
    check_options,
    check_transforms,
)
from srtoolbox.data.datasets.crops import CropMode, SmallPolicy
from srtoolbox.data.loading.rng import Rng
from srtoolbox.data.stores.base import Store, Window
from srtoolbox.data.stores.opening import open_store
from srtoolbox.data.stores.pairing import Pair, check_readable, check_sizes, pair_keys
from srtoolbox.errors import DataError, Fault
from srtoolbox.registry import DATASETS


@DATASETS.register
class PairedDataset(GTDataset):
    """Pairs out of two stores (folders or LMDBs), or out of several pairs of stores.

    Args:
        gt, lq: path of a store each, or lists of equal length.
        scale: GT size over LQ size.
        gt_size: side of the GT crop in px; None gives whole images.
        crop: "random", "center", "ten" or None (whole images).
        small: what happens to images smaller than the crop: "error", "reflect" or "zero" (filled up), "skip".
        transforms: transform configs, a list or a named map; in training only.
        channels: 3 (gray images get three equal channels) or 1 (all images must be gray).
        sampling: draw each image equally often ("image") or in proportion to its area ("area").
        lq_name: how LQ files are named after GT files, such as '{}x4'; None tries the usual ways.
        cut: train on pairs whose GT has up to `scale - 1` px more at the right and bottom, which are cut off as in
            evaluation; False refuses them.
        max_images: take only the first so many images (of each store).

    Raises:
        MissingDataError: a store is not there.
        DataError: images without partner, pairs whose sizes do not fit, images too small: all named at once.
            Without gt_size (evaluation) GT may have up to scale - 1 px more at the right and bottom, which are cut off.
    """

    def __init__(
        self,
        gt: str | Sequence[str],
        lq: str | Sequence[str],
        scale: int,
        *,
        gt_size: int | None = None,
        crop: CropMode | None = "random",
        small: SmallPolicy = "error",
        transforms: Sequence[Any] | Mapping[str, Any] = (),
        channels: int = 3,
        sampling: Sampling = "image",
        lq_name: str | None = None,
        cut: bool = False,
        max_images: int | None = None,
    ) -> None:
        options = CropOptions(gt_size, crop, small, transforms, channels, sampling, max_images)
        options.validate(type(self).__name__, scale)
        gts, lqs = as_list(gt), as_list(lq)
        if len(gts) != len(lqs):
            raise DataError(f"gt and lq name {len(gts)} and {len(lqs)} stores: give one LQ store for each GT store")
        entries: list[Entry] = []
        for gt_store, lq_store, pairs in _matched(gts, lqs, scale, lq_name):
            check_sizes(gt_store, lq_store, pairs, scale, leftover=cut or gt_size is None)
            entries += [_entry(gt_store, lq_store, pair) for pair in pairs[:max_images]]
        super().__init__(entries, scale, options)

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        return check_options(cfg) + check_transforms(cfg.get("transforms"))

    def _read(self, entry: Entry, window: Window, rng: Rng | None = None) -> tuple[np.ndarray, np.ndarray]:
        return entry.lq.read(entry.lq_key, window), entry.gt.read(entry.gt_key, window.scaled(self.scale))


def _matched(
    gts: Sequence[str], lqs: Sequence[str], scale: int, lq_name: str | None
) -> list[tuple[Store, Store, list[Pair]]]:
    """GT and LQ stores with their pairs; that all their images can be read is checked over all stores at once."""
    matched = []
    for gt_path, lq_path in zip(gts, lqs, strict=True):
        gt, lq = open_store(gt_path), open_store(lq_path)
        matched.append((gt, lq, pair_keys(gt, lq, scale, lq_name)))
    stores = [(gt, [pair.gt for pair in pairs]) for gt, _, pairs in matched]
    check_readable(stores + [(lq, [pair.lq for pair in pairs]) for _, lq, pairs in matched])
    return matched


def _entry(gt: Store, lq: Store, pair: Pair) -> Entry:
    return Entry(gt, lq, pair.gt, pair.lq, *lq.shape(pair.lq)[:2])
