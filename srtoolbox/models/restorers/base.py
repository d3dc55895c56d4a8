"""The plain restorer: one generator, trained by losses on its output."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from srtoolbox.errors import Fault, SrtoolboxError
from srtoolbox.image import batch_to_float, rgb_to_y
from srtoolbox.image.tensors import batch_to_y
from srtoolbox.interfaces import BEGUN, IMAGE_KEYS, Preparation
from srtoolbox.optim.optional_classes import averages_weights
from srtoolbox.optim.wrapper import OptimWrapper
from srtoolbox.registry import HOOKS, LOSSES, MODELS, NETWORKS, TRANSFORMS, parameters_of
from srtoolbox.text import did_you_mean

GRADIENT_NORM = "grad_norm"
AVERAGED = "sr_ema"
MORE_IMAGES = ("lq", AVERAGED)
"""What a loss may ask for beside `pred` and `target`, by a parameter of this name."""


@MODELS.register
class Restorer(nn.Module):
    """Trains `generator` so that `generator(lq)` comes close to `gt` by the sum of `losses`.

    Args:
        generator: config of the network, (N, C, h, w) -> (N, C, scale * h, scale * w).
        losses: `{name: config}`, each called as `loss(sr, target)`, and with `lq`, the network's
            input, or `sr_ema`, the output of its average, where its `forward` has parameters so
            called; none only for an evaluation.
        preprocess: config of a DegradationPipeline, which makes LQ of GT alone, or of a transform
            of float RGB batches on the device.
        targets: `{loss name: batch key}` where a loss compares with another image than `gt`: what
            `preprocess` gives, such as 'gt_usm'.
    """

    needs_losses = True  # training is impossible without an entry in `losses`
    own_targets: ClassVar[tuple[str, ...]] = ()
    """Names in `targets` beside those of `losses`."""

    def __init__(
        self,
        generator: dict[str, Any],
        losses: dict[str, dict[str, Any]] | None = None,
        preprocess: dict[str, Any] | None = None,
        targets: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.generator = NETWORKS.build(generator)
        self.colour = self.generator.colour
        self.losses = nn.ModuleDict({name: LOSSES.build(cfg) for name, cfg in (losses or {}).items()})
        self.transform = TRANSFORMS.build(preprocess) if preprocess else None
        self.targets = dict(targets or {})
        self.iteration = 0  # finished iterations: the runner keeps it
        # of `networks()`, by an EMAHook; no parts of the model
        self.averages: dict[str, nn.Module] = {}
        self._asked = {name: asked_for(type(loss)) for name, loss in self.losses.items()}

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Report training without a loss, names that no module can have, unknown targets."""
        losses, targets = cfg.get("losses") or {}, cfg.get("targets") or {}
        faults = _faults_of_targets(targets, [*losses, *cls.own_targets], cfg.get("preprocess"))
        faults += [Fault(f"losses.{name}", f"losses.{name}: {fault}") for name in losses if (fault := name_fault(name))]
        faults += _faults_of_more_images(losses, context)
        if not losses and cls.needs_losses and "max_iters" in context:
            example = "losses=dict(pixel=dict(type='L1Loss'))"
            faults.append(Fault("losses", f"training needs a loss: {example}"))
        return faults

    def networks(self) -> dict[str, nn.Module]:
        """Checkpoints, optimizers, DDP and EMA follow this."""
        return {"generator": self.generator}

    def loss_weights(self) -> dict[str, float]:
        """Return the factor in each weighted term of `train_step`, if the loss has a `weight`."""
        return {name: cast("float", loss.weight) for name, loss in self.losses.items() if hasattr(loss, "weight")}

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a uint8 (N, H, W, C) batch as (N, C, H, W) in [0, 1] in the network's colours."""
        if isinstance(self.transform, Preparation):
            batch = self.finish(batch)
            if "lq" not in batch or not batch["lq"].is_floating_point():
                raise SrtoolboxError(f"{type(self.transform).__name__} takes batches that its `begin` was given first")
            return batch
        if self.transform is None:
            to_images = batch_to_y if self.colour == "y" else batch_to_float
            return {**batch, **{key: to_images(batch[key]) for key in IMAGE_KEYS}}
        images = self.transform({key: batch_to_float(batch[key]) for key in IMAGE_KEYS})
        if self.colour == "y":
            images = {key: rgb_to_y(value) for key, value in images.items()}
        return {**batch, **images}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch that `preprocess` has begun as `prepare` does; any other as it is."""
        if BEGUN not in batch or not isinstance(self.transform, Preparation):
            return batch
        images = self.transform.finish(batch)
        if self.colour == "y":
            images = {key: rgb_to_y(value) for key, value in images.items()}
        return {**{key: value for key, value in batch.items() if key != BEGUN}, **images}

    def restore(self, batch: dict[str, Any], network: nn.Module) -> Tensor:
        """The training forward: (N, C, scale * h, scale * w)."""
        return network(batch["lq"])

    def with_average(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the batch, with `sr_ema`, the averaged generator's output, if a loss asks."""
        if not any(AVERAGED in asked for asked in self._asked.values()):
            return batch
        if "generator" not in self.averages:
            raise SrtoolboxError(f"a loss asks for {AVERAGED}: hooks=dict(ema=dict(type='EMAHook'))")
        average = self.averages["generator"]
        was_training = average.training
        with torch.no_grad():
            sr = self.restore(batch, average.eval())
        average.train(was_training)
        return {**batch, AVERAGED: sr.float()}

    def image_losses(self, sr: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Every loss term, weighted, on the device; the batch comes from `with_average`."""
        terms = {
            name: loss(sr, batch[self.targets.get(name, "gt")], **{key: batch[key] for key in self._asked[name]})
            for name, loss in self.losses.items()
        }
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.numel() != 1:
                got = f"a tensor {tuple(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"
                need = "a loss returns one number for the whole batch, already weighted"
                loss = type(self.losses[name]).__name__
                raise SrtoolboxError(
                    f"losses.{name}: {loss} returned {got}: {need}, as (pred - target).abs().mean() is"
                )
        return terms

    def step_kind(self, iteration: int) -> object:
        """Return the kind of the step after so many iterations: equal kinds run the same operators.

        A graph is captured for each. A restorer whose `train_step` asks for `self.iteration` says
        by it what follows from the number: a tuple of booleans, say.
        """
        return None

    def train_step(self, batch: dict[str, Any], optims: dict[str, OptimWrapper]) -> dict[str, Tensor]:
        """Update from one batch; return the loss terms and, if clipped, the gradients' norm."""
        batch, optim = self.prepare(batch), optims["generator"]
        with optim.autocast():
            sr = self.restore(batch, self.generator)
            batch = self.with_average(batch)
        terms = self.image_losses(sr.float(), batch)
        norm = optim.update(reduce(add, terms.values()), measure=optim.clip is not None)
        terms = {name: term.detach() for name, term in terms.items()}
        return terms if norm is None else {**terms, GRADIENT_NORM: norm}


def _faults_of_targets(targets: Mapping[str, Any], names: Sequence[str], preprocess: object) -> list[Fault]:
    """Report targets of losses that are not there, and images that no batch has."""
    faults = []
    for name in targets:
        if name not in names:
            hint = did_you_mean(name, names)
            fault = f"targets names loss {name!r}, which is not in losses{'.' * bool(hint)}{hint}"
            faults.append(Fault(f"targets.{name}", fault))
    images_of = getattr(TRANSFORMS.class_of(preprocess), "images_of", None)
    if preprocess and images_of is None:
        return faults  # it may add images
    images = sorted(images_of(preprocess) if images_of else IMAGE_KEYS)
    there = f"{', '.join(map(repr, images[:-1]))} or {images[-1]!r}"
    for name, key in targets.items():
        if key not in images:
            hint = did_you_mean(key, images)
            fault = f"targets.{name} is {there}, the batch has no {key!r}{'.' * bool(hint)}{hint}"
            faults.append(Fault(f"targets.{name}", fault))
    return faults


def asked_for(loss: object) -> tuple[str, ...]:
    """Return the names of MORE_IMAGES that are parameters of a loss's `forward`."""
    return tuple(name for name in _more_parameters(loss) if name in MORE_IMAGES)


def _more_parameters(loss: object) -> dict[str, inspect.Parameter]:
    """Return the parameters of a loss's `forward` behind `self`, `pred` and `target`."""
    forward = getattr(loss, "forward", None)
    more = list(parameters_of(forward).items())[3:] if callable(forward) else []
    return {key: value for key, value in more if value.kind not in (value.VAR_POSITIONAL, value.VAR_KEYWORD)}


def _faults_of_more_images(losses: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
    """Report losses that ask for images no restorer has, or for an average no hook keeps."""
    faults, is_averaged = [], _is_averaged(context)
    for name, cfg in losses.items():
        kind = cfg.get("type") if isinstance(cfg, Mapping) else None
        more = _more_parameters(LOSSES.get(kind)) if isinstance(kind, str) and kind in LOSSES else {}
        needed = [key for key, value in more.items() if value.default is value.empty]
        unknown = [key for key in needed if key not in MORE_IMAGES]
        if unknown:
            there = " and ".join(MORE_IMAGES)
            faults.append(Fault(f"losses.{name}", f"losses.{name}: {kind} asks for {unknown[0]!r}; there are {there}"))
        if AVERAGED in more and not is_averaged and "max_iters" in context:
            advice = "add hooks=dict(ema=dict(type='EMAHook'))"
            fault = f"losses.{name}: {kind} compares with the averaged network's output; {advice}"
            faults.append(Fault(f"losses.{name}", fault))
    return faults


def _is_averaged(context: Mapping[str, Any]) -> bool:
    """True if a run averages its generator: by a hook, or by a schedule-free optimizer."""
    hooks, optim = context.get("hooks", {}), context.get("optim")
    own = optim.get("generator") if isinstance(optim, Mapping) else None
    if isinstance(own, Mapping) and averages_weights(own.get("optimizer")) and hooks is not None:
        return True
    entries = hooks.values() if isinstance(hooks, Mapping) else ()
    averages = [cfg for cfg in entries if isinstance(cfg, Mapping) and HOOKS.is_kind(cfg, "EMAHook")]
    return any(cfg.get("network", "generator") == "generator" for cfg in averages)


def name_fault(name: object) -> str | None:
    """Return the fault of a loss's name: losses are in a ModuleDict, which has names of its own."""
    if not isinstance(name, str) or not name:
        return "a loss's name is a string"
    if "." in name:
        return "a loss's name has no dots"
    if name == GRADIENT_NORM:
        return "the log needs this name"
    if hasattr(nn.ModuleDict(), name):
        return f"a loss cannot be called {name!r}, torch uses that name itself"
    return None
