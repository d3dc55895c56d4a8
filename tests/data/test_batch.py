"""Samples to batches: the right pixels in every orientation."""

import itertools

import numpy as np
import pytest
import torch

from srtoolbox.data.datasets.base import collate
from srtoolbox.data.loading.draws import Draw
from srtoolbox.errors import DataError
from srtoolbox.image.pixels import copy_view


def turned(image: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    for wanted, turn in zip(
        steps, (np.flipud, np.fliplr, lambda x: x.swapaxes(0, 1), np.flipud, np.fliplr), strict=True
    ):
        image = turn(image) if wanted else image
    return image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(5, 7), (6, 6), (1, 1), (1, 5), (5, 1), (64, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_copy_view_is_assignment_in_every_orientation(dtype: type, size: tuple[int, int], channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (size[0] + 2, size[1] + 2, channels)).astype(dtype)
    image.setflags(write=False)
    inner = image[1:-1, 1:-1]
    for image in (inner, np.ascontiguousarray(inner)):
        for steps in itertools.product([0, 1], repeat=5):
            view = turned(image, steps)
            for source in (view, np.broadcast_to(view, (*view.shape[:2], 3)) if channels == 1 else view):
                target = np.zeros(source.shape, dtype)
                copy_view(target, source)
                assert np.array_equal(target, source), steps


def samples(count: int, size: int = 4) -> tuple[list[dict], list[Draw]]:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (2 * size, 2 * size, 3), np.uint8) for _ in range(count)]
    draws = [Draw(number % 2, 100 + number, 7) for number in range(count)]
    return [{"lq": p[::2, ::2], "gt": p[:, ::-1], "key": str(n)} for n, p in enumerate(images)], draws


def test_batch_holds_the_samples() -> None:
    given, draws = samples(3)
    batch = collate(given, draws)
    assert batch["lq"].dtype == batch["gt"].dtype == torch.uint8
    for number, sample in enumerate(given):
        assert np.array_equal(batch["gt"][number].numpy(), sample["gt"])
        assert np.array_equal(batch["lq"][number].numpy(), sample["lq"])
    assert batch["key"] == ["0", "1", "2"]
    assert batch["index"].tolist() == [0, 1, 0] and batch["draw"].tolist() == [100, 101, 102]


def test_batches_own_their_memory() -> None:
    given, draws = samples(2)
    first = collate(given, draws)
    before = first["gt"].clone()
    collate(samples(2, size=4)[0][::-1], draws)
    assert torch.equal(first["gt"], before)


def test_sixteen_bit_stays_sixteen_bit() -> None:
    given, draws = samples(2)
    for sample in given:
        sample["gt"] = sample["gt"].astype(np.uint16) * 257
    batch = collate(given, draws)
    assert batch["gt"].dtype == torch.uint16 and batch["lq"].dtype == torch.uint8
    assert np.array_equal(batch["gt"][1].numpy(), given[1]["gt"])


@pytest.mark.parametrize(
    "change", [lambda s: s["gt"][:-1], lambda s: s["gt"].astype(np.uint16), lambda s: s["gt"][..., :1]]
)
def test_unlike_samples_are_refused_by_name(change) -> None:
    given, draws = samples(3)
    given[2]["gt"] = change(given[2])
    with pytest.raises(DataError, match=r"'0' is 8x8x3 uint8 and '2' is .*gt_size"):
        collate(given, draws)
