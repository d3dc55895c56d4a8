"""A split by name: reproducible, stable when images are added, about as large as asked for."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest

from srtoolbox.data.prepare.plan import place_of, split_keys
from srtoolbox.errors import DataError

KEYS = [f"{number:04d}" for number in range(2000)]


def test_the_hash_of_a_name_decides() -> None:
    expected = [key for key in KEYS if int(hashlib.sha256(key.encode()).hexdigest(), 16) < 0.9 * 2**256]
    training, validation = split_keys(KEYS, 0.9)
    assert training == expected and sorted(training + validation) == KEYS
    assert 1740 < len(training) < 1860  # 4.5 sigma


def test_added_images_and_larger_shares_move_none_out_of_training() -> None:
    few, many = split_keys(KEYS[::3], 0.5), split_keys(KEYS, 0.5)
    assert set(few[0]) <= set(many[0]) and set(few[1]) <= set(many[1])
    assert set(many[0]) < set(split_keys(KEYS, 0.6)[0])


def test_both_spellings_of_an_accent_are_one_name() -> None:
    composed, decomposed = (unicodedata.normalize(form, "été/à") for form in ("NFC", "NFD"))
    assert composed != decomposed and place_of(composed) == place_of(decomposed)
    assert 0 <= place_of("\udcff not UTF-8") < 1


@pytest.mark.parametrize("share", [0, 1, -0.1, 90, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(DataError, match="share of training, above 0 and below 1"):
        split_keys(KEYS, share)


@pytest.mark.parametrize(("share", "side"), [(0.99999, "validation"), (0.00001, "training")])
def test_an_empty_side_is_refused_with_shares_that_do(share: float, side: str) -> None:
    keys = ["a", "b", "c"]
    with pytest.raises(DataError, match=f"leaves none of 3 images for {side}") as caught:
        split_keys(keys, share)
    low, high = (float(word) for word in str(caught.value).split() if word.startswith("0.") and float(word) != share)
    for good in (low, high):
        assert all(split_keys(keys, good))
    with pytest.raises(DataError, match="too few"):
        split_keys(["a"], share)
