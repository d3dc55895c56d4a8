"""Transforms of one sample."""

import numpy as np
import pytest

from srtoolbox.data.rng import Rng
from srtoolbox.data.transforms.base import Compose, Transform
from srtoolbox.data.transforms.choice import OneOf, RandomApply
from srtoolbox.data.transforms.flip import RandomHorizontalFlip, RandomTranspose, RandomVerticalFlip
from srtoolbox.errors import ConfigError
from srtoolbox.registry import TRANSFORMS

FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip"), dict(type="RandomTranspose")]


def sample() -> dict:
    gt = np.arange(12 * 16 * 3, dtype=np.uint16).reshape(12, 16, 3)
    gt.setflags(write=False)
    return {"gt": gt, "lq": gt[::2, ::2], "key": "a"}


@pytest.mark.parametrize(
    ("transform", "oracle"),
    [
        (RandomHorizontalFlip, np.fliplr),
        (RandomVerticalFlip, np.flipud),
        (RandomTranspose, lambda x: x.transpose(1, 0, 2)),
    ],
)
def test_flip_moves_both_pictures_alike_without_copying(transform: type[Transform], oracle) -> None:
    before = sample()
    after = transform(p=1.0)(dict(before), Rng(0, 0))
    for name in ("gt", "lq"):
        assert np.array_equal(after[name], oracle(before[name]))
        assert np.shares_memory(after[name], before["gt"])
    assert all(transform(p=0.0)(dict(before), Rng(0, d))["gt"] is before["gt"] for d in range(50))


def test_flips_and_transpose_give_all_eight_orientations_equally_often() -> None:
    compose = Compose(FLIPS)
    seen: dict[bytes, int] = {}
    for draw in range(4000):
        square = {"gt": np.arange(9, dtype=np.uint8).reshape(3, 3, 1), "key": ""}
        turned = compose(square, Rng(0, draw))["gt"].tobytes()
        seen[turned] = seen.get(turned, 0) + 1
    assert len(seen) == 8
    assert max(seen.values()) - min(seen.values()) < 150  # of 500, 5 sigma of the difference


def test_probability() -> None:
    flip = RandomHorizontalFlip(p=0.2)
    flipped = sum(flip(sample(), Rng(0, draw))["gt"].strides[1] < 0 for draw in range(5000))
    assert abs(flipped - 1000) < 150


def test_named_map_builds_the_same_as_a_list() -> None:
    named = Compose({str(number): cfg for number, cfg in enumerate(FLIPS)} | {"removed": None})
    assert [type(transform) for transform in named.transforms] == [type(t) for t in Compose(FLIPS).transforms]


def test_one_of_keeps_to_its_weights() -> None:
    one = OneOf([RandomHorizontalFlip(p=1.0), RandomVerticalFlip(p=1.0), RandomTranspose(p=1.0)], weights=[1, 0, 3])
    strides = [one(sample(), Rng(0, draw))["gt"].strides for draw in range(2000)]
    horizontal = sum(s[1] < 0 for s in strides)
    assert sum(s[0] < 0 for s in strides) == 0
    assert abs(horizontal - 500) < 100


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_one_of_refuses_wrong_weights(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="weights"):
        OneOf(FLIPS[:2], weights=weights)


def test_random_apply_applies_all_or_none() -> None:
    both = RandomApply([RandomHorizontalFlip(p=1.0), RandomVerticalFlip(p=1.0)], p=0.5)
    turned = [both(sample(), Rng(0, draw))["gt"].strides for draw in range(200)]
    assert {(s[0] < 0, s[1] < 0) for s in turned} == {(True, True), (False, False)}


class Shrink(Transform):
    """Uses up a margin: a stand-in for a rotation."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, sample: dict, rng: Rng) -> dict:
        return sample

    def margin(self, gt_size: int) -> int:
        return self.pixels + gt_size // 100


def test_margins_add_up_from_the_last_to_the_first() -> None:
    assert Compose([Shrink(5), Shrink(10)]).margin(100) == 11 + 5 + 122 // 100
    assert OneOf([Shrink(5), Shrink(10)]).margin(50) == 10
    assert RandomApply([Shrink(5)]).margin(50) == 5


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_registered_transforms_never_write(name: str) -> None:
    arguments = {"transforms": FLIPS} if name in ("OneOf", "RandomApply") else {}
    transform = TRANSFORMS.build({"type": name, **arguments})
    for draw in range(20):
        after = transform(sample(), Rng(0, draw))  # arrays are read-only: writing would raise
        assert set(after) == {"gt", "lq", "key"}
