"""Weights of a backbone's channels, which LPIPS and DISTS have learned: how much each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError, ConfigError, Fault
from srtoolbox.features.backbones import RANDOM, downloaded, weight_faults
from srtoolbox.io.tensor_files import load_tensors

PUBLISHED = "published"
KEY = "channel_weights"
_LPIPS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1"


class Judge(NamedTuple):
    """A learned distance of images: what it compares, and where its weights are published.

    Attributes:
        backbone: the network of the features.
        layers: names of its layers, with their channels.
        tensors: keys of the published file, with the number of values of each.
        url: of that file.
        file: its name in torch's cache.
    """

    backbone: str
    layers: Mapping[str, int]
    tensors: Mapping[str, int]
    url: str
    file: str


def _lpips(net: str, backbone: str, layers: Mapping[str, int]) -> Judge:
    tensors = {f"lin{number}.model.1.weight": count for number, count in enumerate(layers.values())}
    return Judge(backbone, layers, tensors, f"{_LPIPS}/{net}.pth", f"lpips_v0.1_{net}.pth")


VGG16_STAGES = {"relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512, "relu5_3": 512}
_DISTS_CHANNELS = 3 + sum(VGG16_STAGES.values())  # the image's own come first

LPIPS = {
    "alex": _lpips("alex", "alexnet", {"relu1": 64, "relu2": 192, "relu3": 384, "relu4": 256, "relu5": 256}),
    "vgg": _lpips("vgg", "vgg16", VGG16_STAGES),
    "squeeze": _lpips(
        "squeeze",
        "squeezenet1_1",
        {"relu1": 64, "fire3": 128, "fire5": 256, "fire6": 384, "fire7": 384, "fire8": 512, "fire9": 512},
    ),
}
"""LPIPS, version 0.1, by the name that its authors give its network."""

DISTS = Judge(
    "vgg16",
    VGG16_STAGES,
    {"alpha": _DISTS_CHANNELS, "beta": _DISTS_CHANNELS},
    "https://github.com/dingkeyan93/DISTS/raw/master/DISTS_pytorch/weights.pt",
    "dists_weights.pt",
)


def channel_weight_faults(value: object) -> list[Fault]:
    """Return what is wrong with a `channel_weights` argument.

    A file has to be there, but is not read.
    """
    return weight_faults(value, KEY, PUBLISHED, "of the authors' file")


def load_channel_weights(judge: Judge, source: str) -> Tensor:
    """Return the values of the judge's tensors, one after another, float32 (count,) on the CPU.

    Args:
        judge: `DISTS` or one of `LPIPS`.
        source: 'published' (the authors' file, downloaded once), the path of that file, or 'random'
            (the same everywhere).

    Raises:
        ConfigError: no such file.
        CheckpointError: the download failed, or the file is damaged or another one.
    """
    if faults := channel_weight_faults(source):
        raise ConfigError(faults)
    # built during evaluation they must serve for training
    with torch.inference_mode(False), torch.device("cpu"):
        if source == RANDOM:
            return torch.rand(sum(judge.tensors.values()), generator=torch.Generator().manual_seed(0))
        if source == PUBLISHED:
            path = downloaded(judge.url, judge.file, f"{judge.file}: the authors' weights", KEY)
        else:
            path = Path(source).expanduser()
        return _values(judge, path)


def _values(judge: Judge, path: Path) -> Tensor:
    state = load_tensors(path)
    wrong = [key for key, count in judge.tensors.items() if _values_of(state, key) != count]
    if wrong:
        raise CheckpointError(
            f"{path}: is not the file of {judge.url}, which holds {_described(judge, wrong)}; "
            f"this one has {', '.join(list(map(str, state))[:3]) or 'nothing'}"
        )
    values = torch.cat([state[key].detach().float().flatten() for key in judge.tensors])
    if not values.isfinite().all():
        raise CheckpointError(f"{path}: holds values that are not finite; copy or download it again")
    return values


def _values_of(state: Mapping[str, object], key: str) -> int | None:
    tensor = state.get(key)
    return tensor.numel() if isinstance(tensor, Tensor) else None


def _described(judge: Judge, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} of {judge.tensors[key]} values" for key in keys[:3])
