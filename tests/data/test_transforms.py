"""Transforms of one sample."""

import numpy as np
import pytest

from srtoolbox.data.loading.draws import Rng
from srtoolbox.data.transforms.base import Compose, OneOf, RandomApply, Transform, map_images
from srtoolbox.data.transforms.batch.base import BatchDegradation
from srtoolbox.data.transforms.batch.pipeline import DegradationPipeline
from srtoolbox.data.transforms.orientation import (
    RandomHorizontalFlip,
    RandomRotation,
    RandomTranspose,
    RandomVerticalFlip,
)
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
def test_flip_moves_both_images_alike_without_copying(transform: type[Transform], oracle) -> None:
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


def is_for_batches(transform: type) -> bool:
    """Return if a transform is tested in tests/data/batch."""
    return issubclass(transform, BatchDegradation | DegradationPipeline)


ARGUMENTS = {
    "OneOf": dict(transforms=FLIPS),
    "RandomApply": dict(transforms=FLIPS),
    **{key: dict(transforms=FLIPS) for key in ("Sequence", "Shuffle", "Repeat")},
    "RandomRotation": dict(degrees=10),
    "ColourJitter": dict(brightness=0.3, contrast=0.3, saturation=0.3, hue=20),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", [name for name in TRANSFORMS if not is_for_batches(TRANSFORMS.get(name))])
def test_registered_transforms_keep_the_kind_of_image_and_never_write(
    photo: np.ndarray, name: str, dtype: type, channels: int
) -> None:
    transform = TRANSFORMS.build({"type": name, **ARGUMENTS.get(name, {})})
    gt = np.ascontiguousarray(photo[50:110, 100:148, :channels]).astype(dtype) * (257 if dtype == np.uint16 else 1)
    gt.setflags(write=False)
    before = gt.copy()
    views = [gt, np.broadcast_to(gt[..., :1], gt.shape), gt[::-1, ::-1], gt[:48].swapaxes(0, 1)]
    for draw in range(20):
        view = views[draw % 4]
        given = {"gt": view, "lq": view[::2, ::2], "key": "a"}
        after = transform(dict(given), Rng(0, draw))  # arrays are read-only: writing would raise
        again = transform(dict(given), Rng(0, draw))
        assert set(after) == {"gt", "lq", "key"}
        for image in ("gt", "lq"):
            assert after[image].dtype == dtype and sorted(after[image].shape) == sorted(given[image].shape)
            assert np.array_equal(after[image], again[image])
    assert np.array_equal(gt, before)


def test_parts_of_two_stages_draw_what_the_whole_draws() -> None:
    """Whichever of a OneOf is chosen, it acts at its own stage only, and as often as its weight says."""
    early = RandomRotation(90)
    one = OneOf([RandomHorizontalFlip(p=1.0), early, RandomTranspose(p=1.0)], weights=[1, 2, 1])
    whole = Compose([RandomApply([one], p=0.5), RandomVerticalFlip()])
    first, second = whole.at_stage(("gt", "either")), whole.at_stage(("pair",))
    counts = {"turned": 0, "mirrored": 0, "transposed": 0}
    for draw in range(2000):
        image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1) * 20
        before = first({"gt": image, "key": ""}, Rng(0, draw))["gt"]
        after = second({"gt": image, "lq": image, "key": ""}, Rng(0, draw))["gt"]
        found = {
            "turned": not np.array_equal(before, image),
            "mirrored": after.strides[1] < 0,
            "transposed": abs(after.strides[1]) > abs(after.strides[0]),
        }
        assert sum(found.values()) <= 1
        for name, value in found.items():
            counts[name] += value
        in_one = whole({"gt": image, "lq": image, "key": ""}, Rng(0, draw))["gt"]
        assert np.array_equal(in_one, second({"gt": before, "lq": before, "key": ""}, Rng(0, draw))["gt"])
    assert abs(counts["turned"] - 500) < 80 and abs(counts["mirrored"] - 250) < 60
    assert abs(counts["transposed"] - 250) < 60
    assert Compose(FLIPS).at_stage(("gt", "either")) is None and Compose([early]).at_stage(("pair",)) is None


def test_a_plugin_that_derives_from_nothing_acts_on_pairs() -> None:
    def plugin(sample: dict, rng: Rng) -> dict:
        return {**sample, "seen": True}

    whole = Compose([plugin, RandomRotation(5)])
    assert "seen" in whole.at_stage(("pair",))(sample(), Rng(0, 0))
    assert "seen" not in whole.at_stage(("gt",))(sample(), Rng(0, 0))


@pytest.mark.parametrize("p", [-0.1, 25])
@pytest.mark.parametrize("kind", ["RandomApply", "RandomHorizontalFlip", "RandomVerticalFlip", "RandomTranspose"])
def test_a_probability_is_one(kind, p):
    cfg = {"type": kind, "p": p, **({"transforms": []} if kind == "RandomApply" else {})}
    with pytest.raises(ConfigError, match=f"{kind}: p is a probability"):
        TRANSFORMS.build(cfg)


def test_the_earlier_name_of_map_images_tells_the_new_one():
    with pytest.warns(FutureWarning, match=r"map_pictures is called map_images now"):
        from srtoolbox.data.transforms import map_pictures
    assert map_pictures is map_images
