"""A pipeline of degradations that tells what it drew, and draws anew for the same crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srtoolbox.apps.browse.steps import Notes, Step, drawn, leaves, step_names, tells
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.engine.device import to_device
from srtoolbox.image import to_image
from srtoolbox.interfaces import BEGUN

_FIRST_VARIANT = 1 << 40  # a number of groups of draws that no run reaches


class ToldPipeline:
    """A pipeline with the names of its steps. A dataset takes it for its own.

    Args:
        pipeline: of the model, or of a dataset.
        cfg: its config.
        notes: where to, for a dataset.
    """

    def __init__(self, pipeline: DegradationPipeline, cfg: Mapping[str, Any], notes: Notes) -> None:
        self.pipeline, self.notes = pipeline, notes
        steps = pipeline.steps.transforms
        self.names = step_names(cfg.get("steps"), steps)
        notes.names += self.names.values()
        self.untold = [self.names[id(step)] for step in leaves(steps) if not tells(step)]

    def run(
        self,
        batch: Mapping[str, Any],
        draws: Sequence[Draw],
        group: int,
        variants: Sequence[int] | None,
        device: torch.device,
    ) -> tuple[dict[str, Tensor], list[list[Step]]]:
        """Return the images of a batch with 'gt' (N, H, W, C), as in training, and the steps of each.

        Args:
            batch: as a dataset gives it.
            draws: of its samples.
            group: draws that share what a batch shares.
            variants: other parameters for each number, for GT cut at the same place.
            device: where what needs no CPU is computed.
        """
        drawn_by = list(draws)
        if variants is not None:
            numbers = [(_FIRST_VARIANT + number) * group for number in variants]
            drawn_by = [draw._replace(number=number) for draw, number in zip(draws, numbers, strict=True)]
        begun = self.pipeline.begin(dict(batch), drawn_by, group)
        sizes = np.tile(np.array(batch["gt"].shape[1:3]), (len(draws), 1))
        begun[BEGUN] = replace(begun[BEGUN], corners=self.pipeline.corners(sizes, draws))
        plan = self.pipeline.plan(sizes, drawn_by, group)
        return self.pipeline.finish(to_device(begun, device)), drawn(plan.actions, len(draws), self.names)

    def make(self, gt: np.ndarray, draw: Draw) -> dict[str, np.ndarray]:
        """Return 'lq' and 'gt', as the pipeline of a dataset does, and note the steps."""
        variants = None if self.notes.variant is None else [self.notes.variant]
        batch = {"gt": torch.from_numpy(np.array(gt))[None]}
        images, steps = self.run(batch, [draw], 1, variants, torch.device("cpu"))
        self.notes.steps += steps[0]
        return {name: to_image(images[name]) for name in ("lq", "gt")}
