"""Keeps feature maps of chosen layers over the training: what `visualize features WORK_DIR` animates."""

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

_MIDDLE = 240  # px of the true picture


@HOOKS.register
class FeatureMapsHook(SnapshotHook):
    """Runs a patch through the network every `interval` iterations and keeps some channels of some layers, as float16
    in `snapshots/features/<layer>/`.

    Args:
        picture: a true picture; if it is not there, that is reported, and the training goes on.
        layers: names as in `network.named_modules()`, such as 'conv1' or 'body.3'.
        box: [x, y, width, height] in the picture, multiples of the scale; None: its middle, up to 240 x 240.
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
            raise ConfigError("FeatureMapsHook: at least one layer and one channel are needed", key=key)
        self.spec = {"picture": picture, "box": box}
        self.layers = list(dict.fromkeys(layers))
        self.wanted = channels
        self.interval = positive_interval("FeatureMapsHook", interval)
        self.network = network

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """A box that is none, and layers that the network does not have."""
        fault = patch_fault({"picture": cfg.get("picture"), "box": cfg.get("box")}, context)
        faults = [Fault("box", f"box: {fault}")] if fault else []
        return faults + _layer_faults(cfg, context.get("model") or {})

    def set_up(self, run: Run) -> None:
        network = run.networks[self.network]
        self.patch = patch_of(self.spec, network, middle=_MIDDLE)
        self.channels: dict[str, list[int]] = {}
        self.folders: dict[Path, dict[str, bytes]] = {}
        if self.patch is None:
            return
        counts = {layer: len(maps) for layer, maps in self._maps(network).items()}
        for layer in self.layers:
            if layer not in counts:
                raise SrtoolboxError(f"layer {layer!r} is not used when {type(network).__name__} runs")
            self.channels[layer] = choose_channels(counts[layer], self.wanted, layer)
            told = about(self.patch, layer=layer, channels=self.channels[layer])
            self.folders[run.work_dir / FEATURES / layer] = told

    def _keep(self, network: nn.Module, iteration: int) -> None:
        maps = self._maps(network)
        for layer, folder in zip(self.layers, self.folders, strict=True):
            write_maps(snapshot_path(folder, iteration, ".npz"), maps[layer][self.channels[layer]])

    def _maps(self, network: nn.Module) -> dict[str, Any]:
        with recording(network, self.layers) as maps:
            upscale_whole(network, self.patch.lq)
        return {layer: self.patch.cut_maps(part) for layer, part in maps.items()}


def _layer_faults(cfg: Mapping[str, Any], model: Mapping[str, Any]) -> list[Fault]:
    """Layers that the config's network does not have."""
    name = str(cfg.get("network", "generator")).removesuffix("_ema")
    if not isinstance(model.get(name), Mapping):
        return []  # that is in the report, as of any hook
    try:
        with without_memory():
            network = NETWORKS.build(model[name])
    except Exception:
        return []  # a network that cannot be built is in the report already, or at home on no meta device
    return [
        Fault(f"layers.{index}", f"layers: {fault}")
        for index, layer in enumerate(cfg.get("layers") or ())
        if (fault := layer_fault(network, layer))
    ]
