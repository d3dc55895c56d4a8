"""Random numbers that follow from (seed, draw, position)."""

import numpy as np
import pytest
import scipy.stats

from srtoolbox.data.loading.draws import Rng, Rngs, fold, mix, uniform_hashes


def splitmix64(state: int, count: int) -> list[int]:
    """The published generator, in numpy's wrapping arithmetic: the oracle."""
    out = []
    with np.errstate(over="ignore"):
        value = np.uint64(state)
        for _ in range(count):
            value = value + np.uint64(0x9E3779B97F4A7C15)
            z = value
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            out.append(int(z ^ (z >> np.uint64(31))))
    return out


def test_splitmix64_reference() -> None:
    # first outputs for state 1234567 as printed by the authors' C code
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]
    assert uniform_hashes(1234567, 5).tolist() == splitmix64(1234567, 5)


def test_stream_depends_on_seed_draw_position_only() -> None:
    first, again = Rng(3, 10), Rng(3, 10)
    again.at(7).random()  # taking numbers elsewhere changes nothing
    assert [first.random() for _ in range(5)] == [again.random() for _ in range(5)]
    streams = {Rng(s, d).at(p).random() for s in range(4) for d in range(50) for p in range(5)}
    assert len(streams) == 1000
    assert Rng(3, 10).at(1).random() != Rng(3, 10).random()


def test_sub_stream_is_unmoved_by_numbers_taken() -> None:
    rng = Rng(0, 0)
    before = rng.at(2).random()
    rng.integers(0, 9)
    assert rng.at(2).random() == before


def test_integers_cover_the_range_evenly() -> None:
    counts = np.bincount([Rng(1, draw).integers(2, 7) for draw in range(20000)], minlength=8)
    assert counts[:2].sum() == counts[7] == 0
    assert abs(counts[2:7] - 4000).max() < 300  # 5 sigma
    assert Rng(0, 0).integers(4, 5) == 4
    with pytest.raises(ValueError, match="empty range"):
        Rng(0, 0).integers(4, 4)


def test_random_is_uniform_and_uncorrelated_over_draws() -> None:
    numbers = np.array([[rng.random(), rng.random()] for rng in (Rng(5, draw) for draw in range(20000))])
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(numbers.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03


def test_any_integer_is_a_seed() -> None:
    assert len({Rng(seed, 0).random() for seed in (0, 1, -1, 2**40, 2**63)}) == 5
    assert mix(0) == 0 and fold(0, 0) != 0


def test_normals_are_normal_and_the_same_however_many_are_taken() -> None:
    numbers = Rng(0, 0).normals(200_000)
    assert numbers.dtype == np.float32 and abs(numbers.mean()) < 0.01 and abs(numbers.std() - 1) < 0.005
    assert scipy.stats.kstest(numbers, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.01
    assert np.array_equal(Rng(0, 0).normals(7), numbers[:7])
    assert not np.array_equal(Rng(0, 1).normals(7), numbers[:7])


def test_uniform_stays_inside() -> None:
    numbers = [Rng(0, draw).uniform(-3, 5) for draw in range(4000)]
    assert min(numbers) >= -3 and max(numbers) < 5 and abs(np.mean(numbers) - 1) < 0.2


def test_the_streams_of_a_batch_go_on_where_it_stopped() -> None:
    batch = Rngs(9, np.arange(3)).at(4)
    taken = batch.random()
    for number, stream in enumerate(batch.streams()):
        alone, rng = Rng(9, number).at(4), Rng.of(stream)
        assert alone.random() == taken[number]
        assert [alone.random(), alone.at(2).random()] == [rng.random(), rng.at(2).random()]


def test_whole_numbers_and_names_of_a_batch_are_drawn_evenly_with_both_ends() -> None:
    rngs = Rngs(3, np.arange(6000))
    for drawn, wanted in ((rngs.whole(-1, 1), [-1, 0, 1]), (rngs.one_of(["a", "b", "c"]), ["a", "b", "c"])):
        values, counts = np.unique(drawn, return_counts=True)
        assert values.tolist() == wanted and np.abs(counts - 2000).max() < 150
