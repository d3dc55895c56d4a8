"""Words for numbers in messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.plots.run_log import read_baseline, read_scores
from srtoolbox.plots.snapshots import read_maps
from srtoolbox.text import counted, did_you_mean


def test_one_is_one_and_others_are_several() -> None:
    assert [counted(number, "image") for number in (0, 1, 2, 1500)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,500 images",
    ]
    assert [counted(number, "image has", "images have") for number in (1, 2)] == ["1 image has", "2 images have"]


@pytest.mark.parametrize(
    ("wrong", "names", "near"),
    [
        ("Adma", ["Adam", "Adamax", "AdamW", "Adagrad"], "Adam"),
        ("tpye", ["type", "tape"], "type"),
        ("aad", ["Aad", "ada"], "Aad"),  # equal but for the case; two like letters are not swapped
        ("Adamx", ["Adam", "Adamax", "Adagrad"], "Adamax"),
        ("bilinaer", ["bilinear", "bicubic"], "bilinear"),
    ],
)
def test_swapped_letters_are_one_slip(wrong: str, names: list[str], near: str) -> None:
    assert did_you_mean(wrong, names) == f" Did you mean {near!r}?"


@pytest.mark.parametrize(
    "read", [lambda path: read_scores([path]), read_baseline, read_maps], ids=["scores", "baseline", "maps"]
)
def test_a_path_stands_once_in_a_message(read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "iter_000005.npz").mkdir()
    with pytest.raises(SrtoolboxError) as caught:
        read(tmp_path / "iter_000005.npz")
    assert str(caught.value).count(str(tmp_path)) == 1 and "Is a directory" in str(caught.value)


def test_the_reason_of_a_missing_dump_has_no_path(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count(str(tmp_path)) == 1
