"""check(config) tries networks, and asks each component for what its kind needs."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
import torch
from torch import nn

from srtoolbox.data.transforms import Transform
from srtoolbox.registry import DATASETS, HOOKS, LOSSES, METRICS, NETWORKS, TRANSFORMS
from tests.check.test_check import GOOD, faults

__all__ = ["faults"]  # a fixture


class WrongShape(nn.Module):
    """Says x3, makes x2."""

    in_channels, colour, size_multiple, receptive_field = 3, "rgb", 1, 1

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, lq):
        return nn.functional.pixel_shuffle(self.conv(lq), 2)


class Mismatched(WrongShape):
    """Its layers do not fit each other."""

    def forward(self, lq):
        return self.conv(self.conv(lq))


class NeedsRealNumbers(WrongShape):
    """Cannot be built on the meta device, and is right all the same."""

    def __init__(self, scale: int) -> None:
        super().__init__(scale)
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]

    def forward(self, lq):
        return nn.functional.interpolate(lq, scale_factor=self.scale)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (WrongShape, r"4: model\.generator: makes \(32, 32\) of \(16, 16\), x3 is \(48, 48\)"),
        (Mismatched, r"4: model\.generator: cannot be built: .*12"),
        (NeedsRealNumbers, None),
    ],
)
def test_networks_are_tried(faults, register, network, message):
    register(NETWORKS, network)
    text = GOOD.replace(
        "type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]", f"type='{network.__name__}', scale=3"
    )
    state = torch.get_rng_state()
    found = faults(text.replace("'conv3'", "'conv'"))
    assert torch.equal(torch.get_rng_state(), state), "trying a network uses up no random numbers"
    assert found == [] if message is None else len(found) == 1 and re.match(message, found[0]), found


class Judge(nn.Module):
    """A discriminator for images of 36 px, which is the size of the crops."""

    kind = "discriminator"
    colour, input_size, side = "y", None, 36

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(self.side, 1)

    def forward(self, image):
        return self.body(image).mean((1, 2, 3)).unsqueeze(1)


class JudgeOfOthers(Judge):
    """Its layers take another size."""

    side = 20


class JudgeOfAll(Judge):
    """Gives one number for all images."""

    def forward(self, image):
        return self.body(image).sum()


class JudgeOf48(Judge):
    """Says itself that it takes another size."""

    input_size = side = 48


class JudgeOfSixteens(Judge):
    """Takes multiples of 16 px."""

    size_multiple = 16


class ColourlessJudge(Judge):
    """Leaves a fact out."""

    colour = None


class Unsaid(nn.Module):
    """Does not say that it is a discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(36, 1)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Judge, None),
        (JudgeOfOthers, "cannot be built: .*20"),
        (JudgeOfAll, r"JudgeOfAll gives \(\) for 2 images; logits \(2, 1\) or"),
        (JudgeOf48, "input_size is 48, but data.train.dataset.gt_size is 36"),
        (JudgeOfSixteens, "takes multiples of 16 px, but data.train.dataset.gt_size is 36"),
        (ColourlessJudge, "ColourlessJudge: colour is 'y' or 'rgb', got None"),
        (
            Unsaid,
            "Unsaid is a generator, a discriminator is expected here; its class has to say kind = 'discriminator'",
        ),
    ],
)
def test_discriminators_are_tried(faults, register, network, message):
    register(NETWORKS, network)
    text = GOOD.replace("type='Restorer'", "type='GANRestorer', gan_loss=dict(type='GANLoss')") + (
        f"model['discriminator'] = dict(type='{network.__name__}')\n"
        "optim['discriminator'] = dict(optimizer=dict(type='Adam'))\n"
    )
    found = faults(text)
    if message is None:
        assert found == []
    else:
        assert len(found) == 1 and re.match(r"34: model\.discriminator: " + message, found[0]), found


class Bare(nn.Module):
    """Upscales, and says nothing of itself."""

    def __init__(self, scale: int, facts: dict | None = None) -> None:
        super().__init__()
        self.factor = scale
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        for name, value in (facts or {}).items():
            setattr(self, name, value)

    def forward(self, lq):
        return nn.functional.interpolate(self.conv(lq), scale_factor=self.factor)


FACTS = {"scale": 3, "in_channels": 3, "colour": "rgb", "size_multiple": 1, "receptive_field": None}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (FACTS, None),
        ({}, r"Bare lacks facts .*: scale \(.*; in_channels \(.*; colour \(.*; size_multiple \(.*; receptive_field \("),
        ({**FACTS, "colour": "bgr"}, r"colour is 'y' or 'rgb', got 'bgr'"),
        ({**FACTS, "colour": "y"}, r"in_channels is 1 for colour 'y', got 3"),
        ({**FACTS, "size_multiple": 0}, r"size_multiple is a whole number above 0, got 0"),
        (
            {key: value for key, value in FACTS.items() if key != "size_multiple"},
            r"facts that evaluation needs: size_mul",
        ),
    ],
)
def test_a_network_says_what_evaluation_needs(faults, register, facts, message):
    register(NETWORKS, Bare)
    old = "type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]"
    found = faults(GOOD.replace(old, f"type='Bare', scale=3, facts={facts}").replace("'conv3'", "'conv'"))
    assert found == [] if message is None else len(found) == 1 and re.search(message, found[0]), found


class NothingHook:
    """Has none of a hook's methods."""


class NothingMetric:
    """Has a call, and names no protocol."""

    def __call__(self, pred, target): ...


class NothingTransform:
    """Has a call only."""

    def __call__(self, sample, rng): ...


class GoodTransform(Transform):
    """Changes nothing."""

    def __call__(self, sample, rng):
        return sample


class NothingLoss:
    """No module."""


class NothingDataset:
    """No dataset."""


@pytest.mark.parametrize(
    ("where", "cls", "old", "message"),
    [
        (HOOKS, NothingHook, "SchedulerHook'", r"NothingHook lacks phase, set_up, .*srtoolbox\.engine\.hooks\.Hook;"),
        (
            METRICS,
            NothingMetric,
            "PSNR', crop_border=scale",
            r"NothingMetric lacks higher_is_better, protocol: .*Metric;",
        ),
        (
            TRANSFORMS,
            NothingTransform,
            "RandomHorizontalFlip'",
            r"lacks margin: derive it from .*transforms\.Transform;",
        ),
        (TRANSFORMS, GoodTransform, "RandomHorizontalFlip'", None),
        (LOSSES, NothingLoss, "L1Loss'", r"a loss is a torch\.nn\.Module, NothingLoss is none"),
        (
            DATASETS,
            NothingDataset,
            "GTOnlyDataset', gt='gt', scale=scale",
            r"NothingDataset lacks __len__, .*SRDataset;",
        ),
    ],
)
def test_what_lacks_its_kinds_methods_is_a_fault(faults, register, where, cls, old, message):
    register(where, cls)
    new = cls.__name__ + ("'" if old.endswith("'") else "', ")
    text = GOOD.replace("'" + old, "'" + new).replace("', )", "')")
    found = [fault for fault in faults(text) if "nothing steps this schedule" not in fault]
    assert found == [] if message is None else len(found) == 1 and re.search(message, found[0]), found


class Remembers(WrongShape):
    """Remembers where it was run; `width` is what makes it large."""

    places: ClassVar[list[str]] = []

    def __init__(self, scale: int, width: int) -> None:
        super().__init__(scale)
        self.large = nn.Parameter(torch.empty(width))

    def forward(self, lq):
        self.places.append(lq.device.type)
        return nn.functional.interpolate(lq, scale_factor=self.scale)


@pytest.mark.parametrize(("width", "place"), [(100, "cpu"), (1 << 24, "meta")])
def test_a_small_network_is_tried_where_no_compiler_is_imported(faults, register, width, place):
    """A first operator on the meta device takes a second, more than a small network in all."""
    register(NETWORKS, Remembers)
    Remembers.places.clear()
    described = f"type='Remembers', scale=3, width={width}"
    text = GOOD.replace("type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]", described)
    assert faults(text.replace("'conv3'", "'conv'")) == []
    assert Remembers.places == [place]


class Endless(WrongShape):
    """Has as many blocks as it is told."""

    def __init__(self, scale: int, blocks: int) -> None:
        super().__init__(scale)
        self.body = nn.Sequential(*[nn.Conv2d(3, 3, 3) for _ in range(blocks)])


def test_a_network_of_blocks_without_end_is_refused_before_it_fills_the_memory(faults, register, monkeypatch):
    register(NETWORKS, Endless)
    monkeypatch.setattr("srtoolbox.check.networks._MOST", 100)
    described = f"type='Endless', scale=3, blocks={10**30}"
    text = GOOD.replace("type='ESPCN', scale=scale, kernels=[3, 3, 3], channels=[8, 4]", described)
    (fault,) = faults(text)
    assert re.search(r"4: model\.generator: cannot be built: it has more than 100 weights and biases", fault)
    nn.Sequential(*[nn.Linear(1, 1) for _ in range(60)])  # elsewhere nothing is counted
