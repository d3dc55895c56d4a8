"""The facts of networks as one value, bases that set them, and what components must have.

No base class is demanded: whatever has the members is used alike. See docs/add_a_component.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from srtoolbox.errors import ConfigError, Fault

CHANNELS: Mapping[str, int] = {"y": 1, "rgb": 3}
"""The channels of each colour that a network takes and gives."""
IMAGE_KEYS = ("lq", "gt")
"""The images of a sample and of a batch."""
BEGUN = "begun"
"""The entry of a batch that a `Preparation` has begun: what is still to be done."""
FACTS: Mapping[str, str] = {
    "scale": "the upscaling factor",
    "in_channels": "1 for 'y', 3 for 'rgb'",
    "colour": "'y' or 'rgb', what forward takes and gives",
    "size_multiple": "1, or what the sides of its input must be multiples of",
    "receptive_field": "the radius in LR pixels, or None where unknown",
}
"""The facts of a network that upscales, its attributes, with their meaning in messages."""
PAGE = "docs/add_a_component.md"
Variants = Mapping[str, Mapping[str, Any]]
"""By the name of each: arguments of a network, of which `scale` is one where no other will do."""


@dataclass(frozen=True)
class NetworkFacts:
    """The facts of a network: (N, in_channels, H, W) -> (N, in_channels, scale * H, scale * W).

    Attributes:
        scale, in_channels, colour: see FACTS.
        size_multiple: H and W must be multiples of it (`inference` pads).
        receptive_field: radius r in LR pixels: the scale x scale output pixels of LR pixel p depend
            on the LR pixels p - r ... p + r of each axis and on no others. None: on the whole
            image, or unknown.
        input_size: the only (height, width) of the windows in which it takes images, where it has
            one; it cuts others itself. None: any.
    """

    scale: int
    in_channels: int
    colour: str
    size_multiple: int = 1
    receptive_field: int | None = None
    input_size: tuple[int, int] | None = None

    def fit(self, side: int) -> int:
        """Return the least side of an input that is at least `side`."""
        return -(-side // self.size_multiple) * self.size_multiple


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside a DistributedDataParallel wrapper, or the network itself."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def facts_of(network: nn.Module) -> NetworkFacts:
    """Return a network's facts, also through DDP; those with a default may be missing."""
    bare: Any = unwrap(network)
    size_multiple = getattr(bare, "size_multiple", 1)
    radius = getattr(bare, "receptive_field", None)
    size = getattr(bare, "input_size", None)
    return NetworkFacts(bare.scale, bare.in_channels, bare.colour, size_multiple, radius, size)


@dataclass(frozen=True)
class DiscriminatorFacts:
    """The facts of a discriminator.

    Attributes:
        colour: 'y' or 'rgb', of the images that it judges.
        input_size: their side; None: any multiple of `size_multiple`.
    """

    colour: str
    input_size: int | None = None
    size_multiple: int = 1

    def fit(self, side: int) -> int:
        """Return the side of images it judges: its `input_size`, or one of at least `side`."""
        return self.input_size or -(-side // self.size_multiple) * self.size_multiple


def discriminator_facts_of(network: nn.Module) -> DiscriminatorFacts:
    """Return the facts of a discriminator, through DistributedDataParallel."""
    bare: Any = unwrap(network)
    size, multiple = getattr(bare, "input_size", None), getattr(bare, "size_multiple", 1)
    return DiscriminatorFacts(bare.colour, size, multiple)


class SRNetwork(nn.Module):
    """Base of networks that upscale: it checks `scale` and `colour`, and sets the facts.

    A subclass sets a `size_multiple` other than 1, and its `receptive_field` where it knows that
    (see `models.networks.blocks.receptive_field`): None is measured by the inference. Where its
    forward fills images up to multiples itself (windows of attention), these are its
    `padded_multiple`: exported files need images that are larger than one. The class
    names the module that its body repeats, if any, as `repeated_block`: it is compiled once for
    all. Where the paper has several networks, `variants` names them, that of the defaults first,
    with the arguments that make each: see `variants_of`.

    Args:
        scale: the upscaling factor, one of the class's `scales` unless these are None.
        colour: 'rgb' or 'y'.
    """

    scales: ClassVar[Collection[int] | None] = None
    scale: int
    in_channels: int
    colour: str
    size_multiple: int = 1
    padded_multiple: int = 1
    receptive_field: int | None = None
    repeated_block: ClassVar[type[nn.Module] | None] = None
    variants: ClassVar[Variants] = {}

    def __init__(self, scale: int, colour: str = "rgb") -> None:
        super().__init__()
        owner = type(self).__name__
        if self.scales is None:
            require_positive(owner, scale=scale)
        else:
            require_choice(owner, "scale", scale, self.scales)
        require_choice(owner, "colour", colour, CHANNELS)
        self.scale, self.colour, self.in_channels = scale, colour, CHANNELS[colour]


def variants_of(network: type[nn.Module]) -> Variants:
    """Return the named variants of a class, that of its defaults first, with their arguments.

    A class that names none is the only variant; it does not inherit those of its base.
    """
    return vars(network).get("variants") or {network.__name__: {}}


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the modules that a network, or one inside it, names as its `repeated_block`."""
    kinds = {getattr(type(module), "repeated_block", None) for module in network.modules()}
    return [module for module in network.modules() if type(module) in kinds]


class NetworkWrapper(nn.Module):
    """Base of modules around another network, `network`, whose facts they pass on.

    Args:
        network: the network inside, which may be wrapped in DistributedDataParallel.
        facts: the facts of the whole; None: the network's.
    """

    network: Any  # a torch.nn.Module, whose methods are not declared
    scale: int
    in_channels: int
    colour: str
    size_multiple: int
    receptive_field: int | None
    input_size: tuple[int, int] | None

    def __init__(self, network: nn.Module, facts: NetworkFacts | None = None) -> None:
        super().__init__()
        self.network = network
        for name, value in asdict(facts or facts_of(network)).items():
            setattr(self, name, value)


@runtime_checkable
class Splittable(Protocol):
    """A network whose forward is `reconstruct(extract(lq), lq)`: large images need less memory."""

    reconstruct_field: int
    """Radius in LR pixels of what `reconstruct` sees, of the features and of the image."""

    def extract(self, lq: Tensor) -> Tensor:
        """(N, C, H, W) -> features (N, F, H / k, W / k)."""

    def reconstruct(self, features: Tensor, lq: Tensor) -> Tensor:
        """The features and the image that they are of -> (N, C, scale * H, scale * W)."""


@runtime_checkable
class Refinable(Protocol):
    """A network whose forward is a bicubic interpolation and `refine`: it takes any scale."""

    refine_field: int
    """Radius in pixels of the output of what `refine` sees."""

    def refine(self, upscaled: Tensor) -> Tensor:
        """(N, C, H, W), interpolated -> (N, C, H, W)."""


@runtime_checkable
class Branched(Protocol):
    """A module that is trained as a sum of branches and has a form of one layer for inference."""

    def fuse_branches(self) -> None:
        """Become that form, which computes the same. Done twice, it changes nothing."""


def fuse_branches(network: nn.Module) -> bool:
    """Bring all modules of a network into their form for inference; False where none has one."""
    branched = [module for module in network.modules() if isinstance(module, Branched)]
    for module in branched:
        module.fuse_branches()
    return bool(branched)


@runtime_checkable
class Opaque(Protocol):
    """A network that computes outside torch: what it does there is not seen, and is told by it."""

    hidden_bytes: float
    """The memory that it takes there for each LR pixel."""
    parameter_count: int


class Discriminator(nn.Module):
    """Base of discriminators: it checks `colour`, and sets the facts (see DiscriminatorFacts).

    `network(image)` maps (N, in_channels, H, W) in [0, 1] to logits (N, 1) or (N, 1, h, w).

    Args:
        colour: 'rgb' or 'y'.
    """

    kind: ClassVar[str] = "discriminator"
    in_channels: int
    colour: str
    input_size: int | None = None
    size_multiple: int = 1

    def __init__(self, colour: str = "rgb") -> None:
        super().__init__()
        require_choice(type(self).__name__, "colour", colour, CHANNELS)
        self.colour, self.in_channels = colour, CHANNELS[colour]


def network_kind(network: type | nn.Module) -> str:
    """Return 'generator' or 'discriminator', by the class attribute `kind` of the latter."""
    return getattr(network, "kind", None) or "generator"


def network_faults(network: nn.Module) -> Fault | None:
    """Return the fault of a network's facts: all that are missing, or the first wrong one."""
    name = type(network).__name__
    missing = [f"{fact} ({meaning})" for fact, meaning in FACTS.items() if not hasattr(network, fact)]
    if missing:
        lacks = f"{name} lacks facts that evaluation needs: {'; '.join(missing)}"
        return Fault("type", f"{lacks}. Set them in __init__; see {PAGE}")
    facts = facts_of(network)
    channels = CHANNELS.get(facts.colour)
    if channels is None:
        return Fault("colour", f"{name}: colour is 'y' or 'rgb', got {facts.colour!r}")
    if facts.in_channels != channels:
        need = f"in_channels is {channels} for colour {facts.colour!r}"
        return Fault("in_channels", f"{name}: {need}, got {facts.in_channels!r}")
    if not isinstance(facts.size_multiple, int) or facts.size_multiple < 1:
        need = "size_multiple is a whole number above 0"
        return Fault("size_multiple", f"{name}: {need}, got {facts.size_multiple!r}")
    return None


def discriminator_faults(network: nn.Module) -> Fault | None:
    """Return the fault of a discriminator's facts: all that are missing, or a wrong colour."""
    name = type(network).__name__
    missing = [fact for fact in ("colour", "input_size") if not hasattr(network, fact)]
    if missing:
        lacks = f"{name} lacks facts that training needs: {', '.join(missing)}"
        meaning = "colour is 'y' or 'rgb', input_size the side of its images, None for any"
        return Fault("type", f"{lacks} ({meaning}). Set them in __init__; see {PAGE}")
    if network.colour not in CHANNELS:
        return Fault("colour", f"{name}: colour is 'y' or 'rgb', got {network.colour!r}")
    return None


class Dataset(Protocol):
    """Images that `evaluate` takes: those for training have more, see MEMBERS."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, item: int, /) -> object:
        """Return the sample of an index."""

    def keys(self) -> list[str]:
        """Return the image's name for every index."""


@runtime_checkable
class Preparation(Protocol):
    """A `model.preprocess` that makes LQ and targets from GT alone, in two parts.

    Both are functions of the seed and the number of each draw. It travels to data workers.
    """

    scale: int
    host_steps: Sequence[str]
    """The classes of its steps that need the CPU."""

    @classmethod
    def images_of(cls, cfg: Mapping[str, Any]) -> Sequence[str]:
        """Return names of the images that one of this config gives, 'lq' and 'gt' among them."""

    def begin(self, batch: dict[str, Any], draws: Sequence[Any], group: int) -> dict[str, Any]:
        """Return a batch of GT with `BEGUN`, and with what is done on the CPU done.

        Args:
            batch: 'gt' (N, H, W, C), uint8 or uint16, and what a loader adds.
            draws: of each image: `number` and `seed`.
            group: the number of draws that share what a batch shares: `batch_size` of all ranks.
        """

    def finish(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the images of a batch that has begun, float RGB (N, 3, h, w), on its device."""


def is_preparation(entry: object) -> bool:
    """True for a class whose objects are each a `Preparation`, as configs name it."""
    return hasattr(entry, "images_of")


def preparation_of(model: nn.Module) -> Preparation | None:
    """Return the `preprocess` of a restorer if it makes LQ from GT alone."""
    transform = getattr(model, "transform", None)
    return transform if isinstance(transform, Preparation) else None


class Metric(Protocol):
    """A score of each image of a batch."""

    higher_is_better: bool | None
    protocol: str

    def __call__(self, pred: Tensor, target: Tensor | None = None, /) -> Tensor:
        """Return (N,), one number per image, of two batches (N, C, H, W).

        It is called with `pred` alone where its `needs_target` is False.
        """


def needs_target(metric: object) -> bool:
    """True if a metric, or its class, compares with the truth: all do that do not say otherwise."""
    return getattr(metric, "needs_target", True)


def has_truth(dataset: object) -> bool:
    """True if a dataset, or its class, has GT to its images: all have that do not say otherwise."""
    return getattr(dataset, "has_truth", True)


def is_share(dataset: object) -> bool:
    """True if the images of a training set are this rank's alone; they are all ranks' where it does not say so."""
    return getattr(dataset, "is_share", False)


# fmt: off
MEMBERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "transform": ("srtoolbox.data.transforms.Transform", ("__call__", "margin")),
    "metric": ("srtoolbox.metrics.base.Metric", ("higher_is_better", "protocol", "__call__")),
    "hook": ("srtoolbox.engine.hooks.Hook", (
        "phase", "set_up", "before_train", "at_start", "after_iter", "after_eval", "after_train",
        "state_dict", "load_state_dict",
    )),
    "model": ("srtoolbox.models.restorers.base.Restorer", (
        "networks", "train_step", "restore", "loss_weights",
    )),
    "dataset": ("srtoolbox.data.datasets.base.SRDataset", (
        "__len__", "__getitem__", "__getitems__", "keys", "sample", "draw_weights", "digest",
    )),
}
# fmt: on
"""Kind of component -> the base class that has all the members asked for, and these."""


def missing_members(kind: str, component: object) -> str | None:
    """Return the fault of a component, or of its class, that lacks members of its kind."""
    owner = component if inspect.isclass(component) else type(component)
    if kind == "loss":
        is_module = issubclass(owner, nn.Module)
        return None if is_module else f"a loss is a torch.nn.Module, {owner.__name__} is none; see {PAGE}"
    base, members = MEMBERS.get(kind, ("", ()))
    missing = [name for name in members if not hasattr(component, name)]
    if not missing:
        return None
    return f"{owner.__name__} lacks {', '.join(missing)}: derive it from {base}; see {PAGE}"


def require_choice(owner: str, name: str, value: object, allowed: Iterable[object]) -> None:
    """Raise a ConfigError unless argument `name` of `owner` has one of the allowed values."""
    allowed = list(allowed)
    if value not in allowed or isinstance(value, bool):
        choices = ", ".join(map(repr, allowed))
        raise ConfigError(f"{owner}: {name}={value!r} is not possible; allowed: {choices}", key=name)


def require_positive(owner: str, **values: object) -> None:
    """Raise a ConfigError unless each argument of `owner` is a positive integer."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            fault = f"{owner}: {name}={value!r} is not possible; it is a positive integer"
            raise ConfigError(fault, key=name.replace("[", ".").removesuffix("]"))
