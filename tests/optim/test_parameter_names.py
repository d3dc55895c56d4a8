"""Which parameters an entry of `param_groups` or `frozen` chooses."""

from __future__ import annotations

import pytest

from srtoolbox.optim.parameters import chooser, chosen_entries, entry_fault

NAMES = ["conv_first.weight", "conv1.weight", "conv1.bias", "conv10.weight", "IMDB1.c1.weight", "IMDB2.c1.weight",
         "body.0.norm.weight", "body.0.norm.bias", "body.1.conv.weight", "body.10.conv.weight"]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "chosen"),
    [
        ("conv1", ["conv1.weight", "conv1.bias"]),  # whole parts go first: not conv10
        ("conv1.", ["conv1.weight", "conv1.bias"]),
        ("conv1.bias", ["conv1.bias"]),
        ("conv", ["conv_first.weight", "conv1.weight", "conv1.bias", "conv10.weight"]),
        ("IMDB", ["IMDB1.c1.weight", "IMDB2.c1.weight"]),
        ("body.1", ["body.1.conv.weight"]),
        ("body", [name for name in NAMES if name.startswith("body")]),
        ("body.*", [name for name in NAMES if name.startswith("body")]),
        ("body.?.conv", ["body.1.conv.weight"]),
        ("*.norm", ["body.0.norm.weight", "body.0.norm.bias"]),
        ("*.bias", ["conv1.bias", "body.0.norm.bias"]),
        ("IMDB[12]", ["IMDB1.c1.weight", "IMDB2.c1.weight"]),
        ("*", NAMES),
    ],
)
def test_an_entry_is_a_beginning_or_a_pattern(entry: str, chosen: list[str]) -> None:
    assert [name for name in NAMES if chooser(entry, NAMES)(name)] == chosen
    assert entry_fault(entry, NAMES) is None


def test_a_number_is_whole_where_its_part_has_no_parameters() -> None:
    names = ["body.0.weight", "body.2.weight", "body.10.weight", "body.12.weight", "conv10_1.weight"]  # body.1: a ReLU
    assert not any(map(chooser("body.1", names), names))
    assert entry_fault("body.1", names).startswith("no parameter's name begins with the part 'body.1'. Did you mean")
    assert [name for name in names if chooser("conv10", names)(name)] == ["conv10_1.weight"]


def test_of_several_entries_the_one_with_most_letters_wins() -> None:
    entries = ["*", "body.0.norm.bias", "body", "body.0", "*.conv.weight"]
    assert chosen_entries(entries, NAMES) == {
        **dict.fromkeys(NAMES, "*"),
        "body.0.norm.weight": "body.0",
        "body.0.norm.bias": "body.0.norm.bias",
        "body.1.conv.weight": "*.conv.weight",
        "body.10.conv.weight": "*.conv.weight",
    }
    assert chosen_entries(["conv1"], NAMES)["conv10.weight"] is None
    assert chosen_entries(["*.bias", "conv1."], NAMES)["conv1.bias"] == "conv1."


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("IMBD1", "no parameter's name begins with 'IMBD1'. Did you mean 'IMDB1'?"),
        ("body.2", "no parameter's name begins with 'body.2'. Did you mean 'body'?"),
        ("x.*", "no parameter's name fits 'x.*'. There are IMDB1, IMDB2, body, conv1, conv10, conv_first."),
        ("", None),
    ],
)  # fmt: skip
def test_an_entry_that_chooses_nothing_is_told_with_the_nearest(entry: str, fault: str | None) -> None:
    assert entry_fault(entry, NAMES) == fault
