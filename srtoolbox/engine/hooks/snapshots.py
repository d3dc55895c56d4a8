"""Hooks that keep something to look at over a training, beginning with the untrained network.

`visualize training` animates the patches, `visualize features` the feature maps.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from srtoolbox import dist
from srtoolbox.data.datasets.gt_only import degrade
from srtoolbox.data.transforms import Compose
from srtoolbox.devices import without_memory
from srtoolbox.engine.evaluate import uncompiled
from srtoolbox.engine.hooks.base import Hook, Phase, positive_interval
from srtoolbox.errors import ConfigError, Fault, MissingDataError, SrtoolboxError, WriteError
from srtoolbox.image import encode_image, write_image
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.interfaces import facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.plots import snapshots
from srtoolbox.plots.feature_maps import choose_channels, layer_fault, recording
from srtoolbox.plots.snapshots import (
    FEATURES,
    PATCHES,
    Patch,
    box_fault,
    load_patch,
    snapshot_path,
    unique_stems,
    write_maps,
)
from srtoolbox.registry import HOOKS, NETWORKS
from srtoolbox.text import counted

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

_MIDDLE = 240  # px of the image, of whose middle feature maps are kept


class SnapshotHook(Hook):
    """Base: `_keep` runs on rank 0 at iteration 0, every `interval` iterations and after the last.

    A resumed run repeats what came after its checkpoint, so nothing is kept twice. The averaged
    weights are used if an EMAHook keeps some, as in evaluations. With a full or failing disk the
    training goes on: that is reported once, and tried again at the next snapshot.
    """

    phase = Phase.EVALUATE

    def __init__(self, interval: int, network: str) -> None:
        self.interval, self.network = positive_interval(type(self).__name__, interval), network
        self.folders: dict[Path, dict[str, bytes]] = {}
        """The folders of snapshots, each with the files, by name, that say what they are of."""

    def before_train(self, run: Run) -> None:
        self._is_ready, self._is_failing, self._after = False, False, run.iter
        if not dist.is_main() or not self.folders:
            return
        with self._reporting():
            self._begin()
        if run.iter == 0:
            self._keep_now(run)

    def _begin(self) -> None:
        """Make the folders ready; where that failed as the run began, with its first snapshot."""
        for folder, about in self.folders.items() if not self._is_ready else ():
            if dropped := snapshots.begin(folder, about, after=self._after):
                count = counted(dropped, "earlier snapshot was", "earlier snapshots were")
                LOGGER.warning("%s: %s of another place, and deleted", folder, count)
        self._is_ready = True

    def after_iter(self, run: Run) -> None:
        if (run.iter % self.interval == 0 or run.iter == run.max_iters) and self.folders:
            with run.pausing("evaluate"):
                if dist.is_main():
                    self._keep_now(run)

    def _keep_now(self, run: Run) -> None:
        network = run.networks.get(f"{self.network}_ema", run.networks[self.network])
        with uncompiled(), self._reporting():
            self._begin()
            self._keep(network, run.iter)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report what cannot be written, once until it can again."""
        try:
            yield
            self._is_failing = False
        except WriteError as error:
            if not self._is_failing:
                state = "The training goes on without this snapshot and tries again with the next"
                LOGGER.warning("%s %s", error, state)
            self._is_failing = True

    def _keep(self, network: nn.Module, iteration: int) -> None:
        """Write the snapshots of one iteration."""
        raise NotImplementedError


def patch_of(
    spec: str | Mapping[str, Any],
    network: nn.Module,
    *,
    middle: int | None = None,
    degrade: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Patch | None:
    """Return the patch of a config's entry; None, with a warning, if its image is not there."""
    path, box = image_and_box(spec)
    try:
        if not Path(path).is_file():
            raise MissingDataError(f"{path}: no such image", path)
        facts = facts_of(network)
        options: dict[str, Any] = {"receptive_field": facts.receptive_field, "middle": middle, "degrade": degrade}
        return load_patch(path, box, facts.scale, **options)
    except MissingDataError as error:
        LOGGER.warning("nothing is kept to be looked at of %s", error)
        return None


def image_and_box(spec: str | Mapping[str, Any]) -> tuple[str, Sequence[int] | None]:
    """Return the path and the box of 'x.png' or dict(picture='x.png', box=[...])."""
    return (spec, None) if isinstance(spec, str) else (spec["picture"], spec.get("box"))


def patch_fault(spec: object, context: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an entry, before anything is read; None: nothing."""
    if isinstance(spec, str):
        return None
    entry = spec if isinstance(spec, Mapping) else {}
    if not set(entry) <= {"picture", "box"} or not isinstance(entry.get("picture"), str):
        form = "an image's path, or dict(picture='x.png', box=[x, y, width, height])"
        return f"a patch is {form}, got {spec!r}"
    if entry.get("box") is None:
        return None
    scale = ((context.get("model") or {}).get("generator") or {}).get("scale")
    fault = box_fault(entry["box"], scale if isinstance(scale, int) else None)
    return f"{entry['picture']}: {fault}" if fault else None


def about(patch: Patch, **more: object) -> dict[str, bytes]:
    """Return the files that say what snapshots are of."""
    notes = json.dumps({"box": patch.box, "scale": patch.scale, **more}).encode()
    images = {"input.png": encode_image(patch.input), "truth.png": encode_image(patch.truth)}
    return {"about.json": notes, **images}


@HOOKS.register
class PatchesHook(SnapshotHook):
    """Restore the same patches every `interval` iterations, into `snapshots/patches/<image>/`.

    A patch is reduced by MATLAB's bicubic together with its surroundings and restored in fp32.
    Images that are not there are reported, and the training goes on without them.

    Args:
        patches: true images, each as its path (the most detailed place is taken) or as
            dict(picture=path, box=[x, y, width, height]), in pixels, multiples of the scale.
        interval: iterations between snapshots.
        network: which of the model's networks.
        degradations: transforms that change LQ, those of `GTOnlyDataset`; each patch has its own
            noise, the same in all snapshots.
    """

    def __init__(
        self,
        patches: Sequence[str | Mapping[str, Any]],
        interval: int = 250,
        network: str = "generator",
        degradations: Sequence[Any] | Mapping[str, Any] = (),
    ) -> None:
        if not patches:
            raise ConfigError("PatchesHook: patches names no image", key="patches")
        super().__init__(interval, network)
        self.specs = list(patches)
        self.degradations = Compose(degradations)
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
        for number, (stem, spec) in enumerate(zip(stems, self.specs, strict=True)):
            worsen = partial(degrade, degradations=self.degradations, number=number)
            if patch := patch_of(spec, run.networks[self.network], degrade=worsen):
                folder = run.work_dir / PATCHES / stem
                self.patches[folder] = patch
                self.folders[folder] = {**about(patch), "bicubic.png": encode_image(patch.bicubic)}

    def _keep(self, network: nn.Module, iteration: int) -> None:
        for folder, patch in self.patches.items():
            image = patch.cut(upscale_whole(network, patch.lq))
            write_image(snapshot_path(folder, iteration, ".png"), image)


@HOOKS.register
class FeatureMapsHook(SnapshotHook):
    """Keep some channels of some layers every `interval` iterations, of one patch of an image.

    They are written as float16 into `snapshots/features/<layer>/`.

    Args:
        picture: a true image; if it is not there, that is reported, and the training goes on.
        layers: names as in `network.named_modules()`, such as 'conv1' or 'body.3'.
        box: [x, y, width, height] in the image, multiples of the scale; None: its middle 240 x 240.
        channels: how many channels of each layer, evenly chosen, or their numbers.
        interval: iterations between snapshots.
        network: which of the model's networks.
    """

    def __init__(
        self,
        picture: str,
        layers: Sequence[str],
        box: Sequence[int] | None = None,
        channels: int | Sequence[int] = 8,
        interval: int = 250,
        network: str = "generator",
    ) -> None:
        if not layers or not channels or (isinstance(channels, int) and channels < 1):
            fault = "FeatureMapsHook: at least one layer and one channel are needed"
            raise ConfigError(fault, key="channels" if layers else "layers")
        super().__init__(interval, network)
        self.spec = {"picture": picture, "box": box}
        self.layers, self.channel_choice = list(dict.fromkeys(layers)), channels
        self.channels: dict[str, list[int]] = {}

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a box that is none, and layers that the network does not have."""
        fault = patch_fault({"picture": cfg.get("picture"), "box": cfg.get("box")}, context)
        faults = [Fault("box", f"box: {fault}")] if fault else []
        return faults + _layer_faults(cfg, context.get("model") or {})

    def set_up(self, run: Run) -> None:
        network = run.networks[self.network]
        patch = patch_of(self.spec, network, middle=_MIDDLE)
        if patch is None:
            return
        self.patch = patch
        maps = self._maps(network)
        for layer in self.layers:
            if layer not in maps:
                raise SrtoolboxError(f"layer {layer!r} is not used when {type(network).__name__} runs")
            channels = choose_channels(len(maps[layer]), self.channel_choice, layer)
            self.channels[layer] = channels
            self.folders[run.work_dir / FEATURES / layer] = about(patch, layer=layer, channels=channels)

    def _keep(self, network: nn.Module, iteration: int) -> None:
        maps = self._maps(network)
        for layer, folder in zip(self.layers, self.folders, strict=True):
            write_maps(snapshot_path(folder, iteration, ".npz"), maps[layer][self.channels[layer]])

    def _maps(self, network: nn.Module) -> dict[str, Any]:
        with recording(network, self.layers) as maps:
            upscale_whole(network, self.patch.lq)
        return {layer: self.patch.cut_maps(part) for layer, part in maps.items()}


def _layer_faults(cfg: Mapping[str, Any], model: Mapping[str, Any]) -> list[Fault]:
    """Report layers that the config's network does not have."""
    name = str(cfg.get("network", "generator")).removesuffix("_ema")
    if not isinstance(model.get(name), Mapping):
        return []  # that is in the report, as of any hook
    try:
        with without_memory():
            network = NETWORKS.build(model[name])
    except Exception:
        return []  # a network that cannot be built is in the report, or at home on no meta device
    return [
        Fault(f"layers.{index}", f"layers: {fault}")
        for index, layer in enumerate(cfg.get("layers") or ())
        if (fault := layer_fault(network, layer))
    ]
