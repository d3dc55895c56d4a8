"""Networks of architectures that spandrel knows and that have no file of their own here.

spandrel (https://github.com/chaiNNer-org/spandrel) is an extra. It tells an architecture and its
arguments from the names and shapes of tensors; a file is never read by it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.compat.spandrel import call_of
from srtoolbox.devices import tell_once, without_drawing
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.features.torchvision import torchvision_models
from srtoolbox.interfaces import NetworkFacts, NetworkWrapper, require_choice
from srtoolbox.registry import NETWORKS

if TYPE_CHECKING:  # an extra, which may be missing
    from spandrel import ArchSupport, ImageModelDescriptor

INSTALL, INSTALL_EXTRA = "pip install 'srtoolbox[spandrel]'", "pip install spandrel_extra_arches"
COLOURS = {1: "y", 3: "rgb"}
VALUES_READ = {"sub_mean.bias": 3, "layers.0.blocks.0.attn.attns.0.rpe_biases": 2, "MetaUpsample": 7}
"""Ends of the names of tensors whose last values tell arguments, and how many values.

They are IPT's range of values, DAT's windows, the upsampling of FDAT and MoESR.
"""
ONE_BY_ONE = ("DDColor", "DRUNet", "IPT", "SeemoRe")
"""Architectures that take one image at a time."""
KINDS = ("int64", "int32", "int16", "uint8", "bool")


def is_installed() -> bool:
    """True if the extra is there."""
    return importlib.util.find_spec("spandrel") is not None


def has_extra_architectures() -> bool:
    """True if spandrel_extra_arches is there, beside spandrel."""
    return is_installed() and importlib.util.find_spec("spandrel_extra_arches") is not None


def release() -> str:
    """Return the version of spandrel."""
    return importlib.metadata.version("spandrel")


@cache
def architectures() -> Mapping[str, ArchSupport]:
    """Return what spandrel knows, by its identifier, in the order in which it is to be asked.

    Those of spandrel_extra_arches are among them where that is installed.

    Raises:
        SrtoolboxError: spandrel is not installed.
    """
    spandrel = _imported("spandrel")
    registry = spandrel.MAIN_REGISTRY.copy()
    if has_extra_architectures():
        extra = _imported("spandrel_extra_arches").EXTRA_REGISTRY
        registry.add(*extra, ignore_duplicates=True)
    return {support.architecture.id: support for support in registry.architectures("detection")}


def _imported(name: str) -> ModuleType:
    """Import a package beside torchvision, which is mended first."""
    if importlib.util.find_spec(name) is None:
        raise SrtoolboxError(f"this needs the package {name}: {INSTALL}")
    torchvision_models()
    return importlib.import_module(name)


def describe_tensors(state: Mapping[str, Tensor]) -> list[str]:
    """Return names and shapes, from which a network can be built: ['body.0.weight 64 3 3 3', ...].

    Whole numbers and booleans have their kind behind the name; a few tensors their last values.
    """
    lines = []
    for name, tensor in state.items():
        kind = [] if tensor.is_floating_point() else [str(tensor.dtype).removeprefix("torch.")]
        line = " ".join([name, *kind, *map(str, tensor.shape)])
        count = next((number for end, number in VALUES_READ.items() if name.endswith(end)), 0)
        if count:
            values = tensor.double().flatten()[-count:].tolist()
            line += f" = {' '.join(map(repr, values))}"
        lines.append(line)
    return lines


def state_of(tensors: Sequence[str]) -> dict[str, Tensor]:
    """Return a state_dict of zeros with the names and shapes of `describe_tensors`.

    Raises:
        ConfigError: a line that is none of those.
    """
    state = {}
    for line in tensors:
        try:
            head, _, values = line.partition(" = ")
            name, *shape = head.split()
            dtype = torch.float32
            if shape and not shape[0].isdecimal():
                dtype = getattr(torch, KINDS[KINDS.index(shape.pop(0))])
            state[name] = torch.zeros([int(side) for side in shape], dtype=dtype)
            if values:
                numbers = torch.tensor([float(value) for value in values.split()])
                state[name].view(-1)[-len(numbers) :] = numbers
        except (ValueError, RuntimeError) as error:
            fault = f"Spandrel: {line!r} is no tensor's name and shape, such as 'conv.weight 64 3 3 3'"
            raise ConfigError(fault, key="tensors") from error
    return state


def open_state(architecture: str, state: Mapping[str, Tensor]) -> ImageModelDescriptor:
    """Return what spandrel makes of a state_dict of one of its architectures.

    No random weights are drawn, for all are in the state_dict.

    Raises:
        SrtoolboxError: spandrel is not installed, does not know it, or cannot make it.
    """
    known = architectures()
    if architecture not in known:
        advice = "" if has_extra_architectures() else f"; {INSTALL_EXTRA} adds some"
        raise ConfigError(f"Spandrel: spandrel {release()} has no {architecture!r}{advice}", key="architecture")
    with torch.device("cpu"), without_drawing():
        return known[architecture].architecture.load(dict(state))  # type: ignore[return-value]


def facts_by(descriptor: ImageModelDescriptor) -> NetworkFacts:
    """Return the facts of what spandrel has opened; what colours gray images counts as of RGB.

    Raises:
        SrtoolboxError: it maps other channels than gray or RGB.
    """
    before, after = descriptor.input_channels, descriptor.output_channels
    if (before, after) not in ((1, 1), (3, 3), (1, 3)):
        raise SrtoolboxError(f"it maps images of {before} channels to {after}; gray or RGB is wanted")
    return NetworkFacts(descriptor.scale, after, COLOURS[after], descriptor.size_requirements.multiple_of)


@NETWORKS.register
class Spandrel(NetworkWrapper):
    """A network of a file that spandrel has opened, with the facts that it tells.

    `load_network` makes it, and so does everything else that opens files; its config says all that
    is needed to build it again. Where spandrel says that a network does not bear half precision or
    bfloat16, it runs in float32, with one sentence.

    Args:
        scale: upscaling factor, 1 for restoration; as the tensors say.
        colour: 'rgb' or 'y'; as the tensors say.
        architecture: spandrel's identifier of it: 'HAT', 'NAFNet'.
        tensors: names and shapes of all tensors, which tell its arguments: `describe_tensors`.
    """

    ranges_are_known: ClassVar[bool] = True

    def __init__(self, scale: int, colour: str = "rgb", *, architecture: str, tensors: Sequence[str]) -> None:
        descriptor = open_state(architecture, state_of(tensors))
        facts = facts_by(descriptor)
        require_choice("Spandrel", "scale", scale, (facts.scale,))
        require_choice("Spandrel", "colour", colour, (facts.colour,))
        if torch.get_default_device().type == "meta":
            descriptor.model.to("meta")
        self._hold(descriptor, facts)

    @classmethod
    def of(cls, descriptor: ImageModelDescriptor) -> Spandrel:
        """Return the network that spandrel has opened, as it is, with its weights.

        Raises:
            SrtoolboxError: it maps other channels than gray or RGB.
        """
        network = cls.__new__(cls)
        network._hold(descriptor, facts_by(descriptor))
        return network

    def _hold(self, descriptor: ImageModelDescriptor, facts: NetworkFacts) -> None:
        super().__init__(descriptor.model, facts)
        self.architecture = descriptor.architecture.id
        self.colours_gray = descriptor.input_channels < descriptor.output_channels
        sizes, supports = descriptor.size_requirements, (descriptor.supports_half, descriptor.supports_bfloat16)
        self.smallest, self.is_square = max(sizes.minimum, 1), sizes.square
        halves = zip((torch.float16, torch.bfloat16), supports, strict=True)
        self.halves = [dtype for dtype, is_supported in halves if is_supported]
        self._call: Callable[[Any, Tensor], Tensor] = call_of(descriptor)

    def forward(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, C, scale * H, scale * W).

        Images that are smaller than it takes, or not square where they must be, are mirrored below
        and at the right as spandrel does it, and the result is cut.
        """
        if self.architecture in ONE_BY_ONE and lq.shape[0] > 1:
            return torch.cat([self(image) for image in lq.split(1)])
        height, width = lq.shape[-2:]
        kind = lq.device.type
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) not in self.halves:
            name = str(torch.get_autocast_dtype(kind)).removeprefix("torch.")
            tell_once(f"{self.architecture} of spandrel does not bear {name}: it computes in float32")
            with torch.autocast(kind, enabled=False):
                sr = self._call(self.network, self._fitting(lq.float()))
        else:
            sr = self._call(self.network, self._fitting(lq))
        return sr[..., : height * self.scale, : width * self.scale]

    def _fitting(self, lq: Tensor) -> Tensor:
        """Return a copy of a size that the network takes: some change what they are given."""
        lq = _gray(lq) if self.colours_gray else lq.clone()
        if self.smallest == 1 and not self.is_square:
            return lq
        height, width = (max(side, self.smallest) for side in lq.shape[-2:])
        if self.is_square:
            height = width = max(height, width)
        return _mirrored(lq, height, width)


def _gray(rgb: Tensor) -> Tensor:
    """Return the luma of RGB images, (N, 1, H, W), of the full range."""
    red, green, blue = rgb.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def _mirrored(lq: Tensor, height: int, width: int) -> Tensor:
    """Mirror the bottom and the right of an image, and repeat what is there then, up to a size."""
    missing = height - lq.shape[-2], width - lq.shape[-1]
    bottom, right = (min(more, side - 1) for more, side in zip(missing, lq.shape[-2:], strict=True))
    if bottom or right:
        lq = F.pad(lq, (0, right, 0, bottom), mode="reflect")
    if (bottom, right) != missing:
        lq = F.pad(lq, (0, missing[1] - right, 0, missing[0] - bottom), mode="replicate")
    return lq
