"""Base of the degradations of batches: parameters are drawn on the host, pixels change on the device.

A degradation is used in two steps. `draw` gives the parameters of each image, a function of the
image's random numbers alone, as arrays; `apply` changes a batch by them. In between lies a `Plan`:
the whole chain of a batch as a flat list of actions, each for some of its images. So a plan can be
made in a worker, shown to people, compared with another implementation, and cut in two.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms.base import Sample, Transform
from srtoolbox.errors import DataError
from srtoolbox.image import batch_to_float
from srtoolbox.image.tensors import to_image

Parameters = Mapping[str, np.ndarray]
"""By name: one value for each image of a batch, (n, ...)."""


class Images:
    """A batch of images of unequal sizes, (N, C, H, W) float32 in [0, 1] (see `BatchDegradation.overshoots`).

    Image n fills the first `sizes[n]` rows and columns; what lies beyond means nothing, and nobody
    may rely on it. The sizes are on the host, so that none has to be asked of the device.

    Args:
        pixels: (N, C, H, W).
        sizes: height and width of each, (N, 2) int64; None: all are as large as `pixels`.
        batched: True if a degradation is to change all images at once, as on a GPU, and False if
            one after another, which is faster on a CPU; None: by the device.
    """

    def __init__(self, pixels: Tensor, sizes: np.ndarray | None = None, *, batched: bool | None = None) -> None:
        self.pixels = pixels
        self.batched = pixels.device.type != "cpu" if batched is None else batched
        self.sizes = np.tile(np.array(pixels.shape[-2:]), (len(pixels), 1)) if sizes is None else sizes

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def device(self) -> torch.device:
        """The device that holds the pixels."""
        return self.pixels.device

    @property
    def are_alike(self) -> bool:
        """True if each fills all of `pixels`, so that there is no padding."""
        return bool((self.sizes == np.array(self.pixels.shape[-2:])).all())

    def inside(self) -> Tensor:
        """Return where the images are, and not what lies beyond: bool (N, 1, H, W)."""
        heights, widths = upload(self.sizes, self.device)[..., None].unbind(1)
        below, right = (torch.arange(length, device=self.device) for length in self.pixels.shape[-2:])
        return ((below < heights)[:, :, None] & (right < widths)[:, None, :])[:, None]

    def each(self) -> Iterator[Tensor]:
        """Yield each image alone, a view (C, h, w): for the CPU, where a loop is the fastest."""
        for pixels, (height, width) in zip(self.pixels, self.sizes.tolist(), strict=True):
            yield pixels[:, :height, :width]

    def like(self, pixels: Tensor, sizes: np.ndarray | None = None) -> Images:
        """Return other pixels as the images, of the same sizes where none are given, to be changed in the same way."""
        return Images(pixels, self.sizes if sizes is None else sizes, batched=self.batched)

    def map(self, function: Callable[[Tensor, int], Tensor]) -> Images:
        """Return `function(image, n)` of each image (C, h, w), of any size each."""
        return stack([function(image, number) for number, image in enumerate(self.each())], batched=self.batched)

    def clipped(self) -> Images:
        """Return the images with no value beyond [0, 1]."""
        return self.like(self.pixels.clamp(0, 1))

    def select(self, rows: np.ndarray) -> Images:
        """Return some of the images, as large as the largest of them needs."""
        sizes = self.sizes[rows]
        height, width = sizes.max(0).tolist()
        if len(rows) == len(self) and (rows == np.arange(len(self))).all():
            return self.like(self.pixels[..., :height, :width], sizes)
        index = upload(rows, self.device)
        pixels = self.pixels.index_select(0, index)[..., :height, :width]
        return self.like(pixels, sizes)

    def replace(self, rows: np.ndarray, others: Images) -> Images:
        """Return the images with `others` in the place of `rows`."""
        if len(rows) == len(self) and (rows == np.arange(len(self))).all():
            return others
        sizes = self.sizes.copy()
        sizes[rows] = others.sizes
        count, channels = self.pixels.shape[:2]
        pixels = self.pixels.new_zeros(count, channels, *sizes.max(0).tolist())
        height, width = (min(pair) for pair in zip(pixels.shape[-2:], self.pixels.shape[-2:], strict=True))
        pixels[..., :height, :width] = self.pixels[..., :height, :width]
        height, width = others.pixels.shape[-2:]
        pixels[..., :height, :width].index_copy_(0, upload(rows, self.device), others.pixels)
        return self.like(pixels, sizes)

    def crop(self, corners: np.ndarray, side: int) -> Images:
        """Return the square of each image from its corner (top, left) on, all of it inside: corners (N, 2) int64."""
        if not self.batched:
            ends = corners + side
            return self.map(lambda image, n: image[:, corners[n, 0] : ends[n, 0], corners[n, 1] : ends[n, 1]])
        rows, columns = (upload(corners[:, axis, None] + np.arange(side), self.device) for axis in (0, 1))
        pixels = take(self.pixels, rows[:, :, None] * self.pixels.shape[-1] + columns[:, None])
        return self.like(pixels, np.full_like(self.sizes, side))


def take(pixels: Tensor, places: Tensor) -> Tensor:
    """Return the pixels of (N, C, H, W) at places (N, h, w), numbered row after row: (N, C, h, w)."""
    index = places.flatten(1)[:, None].expand(-1, pixels.shape[1], -1)
    return pixels.flatten(2).gather(2, index).unflatten(2, places.shape[1:])


def stack(images: Sequence[Tensor], *, batched: bool | None = None) -> Images:
    """Return images (C, h, w) of any sizes as one batch, filled up with zeros."""
    sizes = np.array([image.shape[1:] for image in images], np.int64)
    if len(images) == 1:
        return Images(images[0].contiguous()[None], sizes, batched=batched)
    if (sizes == sizes[0]).all():
        return Images(torch.stack([*images]), sizes, batched=batched)
    pixels = images[0].new_zeros(len(images), images[0].shape[0], *sizes.max(0).tolist())
    for target, image in zip(pixels, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return Images(pixels, sizes, batched=batched)


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array on a device, without waiting for the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class BatchDegradation(Transform):
    """A change of images, each by parameters of its own. As a transform of a sample it changes LQ.

    In float, without rounding, except where the class says so. Where `images.batched` is False, what
    becomes of an image does not depend, in any bit, on the others of its batch.

    Attributes:
        overshoots: True if it takes values beyond [0, 1] as they are, and may leave such, as filters
            do whose edges ring; to other steps the images come clipped.
        on_host: True if `apply` needs the CPU, image after image (a codec): a pipeline runs in the
            data workers up to and including its last such step, on images rounded to 8 bits.
    """

    overshoots: ClassVar[bool] = False
    on_host: ClassVar[bool] = False

    @abstractmethod
    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        """Return the parameters of each image, from its own random numbers.

        Args:
            rngs: of the n images; what a published procedure shares over a batch comes from
                `rngs.shared`.
            sizes: height and width of each image, (n, 2).
            plan: what the sizes are to lead to, of these images: `plan.lq_sizes`, (n, 2).
        """

    def sizes_after(self, sizes: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Return the sizes (n, 2) that `apply` leaves."""
        return sizes

    @abstractmethod
    def apply(self, images: Images, parameters: Parameters) -> Images:
        """Return the images changed by the parameters; the given ones stay as they are."""

    def add_to(self, plan: Plan, rngs: Rngs, rows: np.ndarray) -> None:
        parameters = self.draw(rngs, plan.sizes[rows], Plan(plan.sizes[rows], plan.lq_sizes[rows]))
        if fault := _fault_of_parameters(parameters, len(rows)):
            raise DataError(f"{type(self).__name__}: draw returns arrays by name, a row for each image; {fault}")
        plan.sizes[rows] = self.sizes_after(plan.sizes[rows], parameters)
        plan.actions.append(Action(self, rows, parameters))

    def __call__(self, sample: Sample, rng: Rng) -> Sample:
        images = Images(batch_to_float(torch.from_numpy(np.array(sample["lq"]))[None]))
        plan = Plan(images.sizes, images.sizes)
        self.add_to(plan, rng.alone(), np.arange(1))
        sample["lq"] = to_image(plan.run(images).pixels, bits=8 if sample["lq"].dtype == np.uint8 else 16)
        return sample


def _fault_of_parameters(parameters: object, count: int) -> str | None:
    """Return what is wrong with what a step has drawn for so many images, or None."""
    if not isinstance(parameters, Mapping):
        return f"it returned a {type(parameters).__name__}"
    for name, values in parameters.items():
        shape = values.shape if isinstance(values, np.ndarray) else None
        if shape is None or shape[:1] != (count,):
            got = f"a {type(values).__name__}" if shape is None else f"an array {shape}"
            return f"{name!r} of {count} is {got}"
    return None


def _fault_of_images(images: object, sizes: np.ndarray) -> str | None:
    """Return what is wrong with what a step has made of images, whose sizes should be these now, or None."""
    if not isinstance(images, Images) or images.pixels.dtype != torch.float32:
        got = images.pixels.dtype if isinstance(images, Images) else f"a {type(images).__name__}"
        return f"it makes Images of float32, and made {got}"
    if not np.array_equal(images.sizes, sizes):
        made, said = ("{1}x{0}".format(*each[0]) for each in (images.sizes, sizes))
        return f"it made an image of {made} px, where its sizes_after says {said}"
    return None


@dataclass(frozen=True)
class Action:
    """A step of a plan: a degradation of some images of a batch, with its parameters."""

    step: BatchDegradation
    rows: np.ndarray
    parameters: Parameters

    def run(self, images: Images) -> Images:
        """Return the batch with its `rows` degraded.

        Raises:
            DataError: the step returned anything else than float32 images of the sizes that it says.
        """
        chosen = images.select(self.rows)
        if not self.step.overshoots:
            chosen = chosen.clipped()
        result = self.step.apply(chosen, self.parameters)
        if fault := _fault_of_images(result, self.step.sizes_after(chosen.sizes, self.parameters)):
            raise DataError(f"{type(self.step).__name__}: {fault}")
        return images.replace(self.rows, result)

    def alone(self, image: int) -> list[Action]:
        """Return it as the action on that image in a batch of its own, or nothing if it is not among the rows."""
        places = np.flatnonzero(self.rows == image)
        own = {name: values[places] for name, values in self.parameters.items()}
        return [Action(self.step, np.arange(1), own)] if len(places) else []


def run_actions(actions: Sequence[Action], images: Images) -> Images:
    """Return the images as all actions leave them, in order.

    Where images are not batched each goes through all of them before the next: so it stays in the
    cache, and no memory is asked of the system for all at once.
    """
    if len(images) == 1 or images.batched:
        for action in actions:
            images = action.run(images)
        return images
    results: list[Tensor] = []
    for number, image in enumerate(images.each()):
        own = [part for action in actions for part in action.alone(number)]
        results.extend(run_actions(own, Images(image[None], batched=False)).each())
    return stack(results, batched=False)


@dataclass
class Plan:
    """A plan for a batch: actions in order, and the sizes that they lead to.

    Attributes:
        sizes: height and width of each image after the last action, (N, 2).
        lq_sizes: those that LQ must have in the end.
        actions: in order.
    """

    sizes: np.ndarray
    lq_sizes: np.ndarray
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sizes = np.array(self.sizes, np.int64)  # it is written to

    def run(self, images: Images) -> Images:
        """Return the images as all actions leave them, clipped."""
        return run_actions(self.actions, images).clipped()

    def split(self) -> tuple[list[Action], list[Action]]:
        """Return the actions up to and including the last one that needs the host, and the others."""
        needs = [number for number, action in enumerate(self.actions, 1) if action.step.on_host]
        end = needs[-1] if needs else 0
        return self.actions[:end], self.actions[end:]
