"""The members that each kind of component must have, as protocols."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from srtoolbox.interfaces import PAGE

Sample = TypeVar("Sample")
Rng = TypeVar("Rng", contravariant=True)
Draw = TypeVar("Draw", contravariant=True)
Run = TypeVar("Run", contravariant=True)
Evaluation = TypeVar("Evaluation", contravariant=True)
Optims = TypeVar("Optims", contravariant=True)


class Transform(Protocol[Sample, Rng]):
    """A change of a sample, whose randomness comes from `rng`."""

    def __call__(self, sample: Sample, rng: Rng, /) -> Sample:
        """Return the changed sample."""

    def margin(self, gt_size: int, /) -> int:
        """Return the GT pixels that are needed around a crop of `gt_size`."""


class Dataset(Protocol[Draw]):
    """Images for training, by draw, and for evaluation, by index."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, item: int | Draw, /) -> object:
        """Return the sample of an index (for evaluation) or of a draw (for training)."""

    def __getitems__(self, items: Collection[int | Draw], /) -> object:
        """Return a batch of draws, or samples of indices."""

    def keys(self) -> list[str]:
        """Return the image's name for every index."""

    def sample(self, draw: Draw, /) -> object:
        """Return the training sample of a draw, a function of the draw alone."""

    def draw_weights(self) -> object:
        """Return how often each index is drawn, relative to the others; None: all alike."""

    def digest(self) -> str:
        """Return a hash that changes with the images or their order."""


class Metric(Protocol):
    """A score of each image of a batch."""

    higher_is_better: bool | None
    protocol: str

    def __call__(self, pred: Tensor, target: Tensor, /) -> Tensor:
        """Return (N,), one number per image, of two batches (N, C, H, W)."""


class Hook(Protocol[Run, Evaluation]):
    """An action beside the training steps, by `phase`."""

    phase: int

    def set_up(self, run: Run, /) -> None:
        """Add to the run what checkpoints hold, before one is loaded."""

    def before_train(self, run: Run, /) -> None:
        """Act once, with everything built and loaded."""

    def at_start(self, run: Run, /) -> None:
        """Act once, before the first iteration of a run that begins at 0."""

    def after_iter(self, run: Run, /) -> None:
        """Act after an iteration."""

    def after_eval(self, run: Run, evaluation: Evaluation, /) -> None:
        """Act after an evaluation."""

    def after_train(self, run: Run, error: BaseException | None, /) -> None:
        """Act once at the end, also after an error."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take back what `state_dict` returned."""


class Restorer(Protocol[Optims]):
    """Networks and losses with their training step."""

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks by name."""

    def train_step(self, batch: dict[str, Any], optims: Optims, /) -> dict[str, Tensor]:
        """Update the networks by one batch, and return the loss terms."""

    def restore(self, batch: dict[str, Any], network: nn.Module, /) -> Tensor:
        """Return the network's output for a batch."""

    def loss_weights(self) -> dict[str, float]:
        """Return the factor in each weighted term."""


_INTERFACES: Mapping[str, tuple[type, str]] = {
    "transform": (Transform, "srtoolbox.data.transforms.Transform"),
    "metric": (Metric, "srtoolbox.metrics.base.Metric"),
    "hook": (Hook, "srtoolbox.engine.hooks.Hook"),
    "model": (Restorer, "srtoolbox.models.restorers.base.Restorer"),
    "dataset": (Dataset, "srtoolbox.data.datasets.base.SRDataset"),
}


def interfaces() -> dict[str, tuple[list[str], str]]:
    """Return for each kind the members of its components, and the base class that has them all."""
    return {kind: (_members(protocol), base) for kind, (protocol, base) in _INTERFACES.items()}


def _members(protocol: type) -> list[str]:
    """Return the attributes and methods that a protocol of this module declares."""
    own = [name for name, value in vars(protocol).items() if getattr(value, "__module__", None) == __name__]
    return [*inspect.get_annotations(protocol), *own]


def missing_members(kind: str, component: object) -> str | None:
    """Return the fault of a component that lacks members of its kind's interface.

    Args:
        kind: a registry's.
        component: an instance, or the class of one that is not to be built.
    """
    if kind == "loss":
        owner = component if isinstance(component, type) else type(component)
        if issubclass(owner, nn.Module):
            return None
        return f"a loss is a torch.nn.Module, {_name(component)} is none; see {PAGE}"
    members, base = interfaces().get(kind, ([], ""))
    missing = [name for name in members if not hasattr(component, name)]
    if not missing:
        return None
    return f"{_name(component)} lacks {', '.join(missing)}: derive it from {base}; see {PAGE}"


def class_to_ask(kind: str, entry: Callable[..., Any]) -> type | None:
    """Return the class itself, for kinds that are not built to be checked (they read files)."""
    return entry if kind in ("loss", "dataset", "model") and inspect.isclass(entry) else None


def _name(component: object) -> str:
    return component.__name__ if inspect.isclass(component) else type(component).__name__
