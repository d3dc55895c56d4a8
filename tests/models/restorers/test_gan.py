"""The adversarial step against a loop written by hand, and which network learns in which iteration."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srtoolbox.check import check
from srtoolbox.config import Config
from srtoolbox.errors import ConfigError
from srtoolbox.models.restorers.base import Restorer
from srtoolbox.models.restorers.gan import GANRestorer
from srtoolbox.optim.wrapper import build_optim
from srtoolbox.registry import TRANSFORMS, Registry

GENERATOR = {"type": "ESPCN", "scale": 2, "colour": "rgb", "kernels": [3, 3], "channels": [4]}
DISCRIMINATOR = {"type": "VGGDiscriminator", "input_size": 16, "channels": [4, 4, 8, 8], "fc": [8], "norm": None}
LOSSES = {"pixel": {"type": "L1Loss", "weight": 0.5}}
VANILLA = {"type": "GANLoss", "weight": 0.1}
RELATIVISTIC = {"type": "RelativisticGANLoss", "weight": 0.1}
# Adam would blow up what is zero but for rounding: the gradient of a relativistic discriminator's last bias
SGD = {"optimizer": {"type": "SGD", "lr": 0.1}}

CONFIG = """
_base_ = ['./tiny.py']
model = dict(
    type='GANRestorer', generator=dict(colour='rgb'),
    discriminator=dict(type='VGGDiscriminator', input_size=24, channels=[4, 4], fc=[8]),
    gan_loss=dict(type='GANLoss', weight=1e-3),
)
optim = dict(discriminator=dict(optimizer=dict(type='Adam')))
"""


def restorer(gan_loss: dict[str, object] = VANILLA, **more: object) -> GANRestorer:
    torch.manual_seed(0)
    return GANRestorer(GENERATOR, DISCRIMINATOR, gan_loss, **{"losses": LOSSES, **more})


def batches(count: int) -> list[dict[str, Tensor]]:
    random = torch.Generator().manual_seed(1)
    sizes = {"lq": 8, "gt": 16}
    return [
        {key: torch.randint(0, 256, (3, n, n, 3), dtype=torch.uint8, generator=random) for key, n in sizes.items()}
        for _ in range(count)
    ]


def optims(model: GANRestorer, **more: object) -> dict[str, object]:
    return {name: build_optim(name, network, {**SGD, **more}) for name, network in model.networks().items()}


def trained(model: GANRestorer, count: int, **more: object) -> list[dict[str, Tensor]]:
    wrappers, terms = optims(model, **more), []
    for model.iteration, batch in enumerate(batches(count)):
        terms.append(model.train_step(batch, wrappers))
    return terms


def bce(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, label))


def by_hand(model: GANRestorer, count: int, *, relativistic: bool) -> list[dict[str, float]]:
    """The same training as papers write it, with every gradient asked for by name."""
    network, judge = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    sgds = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (network, judge)]
    terms = []

    def apart(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return (real - fake.mean(), fake - real.mean()) if relativistic else (real, fake)

    def step(sgd: torch.optim.Optimizer, part: torch.nn.Module, loss: Tensor) -> None:
        for parameter, gradient in zip(part.parameters(), torch.autograd.grad(loss, [*part.parameters()]), strict=True):
            parameter.grad = gradient
        sgd.step()

    for batch in batches(count):
        lq, gt = (batch[key].permute(0, 3, 1, 2).float() / 255 for key in ("lq", "gt"))
        sr = network(lq)
        real, fake = apart(judge(gt), judge(sr))
        pixel = 0.5 * (sr - gt).abs().mean()
        gan = 0.1 * (bce(fake, 1.0) + (bce(real, 0.0) if relativistic else 0.0))
        step(sgds[0], network, pixel + gan)
        logits = judge(gt), judge(sr.detach())
        real, fake = apart(*logits)
        loss = bce(real, 1.0) + bce(fake, 0.0)
        step(sgds[1], judge, loss)
        found = {"pixel": pixel, "gan": gan, "discriminator": loss}
        terms.append({name: float(term.detach()) for name, term in found.items()})
        terms[-1].update(d_real=float(logits[0].detach().mean()), d_fake=float(logits[1].detach().mean()))
    model.by_hand = {"generator": network.state_dict(), "discriminator": judge.state_dict()}
    return terms


@pytest.mark.parametrize("gan_loss", [VANILLA, RELATIVISTIC], ids=["vanilla", "relativistic"])
def test_a_step_is_what_the_papers_write(gan_loss: dict[str, object]) -> None:
    model = restorer(gan_loss)
    wanted = by_hand(model, 4, relativistic=gan_loss is RELATIVISTIC)
    for found, expected in zip(trained(model, 4), wanted, strict=True):
        assert {name: float(found[name]) for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for name, state in model.by_hand.items():
        for key, value in getattr(model, name).state_dict().items():
            torch.testing.assert_close(value, state[key], rtol=1e-4, atol=2e-5)


def changes(model: GANRestorer, count: int) -> list[tuple[bool, bool]]:
    """Whether (generator, discriminator) changed in each iteration."""
    wrappers, found = optims(model), []
    for model.iteration, batch in enumerate(batches(count)):
        before = [copy.deepcopy(network.state_dict()) for network in model.networks().values()]
        model.train_step(batch, wrappers)
        after = [network.state_dict() for network in model.networks().values()]
        pairs = zip(before, after, strict=True)
        found.append(tuple(any(not torch.equal(old[key], new[key]) for key in old) for old, new in pairs))
    return found


def test_the_discriminator_may_start_alone_and_take_more_steps() -> None:
    learned = [generator for generator, _ in changes(restorer(disc_init_iters=2, disc_steps=3), 9)]
    assert learned == [False, False, False, False, True, False, False, True, False]
    assert changes(restorer(), 2) == [(True, True)] * 2


def test_an_iteration_without_the_generator_reports_the_discriminator_only() -> None:
    model = restorer(disc_init_iters=1)
    (terms,) = trained(model, 1)
    assert terms.keys() == {"discriminator", "d_real", "d_fake", "grad_norm_discriminator"}
    assert all(p.grad is None for p in model.generator.parameters())


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
@pytest.mark.parametrize("clip", [None, 1e-3])
def test_gradient_norms_under_autocast_are_those_without(amp: str, clip: float | None) -> None:
    norms = []
    for precision in (None, amp):
        model = restorer()
        parts = model.networks().items()
        wrappers = {name: build_optim(name, part, {**SGD, "clip": clip}, amp=precision) for name, part in parts}
        terms = model.train_step(batches(1)[0], wrappers)
        assert all(term.dtype == torch.float32 for term in terms.values())
        norms.append([float(terms[f"grad_norm_{name}"]) for name in wrappers])
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


def test_the_generators_step_leaves_no_gradient_in_the_discriminator() -> None:
    model = restorer()
    wrappers = optims(model)
    batch = model.prepare(batches(1)[0])
    model._generator_step(batch, wrappers["generator"])
    assert all(p.grad is None and p.requires_grad for p in model.discriminator.parameters())


@pytest.mark.parametrize("gan_loss", [{**VANILLA, "r1_weight": 1.0}, RELATIVISTIC], ids=["r1", "relativistic"])
def test_what_the_user_froze_stays_frozen(gan_loss: dict[str, object]) -> None:
    model = restorer(gan_loss)
    for network in model.networks().values():
        next(iter(network.children())).requires_grad_(False)
    flags = {name: part.requires_grad for name, part in model.named_parameters()}
    before = {name: part.detach().clone() for name, part in model.named_parameters()}
    assert set(flags.values()) == {True, False}
    wrappers = optims(model)
    for model.iteration, batch in enumerate(batches(2)):
        model.train_step(batch, wrappers)
        assert {name: part.requires_grad for name, part in model.named_parameters()} == flags
    for name, part in model.named_parameters():
        assert (part.grad is not None) == flags[name]
        if not flags[name]:
            assert torch.equal(part, before[name])
    last = list(flags)[-2]  # a discriminator's last weight
    assert flags[last] and not torch.equal(dict(model.named_parameters())[last], before[last])


def test_a_generators_step_that_fails_leaves_the_discriminator_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    model = restorer()
    wrappers = optims(model)
    monkeypatch.setattr(wrappers["generator"], "update", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.train_step(batches(1)[0], wrappers)
    assert all(part.requires_grad for part in model.discriminator.parameters())


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_gradient_norms_are_those_before_clipping(clip: float | None) -> None:
    model = restorer()
    wrappers = optims(model, clip=clip)
    terms = model.train_step(batches(1)[0], wrappers)
    norms = {}
    for name, network in model.networks().items():
        norms[name] = float(torch.stack([p.grad.norm() for p in network.parameters()]).norm())
    for name, norm in norms.items():
        logged = float(terms[f"grad_norm_{name}"])
        assert logged > 1e-3 if clip else logged == pytest.approx(norm, rel=1e-5)
        assert clip is None or norm == pytest.approx(1e-3, rel=1e-2)


def test_r1_acts_every_so_many_iterations() -> None:
    terms = trained(restorer({**VANILLA, "r1_weight": 10.0, "r1_interval": 3}), 5)
    assert ["r1" in term for term in terms] == [True, False, False, True, False]
    assert float(terms[0]["r1"]) > 0


def test_the_log_learns_the_weights() -> None:
    assert restorer().loss_weights() == {"pixel": 0.5, "gan": 0.1}


def test_the_adversarial_loss_alone_is_enough() -> None:
    (terms,) = trained(restorer(losses=None), 1)
    assert float(terms["gan"]) > 0
    assert GANRestorer.check({"losses": {}}, {"max_iters": 1}) == []


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ({"disc_steps": 0}, "disc_steps=0 is not possible"),
        ({"disc_init_iters": -1}, "disc_init_iters=-1 is not possible"),
        ({"losses": {"gan": {"type": "L1Loss"}}}, "losses.gan: the log needs this name"),
        ({"losses": {"grad_norm_generator": {"type": "L1Loss"}}}, "grad_norm_generator: the log needs this name"),
        ({"losses": {"pixel": {}}, "targets": {"pixle": "gt"}}, "targets names loss 'pixle'"),
    ],
)
def test_the_check_names_what_cannot_be(cfg: dict[str, object], words: str) -> None:
    (fault,) = GANRestorer.check(cfg, {"max_iters": 1})
    assert words in fault


def test_a_discriminator_of_other_colours_is_refused() -> None:
    with pytest.raises(ConfigError, match="sees 'y' images"):
        GANRestorer(GENERATOR, {**DISCRIMINATOR, "colour": "y"}, VANILLA, LOSSES)


def test_losses_in_their_places_have_no_fault(tiny_config: Path) -> None:
    config = tiny_config.with_name("gan.py")
    config.write_text(CONFIG)
    features = "{'type': 'PerceptualLoss', 'weights': 'random', 'layers': {'conv1_1': 1.0}}"
    check(Config.fromfile(config, [f"model.losses.features={features}"]))
    twin = {"pixel": {"type": "GANLoss", "weight": 1e-3}}  # equal to the one at gan_loss, which is not at fault
    with pytest.raises(ConfigError) as caught:
        check(Config.fromfile(config, [f"model.losses={twin}"]))
    assert [fault.split(": ")[1] for fault in caught.value.faults] == ["model.losses.pixel"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.discriminator.colour=y"], "model.discriminator: it sees 'y' images, but model.generator makes"),
        (["model.discriminator.input_size=32"], "input_size is 32"),
        (["model.discriminator={'type': 'ESPCN', 'scale': 3, '_delete_': True}"], "a discriminator is expected here"),
        (["model.generator={'type': 'PatchDiscriminator', '_delete_': True}"], "a generator is expected here"),
        (["optim.discriminator=None"], "optim.discriminator"),
        (["model.gan_loss=None"], "gan_loss"),
        (
            ["model.gan_loss={'type': 'L1Loss', '_delete_': True}"],
            "command line: model.gan_loss: L1Loss compares images; what judges a discriminator's logits is wanted",
        ),
        (
            ["model.losses.adversarial={'type': 'GANLoss'}"],
            "command line: model.losses.adversarial: GANLoss judges a discriminator's logits, not images: give it",
        ),
        (
            [
                "model.generator.colour=y",
                "model.discriminator.colour=y",
                "model.losses.features={'type': 'PerceptualLoss', 'weights': 'random', 'layers': {'conv1_1': 1.0}}",
            ],
            "command line: model.losses.features: PerceptualLoss takes 'rgb' images, but model.generator makes 'y'",
        ),
        (["model.gan_loss.r1_weight=10", "runtime.compile=True"], "r1_weight needs second derivatives"),
    ],
)
def test_a_config_is_refused_before_anything_runs(tiny_config: Path, overrides: list[str], words: str) -> None:
    config = tiny_config.with_name("gan.py")
    config.write_text(CONFIG)
    check(Config.fromfile(config))
    with pytest.raises(ConfigError) as caught:
        check(Config.fromfile(config, overrides))
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


class Marking:
    """A preprocess that adds images to take for real."""

    def __init__(self) -> None:
        pass

    def __call__(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**images, "other": 1 - images["gt"]}


@pytest.mark.parametrize("gan_loss", [VANILLA, RELATIVISTIC], ids=["plain", "relativistic"])
def test_the_discriminator_takes_its_target_for_real(
    gan_loss: dict[str, object], register: Callable[[Registry, Any], Any]
) -> None:
    register(TRANSFORMS, Marking)
    model = restorer(gan_loss, preprocess={"type": "Marking"}, targets={"gan": "other"})
    judged: list[Tensor] = []
    model.discriminator.register_forward_pre_hook(lambda module, inputs: judged.append(inputs[0].detach().clone()))
    (batch,) = batches(1)
    model.train_step(batch, optims(model))
    gt = batch["gt"].permute(0, 3, 1, 2) / 255
    places = [0, 2] if gan_loss is RELATIVISTIC else [1]  # the generator's real ones, and the discriminator's
    assert len(judged) == (4 if gan_loss is RELATIVISTIC else 3)
    for number, images in enumerate(judged):
        assert torch.allclose(images, 1 - gt) == (number in places)
    assert GANRestorer.check({"targets": {"gan": "gt"}}, {}) == []
    assert "not in losses" in Restorer.check({"targets": {"gan": "gt"}}, {})[0]
