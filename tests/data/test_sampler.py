"""Which image each draw takes."""

from itertools import islice

import numpy as np
import pytest

from srtoolbox.data.loading import draws as module
from srtoolbox.data.loading.draws import Draw, EndlessSampler
from srtoolbox.data.loading.loader import build_eval_loader
from srtoolbox.errors import DataError


class Images:
    def __init__(self, length: int, weights: list[float] | None = None) -> None:
        self.length, self.weights = length, weights

    def __len__(self) -> int:
        return self.length

    def draw_weights(self) -> np.ndarray | None:
        return None if self.weights is None else np.array(self.weights)


def draws(count: int, *args, **kwargs) -> list[Draw]:
    sampler = EndlessSampler(*args, **kwargs)
    batches = islice(sampler, -(-count // sampler.batch_size))
    return [draw for batch in batches for draw in batch][:count]


def test_every_epoch_is_another_permutation() -> None:
    taken = [draw.index for draw in draws(70, Images(7), 5, seed=1)]
    epochs = [tuple(taken[start : start + 7]) for start in range(0, 70, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(epochs)) > 7
    assert taken != [draw.index for draw in draws(70, Images(7), 5, seed=2)]


@pytest.mark.parametrize("start", [0, 4, 8, 12, 400])
def test_start_continues_anywhere(start: int) -> None:
    unbroken = draws(start + 60, Images(13), 4, seed=3)
    assert draws(60, Images(13), 4, seed=3, start=start) == unbroken[start:]
    assert [draw.number for draw in unbroken] == list(range(start + 60))


def test_a_far_start_costs_nothing() -> None:
    assert draws(4, Images(13), 4, seed=3, start=10**12)[0].number == 10**12


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_side_by_side_make_the_batches_of_one_process(world: int) -> None:
    alone = EndlessSampler(Images(11), 4 * world, seed=5)
    ranks = [EndlessSampler(Images(11), 4, seed=5, rank=rank, world=world) for rank in range(world)]
    for whole, *parts in islice(zip(alone, *ranks, strict=False), 20):
        assert whole == [draw for part in parts for draw in part]


def test_weights_give_each_image_its_share_in_every_epoch() -> None:
    weights = [1.0, 0.0, 2.0, 4.0, 0.5] * 20
    expected = np.array(weights) / sum(weights) * 100
    taken = [draw.index for draw in draws(1000, Images(100, weights), 10, seed=0)]
    for start in range(0, 1000, 100):
        counts = np.bincount(taken[start : start + 100], minlength=100)
        assert abs(counts - expected).max() < 2
    counts = np.bincount(taken, minlength=100) / 10
    assert counts[1::5].sum() == 0
    assert abs(counts - expected).mean() < 0.2


def test_equal_weights_are_a_permutation() -> None:
    taken = [draw.index for draw in draws(9, Images(9, [3.0] * 9), 9, seed=0)]
    assert sorted(taken) == list(range(9))


def test_refuses_nothing_to_draw_from() -> None:
    with pytest.raises(DataError, match="no images"):
        EndlessSampler(Images(0), 4, seed=0)
    with pytest.raises(DataError, match="batch_size"):
        EndlessSampler(Images(3), 0, seed=0)


@pytest.mark.parametrize("length", range(1, 10))
@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_evaluate_each_image_once(length: int, world: int) -> None:
    images = [f"image {number}" for number in range(length)]
    shares = [list(build_eval_loader(images, rank, world)) for rank in range(world)]  # type: ignore[arg-type]
    assert sorted(sample for share in shares for sample in share) == list(enumerate(images))


@pytest.mark.parametrize("weights", [None, [float(number % 7) for number in range(103)]])
def test_the_images_of_an_epoch_are_looked_up_in_blocks(monkeypatch, weights: list[float] | None) -> None:
    whole = draws(400, Images(103, weights), 6, seed=4)
    for size in (1, 5, 8, 103):
        monkeypatch.setattr(module, "_BLOCK", size)
        assert draws(400, Images(103, weights), 6, seed=4) == whole
        assert draws(60, Images(103, weights), 6, seed=4, start=96) == whole[96:156]


class Share(Images):
    is_share = True


@pytest.mark.parametrize("kind", [Images, Share])
@pytest.mark.parametrize("length", [3, 13, 500])
def test_a_pool_mixes_draws_within_its_blocks(kind: type[Images], length: int) -> None:
    options = {"rank": 1, "world": 2} if kind is Share else {}
    plain, mixed = (draws(600, kind(length), 4, seed=3, pool=pool, **options) for pool in (None, 60))
    for start in range(0, 600, 60):
        block = mixed[start : start + 60]
        assert block != plain[start : start + 60] and sorted(block) == sorted(plain[start : start + 60])
    near = [len({draw.number // 8 for draw in mixed[start : start + 4]}) for start in range(0, 600, 4)]
    assert np.mean(near) > 3, "a batch holds draws of several"
    for start in (4, 40, 64, 396):
        start_of_all = start * (2 if options else 1)
        assert draws(60, kind(length), 4, seed=3, start=start_of_all, pool=60, **options) == mixed[start : start + 60]
    assert draws(600, kind(length), 4, seed=4, pool=60, **options) != mixed


def test_ranks_share_a_pool() -> None:
    alone = EndlessSampler(Images(11), 12, seed=5, pool=50)
    ranks = [EndlessSampler(Images(11), 4, seed=5, rank=rank, world=3, pool=50) for rank in range(3)]
    for whole, *parts in islice(zip(alone, *ranks, strict=False), 20):
        assert whole == [draw for part in parts for draw in part]


def test_refuses_a_pool_that_mixes_nothing() -> None:
    with pytest.raises(DataError, match=r"pool=4 mixes nothing, a step draws 4 samples: give it several times as many"):
        EndlessSampler(Images(9), 4, seed=0, pool=4)
    with pytest.raises(DataError, match=r"a step draws 12 samples \(4 on each of 3 ranks\)"):
        EndlessSampler(Images(9), 4, seed=0, world=3, pool=12)
