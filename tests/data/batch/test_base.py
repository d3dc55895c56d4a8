"""Plans of batches: the parameters of a batch are those of its samples, whatever the groups and the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srtoolbox.data.loading.draws import Rng, Rngs
from srtoolbox.data.transforms import Compose, Transform
from srtoolbox.data.transforms.base import OneOf, RandomApply
from srtoolbox.data.transforms.batch.base import BatchDegradation, Images, Parameters, Plan, stack
from srtoolbox.data.transforms.groups import Repeat, Sequence, Shuffle
from srtoolbox.data.transforms.orientation import RandomHorizontalFlip
from srtoolbox.errors import ConfigError, DataError

SEED = 11


class Shift(BatchDegradation):
    """Adds a random number of levels, up to `most`; cuts a row off where `cut`."""

    def __init__(self, most: int, *, cut: bool = False, on_host: bool = False) -> None:
        self.most, self.cut, self.on_host = most, cut, on_host  # type: ignore[misc]

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return {"levels": rngs.integers(np.full(len(rngs), self.most)), "first": rngs.shared.random()}

    def sizes_after(self, sizes: np.ndarray, parameters: Parameters) -> np.ndarray:
        return sizes - [int(self.cut), 0]

    def apply(self, images: Images, parameters: Parameters) -> Images:
        rows = slice(int(self.cut), None)
        return images.map(lambda image, n: (image[:, rows] + float(parameters["levels"][n]) / 255).clamp(0, 1))


def groups() -> list[Transform]:
    steps = [Shift(7), Shift(3, cut=True), Shift(50)]
    return [
        Compose(steps),
        Sequence(steps),
        OneOf(steps, weights=[1, 2, 3]),
        RandomApply(steps, p=0.4),
        Shuffle(steps),
        Repeat([*steps, OneOf(steps)], order=3),
        Repeat([Shuffle([RandomApply([Shift(9)]), OneOf([Shift(5), Sequence([Shift(8, cut=True)])])]), Shift(2)]),
    ]


def planned(group: Transform, draws: np.ndarray, leaders: np.ndarray | None = None) -> tuple[Plan, Images]:
    sizes = np.array([(20 + draw % 3, 24) for draw in draws])
    images = stack([image_of(draw) for draw in draws])
    plan = Plan(sizes, sizes)
    group.add_to(plan, Rngs(SEED, draws, leaders), np.arange(len(draws)))
    return plan, plan.run(images)


def image_of(draw: int) -> torch.Tensor:
    return torch.full((3, 20 + draw % 3, 24), 0.25)


@pytest.mark.parametrize("group", groups(), ids=lambda group: type(group).__name__)
def test_a_batch_holds_what_its_samples_are_alone(group: Transform) -> None:
    draws = np.arange(5, 25)
    plan, images = planned(group, draws)
    assert (plan.sizes == images.sizes).all()
    results = []
    for number, (draw, image) in enumerate(zip(draws, images.each(), strict=True)):
        gray = np.full((20 + draw % 3, 24, 3), 64, np.uint8)
        sample = group({"lq": gray, "key": "x"}, Rng(SEED, int(draw)))
        alone = planned(group, draws[number : number + 1])[1].pixels[0]
        assert torch.equal(alone, image)
        assert sample["lq"].shape[:2] == image.shape[1:]
        assert abs(sample["lq"][0, 0, 0] - float(image[0, 0, 0]) * 255) <= 1.001
        results.append(float(image[0, 0, 0]))
    assert len(set(results)) > 3


def test_what_is_shared_over_a_batch_comes_from_its_first_draw() -> None:
    draws, leaders = np.arange(12), np.arange(12) // 4 * 4
    plan, _ = planned(OneOf([Shift(100), Shift(200), Shift(300), Shift(400)]), draws, leaders)
    chosen = {row: id(action.step) for action in plan.actions for row in action.rows.tolist()}
    assert [len({chosen[row] for row in range(first, first + 4)}) for first in (0, 4, 8)] == [1, 1, 1]
    assert len(set(chosen.values())) > 1
    first = np.concatenate([action.parameters["first"] for action in planned(Shift(9), draws, leaders)[0].actions])
    assert (first == first[leaders]).all() and len(set(first)) == 3
    levels = planned(Shift(1000), draws, leaders)[0].actions[0].parameters["levels"]
    assert len(set(levels.tolist())) == 12


def test_a_shuffle_draws_all_orders_equally_often() -> None:
    steps = [Shift(2), Shift(2), Shift(2)]
    plan, _ = planned(Shuffle(steps), np.arange(600))
    orders: dict[int, list[int]] = {row: [] for row in range(600)}
    for action in plan.actions:
        for row in action.rows.tolist():
            orders[row].append([id(step) for step in steps].index(id(action.step)))
    counts = np.unique(np.array(list(orders.values())), axis=0, return_counts=True)[1]
    assert len(counts) == 6 and counts.min() > 70


def test_a_shuffle_keeps_the_order_of_some() -> None:
    steps = {name: Shift(level) for name, level in {"a": 2, "first": 3, "b": 4, "second": 5}.items()}
    shuffle = Shuffle(steps, ordered=["first", "second"])
    plan, images = planned(shuffle, np.arange(600))
    places: dict[int, list[int]] = {row: [] for row in range(600)}
    for action in plan.actions:
        for row in action.rows.tolist():
            places[row].append(action.step.most)  # type: ignore[attr-defined]
    orders, counts = np.unique(np.array(list(places.values())), axis=0, return_counts=True)
    assert len(orders) == 12 and counts.min() > 25
    assert all(list(order).index(3) < list(order).index(5) for order in orders)
    gray = np.full((20, 24, 3), 64, np.uint8)
    alone = shuffle({"lq": gray, "key": "x"}, Rng(SEED, 0))["lq"]
    assert abs(alone[0, 0, 0] - float(images.pixels[0, 0, 0, 0]) * 255) <= 1.001
    with pytest.raises(ConfigError, match="Shuffle: ordered names 'c', which is no transform here"):
        Shuffle(steps, ordered=["a", "c"])
    assert len(Shuffle([Shift(2), None, Shift(3)], ordered=[0, 2]).ordered) == 2


def test_a_plan_is_cut_behind_its_last_step_on_the_host() -> None:
    steps: list[Any] = [Shift(2), Shift(3, on_host=True), Shift(4), Shift(5, on_host=True), Shift(6)]
    plan, _ = planned(Compose(steps), np.arange(2))
    assert [[action.step.most for action in part] for part in plan.split()] == [[2, 3, 4, 5], [6]]  # type: ignore[attr-defined]
    assert planned(Compose([Shift(2)]), np.arange(2))[0].split()[0] == []


def test_on_a_cpu_each_image_goes_through_all_before_the_next() -> None:
    seen: list[tuple[int, int]] = []

    class Witness(Shift):
        def apply(self, images: Images, parameters: Parameters) -> Images:
            seen.append((self.most, int(images.sizes[0, 1])))
            return super().apply(images, parameters)

    plan = Plan(np.array([(4, 5), (4, 6)]), np.array([(4, 5), (4, 6)]))
    Compose([Witness(1), Witness(2)]).add_to(plan, Rngs(SEED, np.arange(2)), np.arange(2))
    images = stack([torch.zeros(1, 4, 5), torch.zeros(1, 4, 6)])
    plan.run(images)
    assert seen == [(1, 5), (2, 5), (1, 6), (2, 6)]
    seen.clear()
    plan.run(Images(images.pixels, images.sizes, batched=True))
    assert seen == [(1, 5), (2, 5)]  # both images at once


def test_a_transform_of_pairs_is_refused_in_a_plan() -> None:
    with pytest.raises(ConfigError, match=r"RandomHorizontalFlip is no degradation: it belongs among the dataset's"):
        planned(Compose([RandomHorizontalFlip()]), np.arange(2))


def test_images_are_put_back_where_they_came_from() -> None:
    images = stack([torch.full((1, 3, 4), 0.1), torch.full((1, 5, 2), 0.2), torch.full((1, 1, 1), 0.3)])
    rows = np.array([2, 0])
    others = images.select(rows)
    assert others.sizes.tolist() == [[1, 1], [3, 4]] and others.pixels.shape == (2, 1, 3, 4)
    larger = stack([torch.full((1, 9, 9), 0.5), torch.full((1, 2, 2), 0.6)])
    result = images.replace(rows, larger)
    assert result.sizes.tolist() == [[2, 2], [5, 2], [9, 9]]
    expected = [torch.full((1, 2, 2), 0.6), torch.full((1, 5, 2), 0.2), torch.full((1, 9, 9), 0.5)]
    for image, expect in zip(result.each(), expected, strict=True):
        assert torch.equal(image, expect)
    assert images.sizes.tolist() == [[3, 4], [5, 2], [1, 1]]


class Ringing(Shift):
    """Leaves values beyond [0, 1]."""

    overshoots = True

    def apply(self, images: Images, parameters: Parameters) -> Images:
        return images.map(lambda image, n: image * 3 - 1)


class Halving(Ringing):
    overshoots = False

    def apply(self, images: Images, parameters: Parameters) -> Images:
        return images.map(lambda image, n: image / 2)


@pytest.mark.parametrize("batched", [False, True])
def test_what_overshoots_is_clipped_for_steps_that_do_not_take_it_and_in_the_end(batched: bool) -> None:
    values = torch.tensor([0.1, 0.4, 0.5, 0.9]).view(4, 1, 1, 1)

    def after(*steps: BatchDegradation) -> list[float]:
        images = Images(values, batched=batched)
        plan = Plan(images.sizes, images.sizes)
        Compose(steps).add_to(plan, Rngs(SEED, np.arange(4)), np.arange(4))
        return [round(value, 4) for value in plan.run(images).pixels.flatten().tolist()]

    assert after(Ringing(1)) == [0.0, 0.2, 0.5, 1.0]
    assert after(Ringing(1), Ringing(1)) == [0.0, 0.0, 0.5, 1.0]
    assert after(Ringing(1), Halving(1)) == [0.0, 0.1, 0.25, 0.5]


def test_crops_of_a_batch_are_those_of_each_image() -> None:
    images = stack([image_of(draw)[:, : 12 + draw] for draw in range(4)])
    corners = np.array([(0, 0), (5, 3), (6, 16), (1, 9)])
    together = Images(images.pixels, images.sizes, batched=True).crop(corners, 8)
    assert together.batched and together.are_alike
    for number, (top, left) in enumerate(corners.tolist()):
        expected = images.pixels[number, :, top : top + 8, left : left + 8]
        assert torch.equal(together.pixels[number], expected)
        assert torch.equal(images.crop(corners, 8).pixels[number], expected)


class Careless(Shift):
    """Returns whatever it is given, as a plugin may by mistake."""

    def __init__(self, drawn: Any, made: Any) -> None:
        super().__init__(1)
        self.drawn, self.made = drawn, made

    def draw(self, rngs: Rngs, sizes: np.ndarray, plan: Plan) -> Parameters:
        return self.drawn

    def apply(self, images: Images, parameters: Parameters) -> Images:
        return self.made(images)


@pytest.mark.parametrize(
    ("drawn", "made", "message"),
    [
        (None, None, r"Careless: draw returns arrays by name, a row for each image; it returned a NoneType"),
        ({"sigma": 0.3}, None, r"draw returns .* 'sigma' of 2 is a float"),
        ({"sigma": np.ones(1)}, None, r"draw returns .* 'sigma' of 2 is an array \(1,\)"),
        ({}, lambda images: images.pixels, r"Careless: it makes Images of float32, and made a Tensor"),
        ({}, lambda images: images.like(images.pixels.double()), r"and made torch\.float64"),
        (
            {},
            lambda images: images.map(lambda image, _: image[:, ::2]),
            r"Careless: it made an image of 8x4 px, where its sizes_after says 8x8",
        ),
    ],
)
def test_what_a_step_returns_is_looked_at(drawn: Any, made: Any, message: str) -> None:
    sizes = np.full((2, 2), 8)
    plan = Plan(sizes, sizes)
    with pytest.raises(DataError, match=message):
        Careless(drawn, made).add_to(plan, Rngs(0, np.arange(2)), np.arange(2))
        plan.run(Images(torch.zeros(2, 3, 8, 8)))
