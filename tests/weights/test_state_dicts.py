"""Differing keys are grouped, not dumped."""

from __future__ import annotations

import torch

from srtoolbox.weights.state_dicts import differences, group_keys


def test_numbers_and_last_words_become_one_name() -> None:
    keys = [
        f"body.{block}.rdb{dense}.conv{conv}.{kind}"
        for block in range(23)
        for dense in (1, 2, 3)
        for conv in (1, 2)
        for kind in ("weight", "bias")
    ]
    assert group_keys(keys) == ["body.{0..22}.rdb{1..3}.conv{1,2}.{weight,bias}"]
    assert group_keys(["a.0.weight", "a.2.weight", "a.5.weight"]) == ["a.{0..5,..}.weight"]
    assert group_keys(["mean", "conv.weight"]) == ["mean", "conv.weight"]
    assert group_keys(["conv_up1.bias", "conv_up2.bias", "x2.bias"]) == ["conv_up{1,2}.bias", "x2.bias"]


def test_at_most_three_groups_are_shown() -> None:
    own = {f"{letter}.weight": torch.ones(1) for letter in "abcde"}
    assert differences(own, {}) == "5 missing (a.weight, b.weight, c.weight and 2 groups more)"
    assert differences({}, own).startswith("5 unexpected (a.weight")
    assert differences(own, own) == ""


def test_shapes_are_told_as_found_for_wanted() -> None:
    own, other = {"a.bias": torch.ones(2)}, {"a.bias": torch.ones(3)}
    assert differences(own, other) == "1 of another shape (a.bias (3,) for (2,))"
