"""Adversarial training. SRGAN, ESRGAN and their kin are configurations of this one restorer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from srtoolbox.errors import ConfigError, Fault
from srtoolbox.interfaces import unwrap
from srtoolbox.models.restorers.base import Restorer
from srtoolbox.optim.wrapper import OptimWrapper
from srtoolbox.registry import LOSSES, MODELS, NETWORKS

OWN_TERMS = ("gan", "discriminator", "r1", "d_real", "d_fake", "grad_norm_generator", "grad_norm_discriminator")


@MODELS.register
class GANRestorer(Restorer):
    """Trains `generator` by `losses` and against a `discriminator` of real images and its own.

    As in SRGAN (Ledig et al. 2017, arXiv:1609.04802) and, with a RelativisticGANLoss, ESRGAN (Wang
    et al. 2018, arXiv:1809.00219). Every iteration updates the generator, then the discriminator,
    from one batch. Usually `load_from` starts the generator from one trained without.

    The log has, beside the terms of `losses`: `gan` (the generator's adversarial term, weighted),
    `discriminator` (its loss), `d_real` and `d_fake` (mean logits: far apart, the discriminator
    wins; equal, it is lost), `r1`, `grad_norm_generator`, `grad_norm_discriminator`.

    Args:
        generator, losses, preprocess, targets: as in Restorer; `losses` may be empty, and
            `targets` may name as `gan` the images that the discriminator takes for real.
        discriminator: config of a network of kind 'discriminator'.
        gan_loss: config of a GANLoss or RelativisticGANLoss.
        disc_steps: the generator is updated only every so many iterations.
        disc_init_iters: the discriminator alone is trained in the first so many iterations.
    """

    needs_losses = False  # the adversarial loss alone is enough
    own_targets = ("gan",)

    def __init__(
        self,
        generator: dict[str, Any],
        discriminator: dict[str, Any],
        gan_loss: dict[str, Any],
        losses: dict[str, dict[str, Any]] | None = None,
        preprocess: dict[str, Any] | None = None,
        targets: dict[str, str] | None = None,
        *,
        disc_steps: int = 1,
        disc_init_iters: int = 0,
    ) -> None:
        super().__init__(generator, losses, preprocess, targets)
        self.discriminator = NETWORKS.build(discriminator)
        self.gan_loss = LOSSES.build(gan_loss)
        if self.discriminator.colour != self.colour:
            sees = f"the discriminator sees {self.discriminator.colour!r} images"
            raise ConfigError(f"{sees}, the generator makes {self.colour!r}")
        self.disc_steps, self.disc_init_iters = disc_steps, disc_init_iters

    @classmethod
    def check(cls, cfg: Mapping[str, Any], context: Mapping[str, Any]) -> list[Fault]:
        """Faults of the wiring, and counts that are not possible."""
        faults = super().check(cfg, context)
        faults += [
            Fault(f"losses.{name}", f"losses.{name}: the log needs this name")
            for name in cfg.get("losses") or {}
            if name in OWN_TERMS
        ]
        for name, least in (("disc_steps", 1), ("disc_init_iters", 0)):
            value = cfg.get(name, least)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                need = f"it is a whole number from {least} up"
                faults.append(Fault(name, f"{name}={value!r} is not possible; {need}"))
        if (cfg.get("gan_loss") or {}).get("r1_weight") and (context.get("runtime") or {}).get("compile") is True:
            fault = "needs second derivatives, which runtime.compile=True cannot make"
            faults.append(Fault("gan_loss.r1_weight", f"gan_loss.r1_weight {fault}"))
        return faults

    def networks(self) -> dict[str, nn.Module]:
        """Both are saved, optimised and wrapped alike."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def loss_weights(self) -> dict[str, float]:
        """The factors of the terms of `losses` and of `gan`."""
        return {**super().loss_weights(), "gan": self.gan_loss.weight}

    def step_kind(self, iteration: int) -> tuple[bool, bool]:
        """Return if the generator learns, and if the discriminator is penalised by R1."""
        past = iteration - self.disc_init_iters
        learns = past >= 0 and (past + 1) % self.disc_steps == 0
        return learns, self.gan_loss.r1_weight > 0 and iteration % self.gan_loss.r1_interval == 0

    def train_step(self, batch: dict[str, Any], optims: dict[str, OptimWrapper]) -> dict[str, Tensor]:
        """One update of each network from one batch: weighted loss terms and figures of health."""
        batch, optim = self.prepare(batch), optims["generator"]
        generator_learns, _ = self.step_kind(self.iteration)
        if generator_learns:
            sr, terms = self._generator_step(batch, optim)
        else:
            with torch.no_grad(), optim.autocast():
                sr, terms = self.restore(batch, self.generator).float(), {}
        return {**terms, **self._discriminator_step(self._real(batch), sr, optims["discriminator"])}

    def _real(self, batch: dict[str, Any]) -> Tensor:
        """Return what the discriminator is to take for real."""
        return batch[self.targets.get("gan", "gt")]

    def _generator_step(self, batch: dict[str, Any], optim: OptimWrapper) -> tuple[Tensor, dict[str, Tensor]]:
        judge = unwrap(self.discriminator)
        with _without_gradients(judge):  # there are none to reduce over ranks
            with optim.autocast():
                sr = self.restore(batch, self.generator).float()
                with torch.no_grad():
                    real = judge(self._real(batch)) if self.gan_loss.relativistic else None
                fake = judge(sr)
                batch = self.with_average(batch)
            terms = self.image_losses(sr, batch)
            terms["gan"] = self.gan_loss.generator(real, fake)
            norm = optim.update(reduce(add, terms.values()), measure=True)
        terms = {name: term.detach() for name, term in terms.items()}
        return sr.detach(), terms if norm is None else {**terms, "grad_norm_generator": norm}

    def _discriminator_step(self, gt: Tensor, sr: Tensor, optim: OptimWrapper) -> dict[str, Tensor]:
        _, penalised = self.step_kind(self.iteration)
        gt = gt.detach().requires_grad_(penalised)
        with optim.autocast():
            real, fake = self.discriminator(gt), self.discriminator(sr)
        terms = {"discriminator": self.gan_loss.discriminator(real, fake)}
        if penalised:
            terms["r1"] = self.gan_loss.gradient_penalty(gt, real)
        norm = optim.update(reduce(add, terms.values()), measure=True)
        terms = {**terms, "d_real": real.float().mean(), "d_fake": fake.float().mean()}
        terms = {name: term.detach() for name, term in terms.items()}
        return terms if norm is None else {**terms, "grad_norm_discriminator": norm}


@contextlib.contextmanager
def _without_gradients(network: nn.Module) -> Iterator[None]:
    """Let no parameter ask for a gradient inside; afterwards those do that did before."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
