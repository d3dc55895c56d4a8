"""Feature maps of chosen layers over the training, which `visualize features WORK_DIR` animates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from srtoolbox.devices import without_memory
from srtoolbox.engine.hooks.base import positive_interval
from srtoolbox.engine.hooks.snapshots import SnapshotHook, about, patch_fault, patch_of
from srtoolbox.errors import ConfigError, Fault, SrtoolboxError
from srtoolbox.inference.restore import upscale_whole
from srtoolbox.plots.feature_maps import choose_channels, layer_fault, recording
from srtoolbox.plots.snapshots import FEATURES, snapshot_path, write_maps
from srtoolbox.registry import HOOKS, NETWORKS

if TYPE_CHECKING:
    from srtoolbox.engine.run import Run

_MIDDLE = 240  # px of the true image


@HOOKS.register
class FeatureMapsHook(SnapshotHook):
    """Keep some channels of some layers every `interval` iterations, of one patch of an image.

    They are written as float16 into `snapshots/features/<layer>/`.

    Args:
        picture: a true image; if it is not there, that is reported, and the training goes on.
        layers: names as in `network.named_modules()`, such as 'conv1' or 'body.3'.
        box: [x, y, width, height] in the image, multiples of the scale; None: its middle, up to
            240 x 240.
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
            key = "channels" if layers else "layers"
            fault = "at least one layer and one channel are needed"
            raise ConfigError(f"FeatureMapsHook: {fault}", key=key)
        self.spec = {"picture": picture, "box": box}
        self.layers = list(dict.fromkeys(layers))
        self.channel_choice = channels
        self.interval = positive_interval("FeatureMapsHook", interval)
        self.network = network

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report a box that is none, and layers that the network does not have."""
        fault = patch_fault({"picture": cfg.get("picture"), "box": cfg.get("box")}, context)
        faults = [Fault("box", f"box: {fault}")] if fault else []
        return faults + _layer_faults(cfg, context.get("model") or {})

    def set_up(self, run: Run) -> None:
        network = run.networks[self.network]
        self.channels: dict[str, list[int]] = {}
        self.folders: dict[Path, dict[str, bytes]] = {}
        patch = patch_of(self.spec, network, middle=_MIDDLE)
        if patch is None:
            return
        self.patch = patch
        counts = {layer: len(maps) for layer, maps in self._maps(network).items()}
        for layer in self.layers:
            if layer not in counts:
                kind = type(network).__name__
                raise SrtoolboxError(f"layer {layer!r} is not used when {kind} runs")
            self.channels[layer] = choose_channels(counts[layer], self.channel_choice, layer)
            notes = about(patch, layer=layer, channels=self.channels[layer])
            self.folders[run.work_dir / FEATURES / layer] = notes

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
