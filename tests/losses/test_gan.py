"""Adversarial losses and their gradients against the papers' equations, written with sigmoids and logarithms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srtoolbox import dist
from srtoolbox.errors import ConfigError, SrtoolboxError
from srtoolbox.registry import LOSSES
from tests import processes
from tests.engine.ranks import fork

SHAPES = [(6, 1), (3, 1, 4, 5)]  # a judgement per image, a map of them
WEIGHT = 5e-3


def logits(shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Of real and fake images, float64, with gradient."""
    generator = torch.Generator().manual_seed(1)
    values = (2 * torch.randn(shape, generator=generator, dtype=torch.float64) + centre for centre in (1, -1))
    return tuple(value.requires_grad_() for value in values)


def probability(value):
    return 1 / (1 + torch.exp(-value))


def negative_log(value):
    return -torch.log(value).mean()


def labelled(value, label):
    """Cross-entropy of probabilities and a label."""
    return -(label * torch.log(value) + (1 - label) * torch.log(1 - value)).mean()


def vanilla(real, fake, label):
    d_real, d_fake = probability(real), probability(fake)
    return negative_log(d_fake), labelled(d_real, label) + negative_log(1 - d_fake)


def lsgan(real, fake, label):
    return 0.5 * ((fake - 1) ** 2).mean(), 0.5 * ((real - label) ** 2).mean() + 0.5 * (fake**2).mean()


def hinge(real, fake, label):
    zero = torch.zeros_like(real)
    return -fake.mean(), -torch.minimum(zero, real - 1).mean() - torch.minimum(zero, -fake - 1).mean()


def softplus(real, fake, label):
    return torch.log(1 + torch.exp(-fake)).mean(), (
        torch.log(1 + torch.exp(-real)).mean() + torch.log(1 + torch.exp(fake)).mean()
    )


def relativistic(real, fake, label):
    """ESRGAN, equations 1 and 2 of section 3.2."""
    d_real, d_fake = probability(real - fake.mean()), probability(fake - real.mean())
    generator_s = negative_log(1 - d_real) + negative_log(d_fake)
    return generator_s, labelled(d_real, label) + negative_log(1 - d_fake)


CASES = [
    ({"type": "GANLoss"}, vanilla),
    ({"type": "GANLoss", "label_smoothing": 0.1}, vanilla),
    ({"type": "GANLoss", "kind": "lsgan"}, lsgan),
    ({"type": "GANLoss", "kind": "lsgan", "label_smoothing": 0.2}, lsgan),
    ({"type": "GANLoss", "kind": "hinge"}, hinge),
    ({"type": "GANLoss", "kind": "wgan_softplus"}, softplus),
    ({"type": "RelativisticGANLoss"}, relativistic),
    ({"type": "RelativisticGANLoss", "label_smoothing": 0.1}, relativistic),
]


@pytest.mark.parametrize(("cfg", "equations"), CASES, ids=lambda case: str(case) if isinstance(case, dict) else "")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_the_papers(cfg, equations, shape):
    loss = LOSSES.build({**cfg, "weight": WEIGHT})
    real, fake = logits(shape)
    for_generator, for_discriminator = equations(real, fake, 1 - cfg.get("label_smoothing", 0.0))
    got = loss.generator(real.detach(), fake)
    torch.testing.assert_close(got, WEIGHT * for_generator, rtol=1e-12, atol=0)
    (expected,) = torch.autograd.grad(WEIGHT * for_generator, fake, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(got, fake)[0], expected, rtol=1e-10, atol=1e-16)
    got = loss.discriminator(real, fake)
    torch.testing.assert_close(got, for_discriminator, rtol=1e-12, atol=0)
    expected = torch.autograd.grad(for_discriminator, (real, fake))
    torch.testing.assert_close(torch.autograd.grad(got, (real, fake)), expected, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("name", ["GANLoss", "RelativisticGANLoss"])
def test_huge_logits_and_half_precision_stay_finite_in_float32(name):
    loss = LOSSES.build({"type": name})
    real = torch.tensor([[-300.0], [300.0]], dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        values = [loss.generator(real.detach(), -real), loss.discriminator(real, -real)]
    assert all(value.dtype == torch.float32 and torch.isfinite(value) for value in values)


def test_what_the_generator_needs_of_real_images():
    real, fake = logits((4, 1))
    plain, relative = LOSSES.build({"type": "GANLoss"}), LOSSES.build({"type": "RelativisticGANLoss"})
    assert (plain.relativistic, relative.relativistic) == (False, True)
    assert torch.equal(plain.generator(None, fake), plain.generator(real, fake))
    with pytest.raises(SrtoolboxError, match="needs the logits of real"):
        relative.generator(None, fake)
    relative.generator(real, fake).backward()
    assert real.grad is None


def test_r1_of_a_linear_judge_is_its_squared_norm():
    """C(x) = <w, x> has the gradient w everywhere; the penalty's own gradient by w is gamma * interval * w."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 6, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(3, 6, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    loss = LOSSES.build({"type": "GANLoss", "r1_weight": 10.0, "r1_interval": 16})
    penalty = loss.gradient_penalty(images, (images * weights).sum((1, 2, 3)).unsqueeze(1))
    assert penalty.item() == pytest.approx(16 * 10 / 2 * weights.square().sum().item(), rel=1e-12)
    penalty.backward()
    torch.testing.assert_close(weights.grad, 16 * 10 * weights.detach())


def test_r1_works_under_no_global_gradient_of_the_images():
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    judge = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 1, 3))
    loss = LOSSES.build({"type": "RelativisticGANLoss", "r1_weight": 1.0})
    loss.gradient_penalty(images, judge(images)).backward()
    assert all(parameter.grad is not None for name, parameter in judge.named_parameters() if name != "2.bias")


def test_r1_is_float32_though_autocast_is_on_around_it():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    judge = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    loss, logits = LOSSES.build({"type": "GANLoss", "r1_weight": 1.0}), judge(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, retain_graph=True)
    expected = gradient.square().sum((1, 2, 3)).mean() / 2
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss.gradient_penalty(images, logits), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("cfg", "told"),
    [
        ({"type": "GANLoss", "kind": "wgan"}, "kind='wgan' is not possible"),
        ({"type": "GANLoss", "kind": "hinge", "label_smoothing": 0.1}, "does nothing for kind 'hinge'"),
        ({"type": "RelativisticGANLoss", "label_smoothing": 1.0}, r"in \[0, 1\)"),
        ({"type": "GANLoss", "r1_weight": -1.0}, "r1_weight=-1.0"),
        ({"type": "GANLoss", "r1_interval": 0}, "r1_interval=0"),
    ],
)
def test_impossible_values_are_told_at_check_and_at_building(cfg, told):
    with pytest.raises(ConfigError, match=told):
        LOSSES.build(cfg)
    assert LOSSES.get(cfg["type"]).check(cfg, {})
    assert LOSSES.get("GANLoss").check({"type": "GANLoss", "kind": "lsgan", "label_smoothing": 0.1}, {}) == []


def test_it_is_no_loss_over_images():
    with pytest.raises(SrtoolboxError, match="gan_loss"):
        LOSSES.build({"type": "GANLoss"})(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))


def judged(path: Path) -> None:
    """Write the loss and the gradients, averaged over the ranks, of this rank's share of a batch."""
    dist.init(torch.device("cpu"))
    torch.manual_seed(0)
    layers = [torch.nn.Flatten(), torch.nn.Linear(12, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)]
    judge = torch.nn.Sequential(*layers).double()
    real, fake = torch.randn(4, 3, 2, 2).double() + 1, torch.randn(4, 3, 2, 2).double()
    share = slice(dist.rank(), None, dist.world_size())
    loss = LOSSES.build({"type": "RelativisticGANLoss", "weight": 0.5, "label_smoothing": 0.1})
    real, fake = real[share], fake[share].requires_grad_()
    value = loss.discriminator(judge(real), judge(fake.detach()))
    value.backward()
    terms = [value.detach()] + [p.grad for p in judge.parameters()]
    of_generator = loss.generator(judge(real).detach(), judge(fake))
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)  # a parameter of a generator
    moved = loss.generator(judge(real).detach(), judge(fake.detach() * scale))
    moved.backward()
    terms += [of_generator.detach(), scale.grad]
    terms = [dist.mean_over_ranks(term) for term in terms]  # what DDP makes of gradients
    # the whole of a discriminator's step as DDP does it, with the penalty's second derivatives
    for parameter in judge.parameters():
        parameter.grad = None
    wrapped = torch.nn.parallel.DistributedDataParallel(judge) if dist.world_size() > 1 else judge
    loss = LOSSES.build({"type": "RelativisticGANLoss", "r1_weight": 10.0, "r1_interval": 4})
    real = real.requires_grad_()
    of_real, of_fake = wrapped(real), wrapped(fake.detach())
    (loss.discriminator(of_real, of_fake) + loss.gradient_penalty(real, of_real)).backward()
    terms += [parameter.grad for parameter in judge.parameters()]
    if dist.is_main():
        torch.save(terms, path)
    dist.barrier()


@pytest.mark.timeout(120)
def test_means_go_over_all_ranks(tmp_path: Path) -> None:
    """Two processes with half the batch each give the loss and the gradients of one with the whole batch."""
    assert processes.run(lambda: judged(tmp_path / "one")).returncode == 0
    ranks = fork(2, tmp_path, lambda: judged(tmp_path / "two"))
    try:
        assert ranks.wait(100) == {0: 0, 1: 0}, ranks.errors(0)
    finally:
        ranks.end()
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-12, atol=1e-14)
