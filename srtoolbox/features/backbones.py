"""Classification networks whose layers serve as features: papers' names of layers, and weights.

Layer names by family (torchvision's names, `features.35` or `layer2.1`, are taken as well):

- VGG (Simonyan, Zisserman 2014, arXiv:1409.1556): `conv5_4` is the 4th convolution of the 5th
  group, which is the 4th convolution before the 5th max-pooling, as it leaves the convolution:
  before activation (ESRGAN's features). `relu5_4` is the same after its activation: VGG(5,4) of
  SRGAN. With batch normalisation, `bn5_4` lies between the two: `conv5_4` before it, `bn5_4` after
  it and before the activation. `pool5` is the max-pooling.
- ResNet (He et al. 2015, arXiv:1512.03385): `block4` is the 4th residual block, counted from 1 over
  all four stages, after its last ReLU.
- SqueezeNet (Iandola et al. 2016, arXiv:1602.07360): `conv1`, `relu1`, `fire2` ... `fire9` (after
  the module's ReLUs), `pool1` and so on, a pooling being named after the module before it.
- AlexNet (as in torchvision): `conv1` ... `conv5`, `relu1` ... `relu5`, `pool1`, `pool2`, `pool5`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from srtoolbox.devices import without_memory
from srtoolbox.errors import CheckpointError, ConfigError, Fault
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.io.tensor_files import load_tensors
from srtoolbox.logger import LOGGER
from srtoolbox.text import did_you_mean

VGGS = tuple(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn"))
RESNETS = ("resnet18", "resnet34", "resnet50")
BACKBONES = (*VGGS, *RESNETS, "squeezenet1_0", "squeezenet1_1", "alexnet")

IMAGENET = "imagenet"
RANDOM = "random"
_HEADS = ("classifier.", "fc.")


def layer_faults(backbone: object, layers: object) -> list[Fault]:
    """Return what is wrong with a backbone's name and the names of its layers; read no weights."""
    if backbone not in BACKBONES:
        hint = did_you_mean(str(backbone), BACKBONES, else_list=True)
        return [Fault("backbone", f"backbone={backbone!r} is not known.{hint}")]
    if not isinstance(layers, Iterable) or isinstance(layers, str) or not layers:
        example = papers_names(backbone)[-1]
        fault = f"layers names at least one layer of {backbone}, such as {example!r}; got {layers!r}"
        return [Fault("layers", fault)]
    steps = layer_steps(backbone)
    place = "layers.{}" if isinstance(layers, Mapping) else "layers"
    names, faults = papers_names(backbone), []
    for layer in [layer for layer in layers if layer not in steps]:
        sentence = f"layers: {backbone} has no layer {layer!r}.{did_you_mean(str(layer), names)}"
        faults.append(Fault(place.format(layer), f"{sentence} It has {', '.join(names)}"))
    return faults


def weight_faults(
    weights: object, key: str = "weights", download: str = IMAGENET, by: str = "by torchvision"
) -> list[Fault]:
    """Return what is wrong with a `weights` argument; a file has to be there, but is not read.

    Args:
        weights: the argument's value.
        key: its name.
        download: the value that stands for a download.
        by: who downloads, or whence.
    """
    if not isinstance(weights, str) or not weights:
        fault = f"is not possible; it is {download!r}, the path of a file, or 'random'"
        return [Fault(key, f"{key}={weights!r} {fault}")]
    if weights in (download, RANDOM) or Path(weights).expanduser().is_file():
        return []
    fault = f"no such file (nor {download!r}, a download {by}, nor 'random')"
    return [Fault(key, f"{key}={weights!r}: {fault}")]


def papers_names(backbone: str) -> list[str]:
    """Return the layers of a backbone by the papers' names, from the first to the deepest."""
    return [name for name in layer_steps(backbone) if "." not in name]


@cache
def layer_steps(backbone: str) -> Mapping[str, int]:
    """Return layer name (the papers' and torchvision's) -> number of its step in `steps_of`."""
    steps = steps_of(empty_backbone(backbone))
    if backbone in RESNETS:
        blocks = [index for index, (name, _) in enumerate(steps) if name.startswith("layer")]
        papers = {f"block{number}": index for number, index in enumerate(blocks, 1)}
    else:
        papers = _grouped_names(steps) if backbone in VGGS else _counted_names(steps)
    return papers | {name: index for index, (name, _) in enumerate(steps)}


def _grouped_names(steps: list[tuple[str, nn.Module]]) -> dict[str, int]:
    """VGG's: group and number in the group; a max-pooling ends the group."""
    names, group, number = {}, 1, 0
    for index, (_, module) in enumerate(steps):
        if isinstance(module, nn.MaxPool2d):
            names[f"pool{group}"] = index
            group, number = group + 1, 0
            continue
        number += isinstance(module, nn.Conv2d)
        kind = {nn.Conv2d: "conv", nn.BatchNorm2d: "bn", nn.ReLU: "relu"}[type(module)]
        names[f"{kind}{group}_{number}"] = index
    return names


def _counted_names(steps: list[tuple[str, nn.Module]]) -> dict[str, int]:
    """SqueezeNet's and AlexNet's: convolutions and fire modules counted; others share it."""
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}
    names, number = {}, 0
    for index, (_, module) in enumerate(steps):
        kind = kinds.get(type(module), "fire")
        number += kind in ("conv", "fire")
        names[f"{kind}{number}"] = index
    return names


def steps_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules before the classifier, in forward order, by torchvision's names."""
    features = getattr(model, "features", None)
    if features is not None:
        return [(f"features.{name}", module) for name, module in features.named_children()]
    steps = []
    for name, module in model.named_children():
        if name.startswith("layer"):
            steps += [(f"{name}.{index}", block) for index, block in module.named_children()]
        elif name not in ("avgpool", "fc"):
            steps.append((name, module))
    return steps


def empty_backbone(backbone: str) -> nn.Module:
    """Return the network without memory for its parameters; no random number is drawn."""
    with without_memory():
        return torchvision_models().get_model(backbone, weights=None)


def filled_backbone(backbone: str, weights: str) -> nn.Module:
    """Return the network with its weights before the classifier, float32 on the CPU.

    Args:
        backbone: one of `BACKBONES`.
        weights: 'imagenet' (torchvision's first ImageNet weights, downloaded once), the path of a
            file with the network's state_dict, or 'random', but the same in every process and run.

    Raises:
        ConfigError: unknown backbone, or weights that are none of the three.
        CheckpointError: the download failed, or the file is damaged or another network's.
    """
    faults = layer_faults(backbone, ["?"])[:1] if backbone not in BACKBONES else weight_faults(weights)
    if faults:
        raise ConfigError(faults)
    model = empty_backbone(backbone)
    if weights == RANDOM:
        state = _random_state(model)
    else:
        path = _downloaded(backbone) if weights == IMAGENET else Path(weights).expanduser()
        state = _verified_state(model, backbone, path)
    model.load_state_dict(state, strict=False, assign=True)
    return model


def _weights_before_head(model: nn.Module) -> dict[str, Tensor]:
    return {key: value for key, value in model.state_dict().items() if not key.startswith(_HEADS)}


def _random_state(model: nn.Module) -> dict[str, Tensor]:
    """Return He's initialisation by a generator of its own, so that all ranks get the same."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, value in _weights_before_head(model).items():
        if value.dim() == 4:
            state[key] = nn.init.kaiming_normal_(torch.empty(value.shape), nonlinearity="relu", generator=generator)
        else:  # biases and means are 0, scales and variances 1
            fill = float(key.endswith("running_var") or key.endswith("weight"))
            state[key] = torch.full(value.shape, fill, dtype=value.dtype)
    return state


def _verified_state(model: nn.Module, backbone: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, which must be this very network's, but for its classifier."""
    state, own = load_tensors(path), model.state_dict()
    weights = _weights_before_head(model)
    required = [key for key in weights if not key.endswith("num_batches_tracked")]
    missing = [key for key in required if key not in state]
    foreign = [key for key in state if key not in own]
    misshapen = [key for key in required if key not in missing and state[key].shape != weights[key].shape]
    faults = [
        f"{word} {len(keys)} ({', '.join(map(str, keys[:3]))}{', ...' if len(keys) > 3 else ''})"
        for word, keys in (("missing", missing), ("not of this network", foreign), ("of another shape", misshapen))
        if keys
    ]
    if faults:
        raise CheckpointError(
            f"{path}: does not hold torchvision's {backbone}. Its state_dict is wanted; tensors {'; '.join(faults)}"
        )
    if not all(torch.isfinite(state[key]).all() for key in required):
        raise CheckpointError(f"{path}: holds values that are not finite; copy or download it again")
    counts = {key: torch.tensor(0) for key in own if key.endswith("num_batches_tracked")}
    return counts | {key: state[key].float() for key in required}


def _downloaded(backbone: str) -> Path:
    """Return the file of torchvision's first ImageNet weights."""
    url = torchvision_models().get_model_weights(backbone).IMAGENET1K_V1.url
    name = url.rpartition("/")[2]
    digest = Path(name).stem.rpartition("-")[2]
    return downloaded(url, name, f"{backbone}: its ImageNet weights", "weights", digest)


def downloaded(url: str, name: str, what: str, key: str, digest: str | None = None) -> Path:
    """Return a file of torch's cache, downloaded where it is not there yet.

    Args:
        url: where it is published.
        name: its own in the cache.
        what: for the error, which says how to do without a download.
        key: the argument that takes a path instead.
        digest: how its SHA-256 begins, where that is known.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        LOGGER.info("downloading %s to %s", url, path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), digest, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            raise CheckpointError(
                f"{what} cannot be downloaded from {url} ({error}). Fetch "
                f"that file elsewhere and copy it to {path}, or give its path: {key}='/path/to/{path.name}'. "
                f"{key}='random' takes random ones on purpose."
            ) from error
    return path
