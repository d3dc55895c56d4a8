"""GT images alone, whose LQ is made on the fly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from srtoolbox.data.datasets.base import as_list, expand
from srtoolbox.data.datasets.crops import CropMode, CropOptions, Sampling, Shards, SmallPolicy
from srtoolbox.data.datasets.entries import Entries, Entry, Part
from srtoolbox.data.datasets.paired import GTDataset, ImagesOfEntry, own_share
from srtoolbox.data.loading.draws import Draw, Rng
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.pairing import check_readable
from srtoolbox.data.transforms.base import Compose, Sample, Transform, check_sample, transforms_on_gt_alone
from srtoolbox.data.transforms.batch.base import BatchDegradation
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.errors import ConfigError, DataError, Fault
from srtoolbox.image import read_image
from srtoolbox.registry import DATASETS, TRANSFORMS
from srtoolbox.resize import imresize

MARGIN = 3  # LQ pixels read around a crop before it is shrunk: the widened kernel reaches 2
KEEP_BYTES = 256 << 20  # LQ images are kept if all take at most so much
ARRAY_BYTES = 512  # an image takes beside its pixels
_DEGRADING = -1  # position of the degradations' random numbers, which the transforms have from 0 on
_ELSEWHERE = "it belongs among the transforms"
CHANGES_LQ = "changes LQ, which a pipeline makes from GT: put it among the pipeline's steps"
_TWO_WAYS = "degradations change LQ, which a pipeline makes from GT: put them among the pipeline's steps"


@DATASETS.register
class GTOnlyDataset(GTDataset):
    """Images whose LQ is their MATLAB bicubic reduction, bit for bit as of the whole image.

    Images are cut at the right and bottom to multiples of `scale`. Transforms that act on GT first
    (a rotation) are given the pixels they need around the crop; LQ is made of what they return. At
    scale 1 LQ is GT, and all there is to restore comes from `degradations`.

    Args:
        gt: path of a store, or several.
        degradations: transforms that change LQ alone (noise, JPEG), after all others, in training
            and in evaluation too: of a whole image the same each time, by its index.
        pipeline: config of a DegradationPipeline, which makes LQ from GT in the place of the
            bicubic reduction, on the CPU: of crops, which it cuts to its own `gt_size`, and of
            whole images.
        scale, gt_size and all others: as in `PairedDataset`.

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
        degradations: Sequence[Any] | Mapping[str, Any] = (),
        pipeline: Mapping[str, Any] | None = None,
        channels: int = 3,
        sampling: Sampling = "image",
        max_images: int | None = None,
        shards: Shards = "all",
    ) -> None:
        self.degradations = Compose(degradations)
        options = CropOptions(gt_size, crop, small, transforms, channels, sampling, max_images, shards)
        options.validate(type(self).__name__, scale)
        if pipeline and (fault := pipeline_fault(pipeline)):
            raise ConfigError(fault, key="pipeline.type")
        self.pipeline: DegradationPipeline | None = TRANSFORMS.build(pipeline) if pipeline else None
        if self.pipeline is not None and self.pipeline.scale != scale:
            raise ConfigError(f"the pipeline's scale is {self.pipeline.scale}, not {scale}", key="pipeline.scale")
        opened = [open_store(path, share=own_share(shards)) for path in as_list(gt)]
        stores = [(store, store.keys()[:max_images]) for store in opened]
        check_readable(stores)
        places = [(store, range(len(keys))) for store, keys in stores]
        for store, numbers in places:
            for number in np.flatnonzero(store.shapes(numbers)[:, :2].min(1) < scale).tolist():
                _reduced_size(store.shape_at(number), scale, store.source(store.keys()[number]))
        super().__init__(Entries([Part(store, None, part, part) for store, part in places], scale), scale, options)
        pixels = sum(int(heights.astype(np.int64) @ widths) for heights, widths in self._entries.sizes())
        lq_bytes = 3 * pixels + len(self._entries) * ARRAY_BYTES
        changed = (self.cropper.needed + 2 * MARGIN) * scale  # GT px
        margin = 0 if self.before_lq is None else self.before_lq.margin(changed)
        self._reach = MARGIN + -(-margin // scale)  # LQ px that are read around a crop
        self._kept: dict[Entry, np.ndarray] | None = {} if lq_bytes <= KEEP_BYTES else None
        if self.pipeline is not None:
            self._without_lq()

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        entries = transforms_on_gt_alone(cfg.get("degradations"), "degradations")
        faults = [Fault(path, f"{path}: {kind} acts on GT, not on LQ alone: {_ELSEWHERE}") for path, kind in entries]
        if cfg.get("pipeline") and (fault := pipeline_fault(cfg["pipeline"])):
            faults.append(Fault("pipeline.type", fault))
        if cfg.get("pipeline") and cfg.get("degradations"):
            faults.append(Fault("degradations", _TWO_WAYS))
        return super().check(cfg, context) + faults

    def leave_out_lq(self) -> None:
        if self.pipeline is not None:
            raise DataError("the dataset's pipeline and model.preprocess both make LQ: take one of the two")
        self._without_lq()

    def _without_lq(self) -> None:
        """Read GT alone, from which a pipeline makes LQ."""
        if self.degradations.transforms:
            raise DataError(_TWO_WAYS)
        for degradation in degradations_in(self.transforms):
            raise DataError(f"{type(degradation).__name__} {CHANGES_LQ}")
        self.image_keys = ("gt",)

    def sample(self, draw: Draw) -> Sample:
        sample = super().sample(draw)
        if self.pipeline is not None:
            return {**sample, **self.pipeline.make(sample["gt"], draw)}
        return self._degraded(sample, Rng(draw.seed, draw.number))

    def whole(self, index: int) -> Sample:
        sample, number = super().whole(index), index % len(self)
        if self.pipeline is not None:
            return {**sample, **self.pipeline.make(sample["gt"], Draw(number, number, 0), cut=False)}
        return self._degraded(sample, Rng(0, number))

    def _degraded(self, sample: Sample, rng: Rng) -> Sample:
        """Return the sample with LQ as the degradations leave it."""
        if not self.degradations.transforms:
            return sample
        gt = sample["gt"]
        sample = self.degradations(sample, rng.at(_DEGRADING))
        check_sample(sample, self.scale, self.degradations.transforms)
        if sample["gt"] is not gt:
            raise DataError(f"{sample['key']}: one of the degradations changes GT, too: {_ELSEWHERE}")
        return sample

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None if self._kept is None else {}}

    def _read(self, entry: Entry, window: Window, rng: Rng | None = None) -> ImagesOfEntry:
        before = None if rng is None else self.before_lq
        if "lq" not in self.image_keys and before is None:
            return {"gt": entry.gt.read_at(entry.gt_place, window.scaled(self.scale))}
        if self.scale == 1 and before is None:
            gt = entry.gt.read_at(entry.gt_place, window)
            return {"lq": gt, "gt": gt}
        if self._kept is None or before is not None:
            return self._read_around(entry, window, before, rng)
        lq = self._kept.get(entry)
        if lq is None:
            whole = Window(0, 0, entry.height, entry.width)
            lq = imresize(entry.gt.read_at(entry.gt_place, whole.scaled(self.scale)), size=whole[2:])
            lq.setflags(write=False)
            self._kept[entry] = lq
        return {"lq": window.cut(lq), "gt": entry.gt.read_at(entry.gt_place, window.scaled(self.scale))}

    def _read_around(self, entry: Entry, window: Window, before: Compose | None, rng: Rng | None) -> ImagesOfEntry:
        """Read the window with what lies around it, change GT, shrink it, cut the window out."""
        inner = _grown(window, MARGIN, entry)
        outer = inner if before is None else _grown(window, self._reach, entry)
        gt = entry.gt.read_at(entry.gt_place, outer.scaled(self.scale))
        if before is not None and rng is not None:
            gt = self._changed(gt, window.within(outer), entry, before, rng)
            gt = inner.within(outer).scaled(self.scale).cut(gt)
        window = window.within(inner)
        own = {"gt": window.scaled(self.scale).cut(gt)}
        return {"lq": window.cut(imresize(gt, size=inner[2:])), **own} if "lq" in self.image_keys else own

    def _changed(self, gt: np.ndarray, crop: Window, entry: Entry, before: Compose, rng: Rng) -> np.ndarray:
        top, left, height, width = crop.scaled(self.scale)
        centre = (top + (height - 1) / 2, left + (width - 1) / 2)
        changed = before({"gt": gt, "key": entry.gt_key, "centre": centre}, rng)["gt"]
        if changed.shape != gt.shape or changed.dtype != gt.dtype:
            raise DataError(
                f"{entry.gt_key}: the transforms that act on GT before LQ is made turned {gt.shape} {gt.dtype} into "
                f"{changed.shape} {changed.dtype}: they keep size and dtype (round and clip what is computed in floats)"
            )
        return changed


def degrade(lq: np.ndarray, degradations: Compose, number: int) -> np.ndarray:
    """Return LQ as `GTOnlyDataset` evaluates its image of this number with these degradations.

    Raises:
        DataError: one of them changes the size.
    """
    sample: Sample = {"lq": lq, "gt": lq, "key": f"image {number}"}
    sample = degradations(sample, Rng(0, number).at(_DEGRADING))
    check_sample(sample, 1, degradations.transforms)
    return sample["lq"]


def pipeline_fault(cfg: object) -> str | None:
    """Return why a config is not that of a pipeline, or None."""
    kind = TRANSFORMS.class_of(cfg)
    # of no class: that is another fault
    if issubclass(kind, DegradationPipeline) or kind is object:
        return None
    name = kind.__name__
    return (
        f"{name} is no pipeline; one is dict(type='DegradationPipeline', scale=..., steps=[dict(type={name!r}, ...)])"
    )


def degradations_in(transform: Transform) -> Iterator[BatchDegradation]:
    """Yield the parts of a transform that change LQ, so that there has to be one."""
    if isinstance(transform, BatchDegradation):
        yield transform
    for part in transform.parts() if isinstance(transform, Transform) else ():
        yield from degradations_in(part)


def _grown(window: Window, margin: int, entry: Entry) -> Window:
    """Return the window with `margin` LQ px around it, as far as the image goes."""
    top, left = max(0, window.top - margin), max(0, window.left - margin)
    bottom = min(entry.height, window.top + window.height + margin)
    right = min(entry.width, window.left + window.width + margin)
    return Window(top, left, bottom - top, right - left)


def _reduced_size(shape: Sequence[int], scale: int, name: str) -> tuple[int, int]:
    height, width = shape[:2]
    if min(height, width) < scale:
        raise DataError(f"{name}: {width}x{height} is too small to be reduced by {scale}")
    return height // scale, width // scale


class ImageFiles:
    """Image files as GT, cut and reduced by `scale` as `GTOnlyDataset` does."""

    def __init__(self, paths: Sequence[str | Path], scale: int) -> None:
        self.paths = [Path(path) for path in paths]
        self.scale = scale

    def __len__(self) -> int:
        return len(self.paths)

    def keys(self) -> list[str]:
        return [path.stem for path in self.paths]

    def __getitem__(self, index: int) -> Sample:
        """Return `{'lq': (h, w, 3), 'gt': (scale * h, scale * w, 3), 'key': str}`, uint8 or uint16.

        Raises ImageError if it cannot be read, DataError if it is smaller than `scale`.
        """
        path = self.paths[index]
        image = read_image(path)
        height, width = _reduced_size(image.shape, self.scale, str(path))
        gt = image[: height * self.scale, : width * self.scale]
        lq = imresize(gt, size=(height, width))
        return {"lq": expand(lq, 3), "gt": expand(gt, 3), "key": path.stem}
