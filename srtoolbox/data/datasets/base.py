"""What all datasets share: samples by draw or by index, crops, transforms, the list of images."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from srtoolbox.data.datasets.crops import SMALL, CropMode, Cropper, SmallPolicy, crop_faults, pad
from srtoolbox.data.datasets.random_crops import RandomCrops, copy_arrays
from srtoolbox.data.loading.collate import Batch, collate
from srtoolbox.data.loading.rng import Rng
from srtoolbox.data.loading.sampler import Draw
from srtoolbox.data.stores.base import Store, Window
from srtoolbox.data.stores.pairing import raise_faults
from srtoolbox.data.transforms.base import Compose, Sample, check_made, map_images, transforms_on_gt_alone
from srtoolbox.errors import ConfigError, DataError, Fault
from srtoolbox.text import counted

Sampling = Literal["image", "area"]
_log = logging.getLogger(__name__)


class SRDataset(Dataset, ABC):
    """Images for training (`dataset[Draw(...)]`, random) and for evaluation (`dataset[index]`, never random).

    PyTorch's own DataLoader gets the latter, or with `dataset.crops(seed)` the former.

    `scale` is GT size over LQ size, or None where there is no GT.
    """

    scale: int | None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images (times the crops of each, for crop='ten')."""

    @abstractmethod
    def keys(self) -> list[str]:
        """The image's name for every index."""

    @abstractmethod
    def whole(self, index: int) -> Sample:
        """Sample `index` for evaluation: the whole image unless the crop is a fixed one; GT is cut to lq * scale."""

    @abstractmethod
    def sample(self, draw: Draw) -> Sample:
        """The training sample of a draw: a function of `draw` alone. Its arrays are read-only views."""

    @abstractmethod
    def digest(self) -> str:
        """A hash that changes when the images or their order do."""

    def draw_weights(self) -> np.ndarray | None:
        """How often each index is drawn, relative to the others (len,); None: all alike."""
        return None

    def __getitem__(self, item: int | Draw) -> Sample:
        return self.sample(item) if isinstance(item, Draw) else self.whole(item)

    def __getitems__(self, items: Sequence[Draw] | Sequence[int]) -> Batch | list[Sample]:
        """A finished batch of draws; of indices, which a sampler of PyTorch's gives, whole images for its collation."""
        if not isinstance(items[0], Draw):
            return [copy_arrays(self.whole(index)) for index in items]
        return collate([self.sample(draw) for draw in items], items)

    def crops(self, seed: int = 0, *, epoch: int = 0) -> RandomCrops:
        """Random crops as a map-style dataset, from epoch `epoch` on: for a DataLoader of PyTorch's own."""
        return RandomCrops(self, seed, epoch)


class Entry(NamedTuple):
    """One image: where it is, and its size in LQ pixels."""

    gt: Store
    lq: Store | None
    gt_key: str
    lq_key: str
    height: int
    width: int


class CropOptions(NamedTuple):
    """The arguments that all datasets with GT share."""

    gt_size: int | None
    crop: CropMode | None
    small: SmallPolicy
    transforms: Sequence[Any] | Mapping[str, Any]
    channels: int
    sampling: Sampling
    max_images: int | None

    def validate(self, name: str, scale: int) -> None:
        """Raise a ConfigError that lists all faults of dataset `name`, if there are any."""
        faults = option_faults(scale, self._asdict())
        if faults:
            raise ConfigError([fault.of(name) for fault in faults])


class GTDataset(SRDataset):
    """A dataset with GT: the subclass says how a window of an image is read, all else is here.

    `makes_lq`: whether LQ is made from GT. Then `before_lq` holds the transforms that act on GT first (None: there are
    none), `transforms` the others; else `transforms` holds all.
    """

    makes_lq: ClassVar[bool] = False

    def __init__(self, entries: Sequence[Entry], scale: int, options: CropOptions) -> None:
        self.scale, self.channels = scale, options.channels
        self.transforms, self.before_lq = Compose(options.transforms), None
        if self.makes_lq:
            self.before_lq = self.transforms.at_stage(("gt", "either"))
            self.transforms = self.transforms.at_stage(("pair",)) or Compose()
        elif self.transforms.at_stage(("gt",)):
            raise ConfigError(f"{type(self).__name__}: transforms: one of them {_ON_GT_ALONE}")
        self.cropper = Cropper(options.gt_size, scale, options.crop, self.transforms.margin(options.gt_size or 0))
        self._small, self._sampling = options.small, options.sampling
        _check_channels(entries, options.channels)
        self._entries = self._large_enough(entries)

    @abstractmethod
    def _read(self, entry: Entry, window: Window, rng: Rng | None = None) -> tuple[np.ndarray, np.ndarray]:
        """LQ (h, w, C) and GT (scale*h, scale*w, C) of an LQ window; with `rng` GT is changed by `before_lq` first."""

    def __len__(self) -> int:
        return len(self._entries) * self.cropper.per_image

    def keys(self) -> list[str]:
        """The image's name for every index: of ten crops all ten have it."""
        return [entry.gt_key for entry in self._entries for _ in range(self.cropper.per_image)]

    def sample(self, draw: Draw) -> Sample:
        rng = Rng(draw.seed, draw.number)
        sample = self.transforms(self._cropped(draw.index, rng), rng)
        if self.cropper.lq_size is not None:
            sample["lq"] = self.cropper.trim(sample["lq"], 1)
            sample["gt"] = self.cropper.trim(sample["gt"], self.scale)
        check_made(sample, self.scale, self.transforms.transforms)
        return sample

    def whole(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        if self.cropper.mode in ("center", "ten"):
            return self._cropped(index % len(self), None)
        entry = self._entries[index]
        return self._as_sample(entry, *self._read(entry, Window(0, 0, entry.height, entry.width)))

    def draw_weights(self) -> np.ndarray | None:
        if self._sampling == "image":
            return None
        areas = [entry.height * entry.width for entry in self._entries]
        return np.repeat(np.array(areas, np.float64), self.cropper.per_image)

    def digest(self) -> str:
        stores = dict.fromkeys(s for entry in self._entries for s in (entry.gt, entry.lq) if s is not None)
        parts = [type(self).__name__, str(self.scale), str(len(self)), *(store.digest() for store in stores)]
        return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()

    def _cropped(self, index: int, rng: Rng | None) -> Sample:
        image, number = divmod(index, self.cropper.per_image)
        entry = self._entries[image]
        lq, gt = self._read(entry, self.cropper.window(entry.height, entry.width, rng, number), rng)
        needed = self.cropper.needed
        if entry.height < needed or entry.width < needed:
            lq, gt = pad(lq, needed, self._small), pad(gt, needed * self.scale, self._small)
        sample = self._as_sample(entry, lq, gt)
        return map_images(sample, lambda image: image[:, ::-1]) if number >= 5 else sample

    def _as_sample(self, entry: Entry, lq: np.ndarray, gt: np.ndarray) -> Sample:
        return {"lq": expanded(lq, self.channels), "gt": expanded(gt, self.channels), "key": entry.gt_key}

    def _large_enough(self, entries: Sequence[Entry]) -> list[Entry]:
        needed = self.cropper.needed
        small = [entry for entry in entries if min(entry.height, entry.width) < needed]
        if not small or self._small in ("reflect", "zero"):
            return list(entries)
        names = [f"{e.gt.source(e.gt_key)}: {e.width * self.scale}x{e.height * self.scale}" for e in small]
        if self._small == "error" or len(small) == len(entries):
            raise_faults(
                f"{len(small)} of {counted(len(entries), 'image')} smaller than the crop of {needed * self.scale} px",
                names,
                "Take a smaller gt_size, or say what to do with them: small='skip', 'reflect' or 'zero'",
            )
        _log.info(
            "left out %s smaller than %d px: %s", counted(len(small), "image"), needed * self.scale, ", ".join(names)
        )
        return [entry for entry in entries if min(entry.height, entry.width) >= needed]


def option_faults(scale: int, options: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the arguments all GT datasets share, a sentence each. Absent ones are not looked at."""
    if not isinstance(scale, int) or scale < 1:
        return [Fault("scale", f"scale is a whole number from 1 up, got {scale!r}")]
    faults = crop_faults(options.get("gt_size"), scale, options.get("crop", "random"))
    for name, allowed in (("small", SMALL), ("sampling", ("image", "area")), ("channels", (1, 3))):
        if name in options and options[name] not in allowed:
            fault = f"{name} is one of {', '.join(map(repr, allowed))}, got {options[name]!r}"
            faults.append(Fault(name, fault))
    if options.get("max_images") is not None and options["max_images"] < 1:
        fault = f"max_images must be at least 1, got {options['max_images']}"
        faults.append(Fault("max_images", fault))
    return faults


def check_options(cfg: Mapping[str, Any]) -> list[Fault]:
    """`option_faults` of a config; that its scale is the generator's is looked at by `srtoolbox.check`."""
    return option_faults(cfg["scale"], cfg) if "scale" in cfg else []


def check_transforms(transforms: Any) -> list[Fault]:  # noqa: ANN401 - as in a config
    """What is wrong with the transforms of a dataset whose LQ is given, a sentence each."""
    return [Fault(path, f"{path}: {kind} {_ON_GT_ALONE}") for path, kind in transforms_on_gt_alone(transforms)]


_ON_GT_ALONE = (
    "acts on GT before LQ is made from it, but here LQ is given: take GTOnlyDataset, which makes LQ, or another "
    "transform (RandomHorizontalFlip, RandomTranspose ...)"
)


def expanded(image: np.ndarray, channels: int) -> np.ndarray:
    """A gray image (H, W, 1) with three equal channels (a view) where three are wanted."""
    return np.broadcast_to(image, (*image.shape[:2], channels)) if image.shape[2] < channels else image


def as_list(paths: str | Sequence[str]) -> list[str]:
    """One path or several, as a list."""
    return [paths] if isinstance(paths, str) else list(paths)


def _check_channels(entries: Sequence[Entry], channels: int) -> None:
    colour = [e.gt.source(e.gt_key) for e in entries if channels == 1 and e.gt.shape(e.gt_key)[2] != 1]
    if colour:
        summary = f"{counted(len(colour), 'image is', 'images are')} in colour, but channels=1"
        raise_faults(summary, colour, "Leave channels at 3")
    if not entries:
        raise DataError("a dataset needs at least one store of images")
