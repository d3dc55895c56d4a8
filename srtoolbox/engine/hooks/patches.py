"""Patches of chosen images over the training, which `visualize training` animates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from srtoolbox.engine.hooks.base import positive_interval
from srtoolbox.engine.hooks.snapshots import SnapshotHook, about, image_and_box, patch_fault, patch_of
from srtoolbox.errors import ConfigError, Fault
from srtoolbox.image import encode_image, write_image
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.plots.patches import Patch, unique_stems
from srtoolbox.plots.snapshots import PATCHES, snapshot_path
from srtoolbox.registry import HOOKS

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run


@HOOKS.register
class PatchesHook(SnapshotHook):
    """Restore the same patches every `interval` iterations, into `snapshots/patches/<image>/`.

    A patch is reduced by MATLAB's bicubic together with its surroundings and restored in fp32.
    Images that are not there are reported, and the training goes on without them.

    Args:
        patches: true images, each as its path (the most detailed place is taken) or as
            dict(picture=path, box=[x, y, width, height]), the box in pixels of the image and
            multiples of the scale.
        interval: iterations between snapshots.
        network: which of the model's networks.
    """

    def __init__(
        self, patches: Sequence[str | Mapping[str, Any]], interval: int = 250, network: str = "generator"
    ) -> None:
        if not patches:
            raise ConfigError("PatchesHook: patches names no image", key="patches")
        self.specs = list(patches)
        self.interval = positive_interval("PatchesHook", interval)
        self.network = network
        self.patches: dict[Path, Patch] = {}

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report patches that are none, or whose boxes are no multiples of the scale."""
        return [
            Fault(f"patches.{index}", f"patches: {fault}")
            for index, spec in enumerate(cfg.get("patches") or ())
            if (fault := patch_fault(spec, context))
        ]

    def set_up(self, run: Run) -> None:
        stems = unique_stems([image_and_box(spec)[0] for spec in self.specs])
        for stem, spec in zip(stems, self.specs, strict=True):
            patch = patch_of(spec, run.networks[self.network])
            if patch is not None:
                self.patches[run.work_dir / PATCHES / stem] = patch
        self.folders = {
            folder: {**about(patch), "bicubic.png": encode_image(patch.bicubic)}
            for folder, patch in self.patches.items()
        }

    def _keep(self, network: nn.Module, iteration: int) -> None:
        for folder, patch in self.patches.items():
            image = patch.cut(upscale_whole(network, patch.lq))
            write_image(snapshot_path(folder, iteration, ".png"), image)
