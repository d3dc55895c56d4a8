"""Words for numbers in messages."""

from __future__ import annotations

from srtoolbox.wording import counted


def test_one_is_one_and_others_are_several() -> None:
    assert [counted(number, "image") for number in (0, 1, 2, 1500)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,500 images",
    ]
    assert [counted(number, "image has", "images have") for number in (1, 2)] == ["1 image has", "2 images have"]
