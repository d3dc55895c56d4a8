"""Pairs of GT and LQ: read, crop, transform. And PairedDataset, whose LQ is given."""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from srtoolbox import dist
from srtoolbox.data.datasets.base import SRDataset, as_list, expand
from srtoolbox.data.datasets.crops import (
    CropMode,
    CropOptions,
    Cropper,
    Sampling,
    Shards,
    SmallPolicy,
    option_faults,
    pad,
)
from srtoolbox.data.datasets.entries import Entries, Entry, Part
from srtoolbox.data.loading.draws import Draw, Rng
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.base import Store, Window
from srtoolbox.data.stores.index import Names
from srtoolbox.data.stores.pairing import Pairs, check_readable, check_sizes, first_faults, pair_keys, raise_faults
from srtoolbox.data.stores.sharded import Share
from srtoolbox.data.transforms.base import (
    BEFORE_LQ,
    ON_GT_ALONE,
    ON_PAIRS,
    Compose,
    Sample,
    check_sample,
    map_images,
    transforms_on_gt_alone,
)
from srtoolbox.errors import ConfigError, DataError, Fault
from srtoolbox.interfaces import IMAGE_KEYS
from srtoolbox.registry import DATASETS
from srtoolbox.text import counted

ImagesOfEntry = dict[str, np.ndarray]
"""'lq', unless it is left out, and 'gt': arrays (h, w, C) and (scale*h, scale*w, C)."""
_log = logging.getLogger(__name__)


class GTDataset(SRDataset):
    """A dataset with GT. A subclass reads a window of an image; all else is here.

    If it makes LQ from GT (`makes_lq`), `before_lq` holds the transforms that act on GT first, or
    None, and `transforms` the others; else `transforms` holds all. Its samples have the images of
    `image_keys`.
    """

    makes_lq: ClassVar[bool] = False
    image_keys: Sequence[str] = IMAGE_KEYS
    scale: int

    def __init__(self, entries: Entries, scale: int, options: CropOptions) -> None:
        self.scale, self.channels = scale, options.channels
        self.transforms = Compose(options.transforms)
        self.before_lq: Compose | None = None
        if self.makes_lq:
            self.before_lq = self.transforms.at_stage(BEFORE_LQ)
            self.transforms = self.transforms.at_stage(ON_PAIRS) or Compose()
        elif self.transforms.at_stage(ON_GT_ALONE):
            raise ConfigError(f"{type(self).__name__}: transforms: one of them {_ON_GT_ALONE}")
        margin = self.transforms.margin(options.gt_size or 0)
        self.cropper = Cropper(options.gt_size, scale, options.crop, margin)
        self._small, self._sampling = options.small, options.sampling
        self.is_share = own_share(options.shards) is not None
        if not len(entries):
            raise DataError("a dataset needs at least one store of images")
        if self.channels == 1 and len(colour := np.flatnonzero(entries.channels() != 1)):
            raise_faults(
                f"{counted(len(colour), 'image is', 'images are')} in colour, but channels=1",
                first_faults(colour, lambda number: entries[number].gt.source(entries.key(number))),
                "Leave channels at 3",
                limit=None,
            )
        self._entries = self._large_enough(entries)
        for part in entries.parts:
            for store in filter(None, part[:2]):
                store.rest()

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Return the `option_faults` of a config, whose scale `srtoolbox.check` compares."""
        return option_faults(cfg["scale"], cfg) if "scale" in cfg else []

    def sample(self, draw: Draw) -> Sample:
        rng = Rng(draw.seed, draw.number)
        sample = self._crop(draw.index, rng)
        names = [name for name in IMAGE_KEYS if name in sample]
        sample = self.transforms(sample, rng)
        for name in names:
            sample[name] = self.cropper.trim(sample[name], self._factor(name))
        check_sample(sample, self.scale, self.transforms.transforms)
        return sample

    def place(self, draw: Draw) -> Window | None:
        number, crop = divmod(draw.index, self.cropper.per_image)
        entry = self._entries[number]
        window = self.cropper.window(entry.height, entry.width, Rng(draw.seed, draw.number), crop)
        inner = self.cropper.inner(window)
        return None if inner is None else inner.scaled(self.scale)

    def whole(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        if self.cropper.mode in ("center", "ten"):
            return self._crop(index % len(self), None)
        entry = self._entries[index % len(self)]
        return self._as_sample(entry, self._read(entry, Window(0, 0, entry.height, entry.width)))

    def _crop(self, index: int, rng: Rng | None) -> Sample:
        """Read a window of an image, with the margin that the transforms need around the crop."""
        place, number = divmod(index, self.cropper.per_image)
        entry, needed = self._entries[place], self.cropper.needed
        window = self.cropper.window(entry.height, entry.width, rng, number)
        images = self._read(entry, window, rng)
        if entry.height < needed or entry.width < needed:
            images = self._filled(images)
        sample = self._as_sample(entry, images)
        return map_images(sample, lambda image: image[:, ::-1]) if number >= 5 else sample

    def images(self, number: int) -> ImagesOfEntry:
        """Return LQ and GT of an image, whole, filled up to a crop: crops are windows of them."""
        entry = self._entries[number]
        images = self._filled(self._read(entry, Window(0, 0, entry.height, entry.width)))
        return {name: expand(image, self.channels) for name, image in images.items()}

    def sizes(self) -> np.ndarray:
        """Return height and width in LQ pixels, (n, 2) int64, of all `images`."""
        sizes = np.concatenate([np.stack(block, 1) for block in self._entries.sizes()]).astype(np.int64)
        return np.maximum(sizes, self.cropper.needed)

    @abstractmethod
    def _read(self, entry: Entry, window: Window, rng: Rng | None = None) -> ImagesOfEntry:
        """Return LQ and GT of an LQ window; with `rng`, GT after `before_lq`."""

    def _as_sample(self, entry: Entry, images: ImagesOfEntry) -> Sample:
        return {**{name: expand(image, self.channels) for name, image in images.items()}, "key": entry.gt_key}

    def _filled(self, images: ImagesOfEntry) -> ImagesOfEntry:
        """Return the images at least as large as what is read for a crop."""
        needed = self.cropper.needed
        return {name: pad(image, needed * self._factor(name), self._small) for name, image in images.items()}

    def _factor(self, name: str) -> int:
        """Return the size of an image, by its name, over that of LQ."""
        return 1 if name == "lq" else self.scale

    def __len__(self) -> int:
        return len(self._entries) * self.cropper.per_image

    def keys(self) -> Sequence[str]:
        """Return the image's name for every index: of ten crops all ten have it."""
        return Names(len(self), lambda number: self._entries.key(number // self.cropper.per_image))

    def draw_weights(self) -> np.ndarray | None:
        if self._sampling == "image":
            return None
        areas = np.concatenate([heights.astype(float) * widths for heights, widths in self._entries.sizes()])
        return areas if self.cropper.per_image == 1 else np.repeat(areas, self.cropper.per_image)

    def digest(self) -> str:
        pairs = [(part.gt, part.lq) for part in self._entries.parts]
        stores = dict.fromkeys(store for pair in pairs for store in pair if store is not None)
        parts = [type(self).__name__, str(self.scale), str(len(self))]
        parts += [store.digest() for store in stores]
        return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()

    def _large_enough(self, entries: Entries) -> Entries:
        """Return the entries without those that are left out for their size."""
        needed = self.cropper.needed
        are_small = np.concatenate([(heights < needed) | (widths < needed) for heights, widths in entries.sizes()])
        small = np.flatnonzero(are_small)
        if not len(small) or self._small in ("reflect", "zero"):
            return entries

        def name(number: int) -> str:
            entry = entries[number]
            return f"{entry.gt.source(entry.gt_key)}: {entry.width * self.scale}x{entry.height * self.scale}"

        names, pixels = first_faults(small, name), needed * self.scale
        if self._small == "error" or len(small) == len(entries):
            raise_faults(
                f"{len(small)} of {counted(len(entries), 'image')} smaller than the crop of {pixels} px",
                names,
                "Take a smaller gt_size, or say what to do with them: small='skip', 'reflect' or 'zero'",
                limit=None,
            )
        images = counted(len(small), "image")
        _log.info("left out %s smaller than %d px: %s", images, pixels, ", ".join(names))
        return entries.only(~are_small)


def own_share(shards: Shards) -> Share | None:
    """Return the share of the shards that this rank reads; None if that is all of them."""
    return Share(dist.rank(), dist.world_size()) if shards == "rank" and dist.world_size() > 1 else None


_ON_GT_ALONE = (
    "acts on GT before LQ is made from it, but here LQ is given: take GTOnlyDataset, which makes "
    "LQ, or another transform (RandomHorizontalFlip, RandomTranspose ...)"
)
GIVES_LQ = (
    "PairedDataset gives LQ, but model.preprocess makes it from GT: take GTOnlyDataset, or train on these "
    "pairs without model.preprocess"
)


@DATASETS.register
class PairedDataset(GTDataset):
    """Pairs out of two stores (folders or LMDBs), or out of several pairs of stores.

    Args:
        gt, lq: path of a store each, or lists of equal length.
        scale: GT size over LQ size.
        gt_size: side of the GT crop in px; None gives whole images.
        crop: "random", "center", "ten" or None (whole images).
        small: for images smaller than the crop: "error", "reflect" or "zero" (filled up), "skip".
        transforms: transform configs, a list or a named map; in training only.
        channels: 3 (gray images get three equal channels) or 1 (all images must be gray).
        sampling: draw each image equally often ("image") or in proportion to its area ("area").
        lq_name: how LQ files are named after GT files, such as '{}x4'; None tries the usual ways.
        cut: train on pairs whose GT has up to `scale - 1` px more at the right and bottom, which
            are cut off as in evaluation; False refuses them.
        max_images: take only the first so many images (of each store).
        shards: of stores in shards each rank reads "all", or every world-th one, from its own
            number on ("rank"); GT and LQ are dealt out alike.

    Raises:
        MissingDataError: a store is not there.
        DataError: images without partner, pairs whose sizes do not fit, images too small: all named
            at once. Without gt_size (evaluation) GT is cut anyway.
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
        shards: Shards = "all",
    ) -> None:
        options = CropOptions(gt_size, crop, small, transforms, channels, sampling, max_images, shards)
        options.validate(type(self).__name__, scale)
        gts, lqs = as_list(gt), as_list(lq)
        if len(gts) != len(lqs):
            raise DataError(f"gt and lq name {len(gts)} and {len(lqs)} stores: give one LQ store for each GT store")
        parts = []
        for gt_store, lq_store, pairs in _matched(gts, lqs, scale, lq_name, own_share(shards)):
            check_sizes(gt_store, lq_store, pairs, scale, leftover=cut or gt_size is None)
            parts.append(Part(gt_store, lq_store, pairs.gt[:max_images], pairs.lq[:max_images]))
        super().__init__(Entries(parts, scale), scale, options)

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        entries = transforms_on_gt_alone(cfg.get("transforms"))
        faults = [Fault(path, f"{path}: {kind} {_ON_GT_ALONE}") for path, kind in entries]
        return super().check(cfg, context) + faults

    def leave_out_lq(self) -> None:
        raise DataError(GIVES_LQ)

    def _read(self, entry: Entry, window: Window, rng: Rng | None = None) -> ImagesOfEntry:
        assert entry.lq is not None
        lq = entry.lq.read_at(entry.lq_place, window)
        return {"lq": lq, "gt": entry.gt.read_at(entry.gt_place, window.scaled(self.scale))}


def _matched(
    gts: Sequence[str], lqs: Sequence[str], scale: int, lq_name: str | None, share: Share | None
) -> list[tuple[Store, Store, Pairs]]:
    """Return GT and LQ stores with their pairs, all of whose images can be read."""
    matched = []
    for gt_path, lq_path in zip(gts, lqs, strict=True):
        gt, lq = open_store(gt_path, share=share), open_store(lq_path, share=share)
        matched.append((gt, lq, pair_keys(gt, lq, scale, lq_name)))
    stores = [(gt, pairs.gt_keys) for gt, _, pairs in matched]
    check_readable(stores + [(lq, pairs.lq_keys) for _, lq, pairs in matched])
    return matched
