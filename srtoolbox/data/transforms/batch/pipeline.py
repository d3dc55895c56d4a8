"""The degradations of a training: GT alone becomes LQ, GT and targets, partly on the host, partly on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from srtoolbox.data.loading.draws import Draw, Rngs
from srtoolbox.data.transforms.base import Compose, Transform
from srtoolbox.data.transforms.batch.base import Action, BatchDegradation, Images, Parameters, Plan, run_actions
from srtoolbox.errors import ConfigError, DataError
from srtoolbox.image import batch_to_float, to_image
from srtoolbox.interfaces import BEGUN, IMAGE_KEYS, require_choice, require_positive
from srtoolbox.registry import TRANSFORMS

SHARPENED = "gt_usm"
NO_DEGRADATION = "is no degradation of batches: it belongs among the dataset's transforms"
_OWN = -2  # position of a pipeline's random numbers; the transforms of a dataset have those from -1 on
_STEPS, _SHARPENING, _CUT = range(3)


class NumberedAction(NamedTuple):
    """An action whose step is told by its number in the pipeline, so that it travels."""

    step: int
    rows: np.ndarray
    parameters: Parameters


@dataclass(frozen=True)
class Begun:
    """The rest of a batch's plan, for when the batch comes to the device.

    Attributes:
        sharpening: the actions that sharpen GT.
        actions: those that are left of the plan.
        sizes: of the images in 'lq', which lead there so far, (N, 2).
        corners: top and left of the crop of each LQ that is kept, (N, 2); None: all of it.
    """

    sharpening: list[NumberedAction]
    actions: list[NumberedAction]
    sizes: np.ndarray
    corners: np.ndarray | None


@TRANSFORMS.register
class DegradationPipeline:
    """Makes LQ from GT by degradations, each image by parameters of its own: a `model.preprocess`.

    The parameters follow from the run's seed and the number of the draw alone. Where a step needs
    the CPU (a codec), all steps up to the last such one are run where the batch is made, in the
    data workers; the others, and all where there is none, on the device.

    Args:
        steps: degradations, and groups of them, that lead from GT to LQ, a list or a map by name.
        scale: GT size over LQ size: the steps must end there.
        gt_size: the side to which GT is cut when LQ has been made, so that no image shows the
            borders of the degradations; the dataset gives larger ones. None leaves GT as it is.
        sharpen: config of the step that makes 'gt_usm' from GT: LQ is made from it then, as in
            Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833), and it can be a target of losses.
        share: "batch": scale, mode, kind of noise and order are alike over a batch, as in the
            published code of Real-ESRGAN. None: every image has its own.

    Raises:
        ConfigError: arguments that are not possible, or a step that is no degradation of batches.
    """

    def __init__(
        self,
        steps: Sequence[Any] | Mapping[str, Any],
        *,
        scale: int,
        gt_size: int | None = None,
        sharpen: Mapping[str, Any] | None = None,
        share: Literal["batch"] | None = None,
    ) -> None:
        name = type(self).__name__
        require_positive(name, scale=scale)
        require_choice(name, "share", share, ("batch", None))
        if gt_size is not None and (gt_size < scale or gt_size % scale):
            raise ConfigError(f"{name}: gt_size must be a multiple of scale {scale}, got {gt_size}", key="gt_size")
        self.scale, self.gt_size, self.share = scale, gt_size, share
        self.steps, self.sharpening = Compose(steps), Compose([sharpen] if sharpen else [])
        self._leaves = list(dict.fromkeys([*_leaves(self.steps, "steps"), *_leaves(self.sharpening, "sharpen")]))
        self.host_steps = [type(step).__name__ for step in _leaves(self.steps, "steps") if step.on_host]
        if any(step.on_host for step in _leaves(self.sharpening, "sharpen")):
            raise ConfigError(f"{name}: what sharpens GT must run on the device", key="sharpen")

    @classmethod
    def images_of(cls, cfg: Mapping[str, Any]) -> Sequence[str]:
        return (*IMAGE_KEYS, SHARPENED) if cfg.get("sharpen") else IMAGE_KEYS

    # --- planning, on the host

    def plan(self, sizes: np.ndarray, draws: Sequence[Draw], group: int = 1) -> Plan:
        """Return what makes LQ of a batch of GT.

        Args:
            sizes: height and width of each GT, (N, 2).
            draws: of each image.
            group: how many draws, from a multiple of it on, are a batch where `share` is "batch".

        Raises:
            DataError: GT is no multiple of the scale, or LQ would not end at GT / scale.
        """
        if (rest := sizes % self.scale).any():
            height, width = sizes[np.flatnonzero(rest.any(1))[0]]
            raise DataError(f"GT of {width}x{height} px has no LQ: cut it to multiples of scale {self.scale}")
        plan = Plan(sizes, sizes // self.scale)
        self.steps.add_to(plan, self._rngs(draws, group, _STEPS), np.arange(len(draws)))
        if len(wrong := np.flatnonzero((plan.sizes != plan.lq_sizes).any(1))):
            got, wanted, gt = ("{1}x{0}".format(*each[wrong[0]]) for each in (plan.sizes, plan.lq_sizes, sizes))
            raise DataError(
                f"the steps of the pipeline make LQ of {got} px from GT of {gt}, x{self.scale} needs {wanted}: "
                f"end them by a resize to the size of LQ"
            )
        return plan

    def sharpening_plan(self, sizes: np.ndarray, draws: Sequence[Draw]) -> Plan:
        """Return what sharpens a batch of GT; nothing without `sharpen`."""
        plan = Plan(sizes, sizes)
        self.sharpening.add_to(plan, self._rngs(draws, 1, _SHARPENING), np.arange(len(draws)))
        return plan

    def corners(self, sizes: np.ndarray, draws: Sequence[Draw]) -> np.ndarray | None:
        """Return top and left in LQ of the crops of `gt_size`, (N, 2); None where all is kept."""
        if self.gt_size is None or (sizes == self.gt_size).all():
            return None
        free = sizes // self.scale - self.gt_size // self.scale
        if (free < 0).any():
            height, width = sizes.min(0)
            raise DataError(f"GT of {width}x{height} px is smaller than the pipeline's gt_size {self.gt_size}")
        rngs = self._rngs(draws, 1, _CUT)
        return np.stack([rngs.integers(free[:, axis] + 1) for axis in (0, 1)], 1)

    def _rngs(self, draws: Sequence[Draw], group: int, purpose: int) -> Rngs:
        numbers = np.array([draw.number for draw in draws], np.int64)
        leaders = numbers // group * group if self.share == "batch" else None
        return Rngs(draws[0].seed, numbers, leaders).at(_OWN).at(purpose)

    def make(self, gt: np.ndarray, draw: Draw, *, cut: bool = True) -> dict[str, np.ndarray]:
        """Return 'lq' (h, w, C) uint8 and 'gt' of an image (H, W, C), on the CPU.

        Args:
            gt: uint8 or uint16.
            draw: the image's own; nothing is shared with others.
            cut: False leaves out the cut to `gt_size`, for whole images.
        """
        batch = self.begin({"gt": torch.from_numpy(np.array(gt))[None]}, [draw], 1)
        corners = batch[BEGUN].corners if cut else None
        lq = self.finish({**batch, BEGUN: replace(batch[BEGUN], corners=corners)})["lq"]
        if corners is not None and self.gt_size is not None:
            top, left = (corners[0] * self.scale).tolist()
            gt = gt[top : top + self.gt_size, left : left + self.gt_size]
        return {"lq": to_image(lq), "gt": gt}

    # --- running, in two parts

    @torch.no_grad()
    def begin(self, batch: dict[str, Any], draws: Sequence[Draw], group: int) -> dict[str, Any]:
        gt: Tensor = batch["gt"]
        sizes = now = np.tile(np.array(gt.shape[1:3]), (len(gt), 1))
        host, device = self.plan(sizes, draws, group).split()
        sharpening = self.sharpening_plan(sizes, draws)
        result = {name: value for name, value in batch.items() if name != "lq"}
        if host:
            images = run_actions([*sharpening.actions, *host], Images(batch_to_float(gt)))
            result["lq"], now = _levels(images.pixels), images.sizes
        begun = Begun(self._numbered(sharpening.actions), self._numbered(device), now, self.corners(sizes, draws))
        return {**result, BEGUN: begun}

    @torch.no_grad()
    def finish(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        begun: Begun = batch[BEGUN]
        images = {"gt": batch_to_float(batch["gt"])}
        source = images["gt"]
        if self.sharpening.transforms:
            source = images[SHARPENED] = self._run(begun.sharpening, Images(source)).pixels
        start = Images(batch_to_float(batch["lq"]), begun.sizes) if "lq" in batch else Images(source)
        lq = self._run(begun.actions, start)
        height, width = lq.sizes[0].tolist()
        images["lq"] = lq.pixels[..., :height, :width]
        if begun.corners is not None and self.gt_size is not None:
            for name, image in images.items():
                factor = 1 if name == "lq" else self.scale
                images[name] = Images(image).crop(begun.corners * factor, self.gt_size * factor // self.scale).pixels
        images["lq"] = images["lq"].mul(255).round_().clamp_(0, 255).div_(255)
        return images

    def _run(self, actions: Sequence[NumberedAction], images: Images) -> Images:
        return run_actions([Action(self._leaves[step], rows, parameters) for step, rows, parameters in actions], images)

    def _numbered(self, actions: Sequence[Action]) -> list[NumberedAction]:
        numbers = {id(step): number for number, step in enumerate(self._leaves)}
        return [NumberedAction(numbers[id(each.step)], each.rows, each.parameters) for each in actions]


def _leaves(transform: Transform, key: str) -> Iterator[BatchDegradation]:
    """Yield the degradations that a transform is made of."""
    if isinstance(transform, BatchDegradation):
        yield transform
    elif not isinstance(transform, Transform) or type(transform).add_to is Transform.add_to:
        name = type(transform).__name__
        raise ConfigError(f"{name} {NO_DEGRADATION}", key=key)
    else:
        for part in transform.parts():
            yield from _leaves(part, key)


def _levels(pixels: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1] -> (N, H, W, C) uint8."""
    return pixels.mul(255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
