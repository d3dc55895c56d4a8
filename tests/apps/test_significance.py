"""Paired tests over images, against SciPy's and by counting all signs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon

from srtoolbox.apps.scoring.significance import compare_pairs, holm, sentences, signed_rank


@pytest.mark.parametrize("count", [1, 5, 14, 50, 100, 300])
def test_without_ties_it_is_that_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 1, count)
    expected = wilcoxon(values, method="exact" if count <= 200 else "asymptotic")
    assert signed_rank(values).p == pytest.approx(expected.pvalue, rel=1e-9)


def test_with_ties_and_zeros_it_is_the_share_of_all_signs() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        values = random.integers(-3, 5, 9).astype(float)
        ranks = rankdata(np.abs(values)) * (values != 0)  # Pratt
        sums = [float(np.dot(signs, ranks)) for signs in itertools.product((-1, 1), repeat=9)]
        own = float(np.dot(np.sign(values), ranks))
        assert signed_rank(values).excess == own
        assert signed_rank(values).p == pytest.approx(np.mean(np.abs(sums) >= abs(own)), abs=1e-12)


def test_many_ties_follow_the_normal_distribution_of_scipy() -> None:
    values = np.random.default_rng(1).integers(-3, 5, 400).astype(float)
    expected = wilcoxon(values, zero_method="pratt", method="asymptotic")
    assert signed_rank(values).p == pytest.approx(expected.pvalue, rel=1e-9)


def test_what_differs_by_rounding_alone_ties() -> None:
    apart = 0.1 + 0.2 - 0.3  # 5.6e-17
    assert signed_rank([apart, 0.0]).p == 1.0
    assert signed_rank([0.3, -(0.1 + 0.2), 1]) == signed_rank([0.3, -0.3, 1])
    assert math.isnan(signed_rank([math.nan, 1]).p) and signed_rank([math.inf, 1, 2]).p == 0.25


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([math.nan, 0.01])[1] == 0.02 and math.isnan(holm([math.nan])[0])


def scores_of(**rows: list[float]) -> dict[str, dict[str, float]]:
    return {name: {str(number): value for number, value in enumerate(values)} for name, values in rows.items()}


def test_sentences_name_the_better_one_the_images_and_p() -> None:
    worse = [30.0 + number for number in range(8)]
    better = [value + 0.1 + 0.01 * number for number, value in enumerate(worse)]
    lines = list(sentences(compare_pairs("set5", "psnr", scores_of(worse=worse, better=better), True)))
    assert lines[0] == "set5 psnr: better is better than worse on 8 of 8 images, p = 0.0078"
    assert "Wilcoxon" in lines[1] and "Holm" not in lines[1]
    lines = list(sentences(compare_pairs("set5", "lpips", scores_of(worse=worse, better=better), False)))
    assert lines[0].startswith("set5 lpips: worse is better than better")


def test_few_images_show_nothing() -> None:
    found = compare_pairs("set5", "psnr", scores_of(a=[1, 2, 3, 4, 5], b=[2, 3, 4, 5, 6]), True)
    assert "b is not significantly better than a (on 5 of 5 images, p = 0.062)" in found[0].sentence()
    assert "(5 images cannot show a difference: p is at least 0.062)" in next(sentences(found))


def test_a_better_mean_against_the_ranks_is_no_win() -> None:
    rest = [1.0 + number / 10 for number in range(1, 12)]
    (found,) = compare_pairs("s", "psnr", scores_of(a=[100.0, *[0.0] * 11], b=[0.0, *rest]), True)
    assert found.first == "a" and found.p < 0.05 and not found.is_significant
    assert "the ranks of the differences speak for b" in found.sentence()


def test_several_networks_are_adjusted_and_the_best_is_compared_with_each() -> None:
    base = np.arange(12.0)
    rows = scores_of(a=list(base), b=list(base + 1), c=list(base + 2))
    found = compare_pairs("set5", "psnr", rows, True)
    alone = compare_pairs("set5", "psnr", {name: rows[name] for name in "bc"}, True)
    assert {each.p for each in found} == {3 * alone[0].p} and {each.pairs for each in found} == {3}
    head, *lines, note = sentences(found)
    text = "".join(lines)
    assert head == "set5 psnr:" and len(lines) == 2 and "3 pairs" in note
    assert text.count("c is better than") == 2 and "b is better" not in text


def test_scores_that_are_no_numbers() -> None:
    (found,) = compare_pairs("s", "psnr", scores_of(a=[math.nan, 1.0], b=[1.0, 2.0]), True)
    assert found.first == "b" and "not a number" in found.sentence() and not found.is_significant
    (equal,) = compare_pairs("s", "psnr", scores_of(a=[math.inf] * 8, b=[math.inf] * 8), True)
    assert equal.p == 1.0 and equal.wins == 0
