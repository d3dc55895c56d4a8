"""Names and sizes of pairs."""

from pathlib import Path

import numpy as np
import pytest

from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.index import Texts
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.pairing import (
    _partners,
    _rename,
    _usual_namings,
    check_sizes,
    infer_scale,
    match_keys,
    pair_keys,
)
from srtoolbox.errors import DataError
from srtoolbox.image import write_image
from tests.data.stores import tiny_store


def store(folder: Path, images: dict[str, tuple[int, int]]) -> FolderStore:
    for name, size in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, np.zeros((*size, 3), np.uint8))
    return FolderStore(folder)


@pytest.mark.parametrize(
    ("gt", "lq"),
    [
        ("0001.png", "0001.png"),
        ("0001.png", "0001x4.png"),
        ("0001.png", "0001_x4.bmp"),
        ("sub/0001.png", "sub/0001x4.png"),
        ("baby.png", "babyLRBI_x4.png"),
        ("baby_HR_x4.png", "baby_LRBI_x4.png"),
        ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png"),
        ("x4x4.png", "x4x4x4.png"),
    ],
)
def test_usual_names_are_found(tmp_path: Path, gt: str, lq: str) -> None:
    gts, lqs = store(tmp_path / "gt", {gt: (8, 8)}), store(tmp_path / "lq", {lq: (2, 2)})
    (pair,) = pair_keys(gts, lqs, 4)
    assert (pair.gt, pair.lq) == (gt.rpartition(".")[0], lq.rpartition(".")[0])


def test_given_name(tmp_path: Path) -> None:
    gts, lqs = store(tmp_path / "gt", {"d/a.png": (8, 8)}), store(tmp_path / "lq", {"d/small-a.png": (4, 4)})
    assert pair_keys(gts, lqs, 2, "small-{}")[0].lq == "d/small-a"
    with pytest.raises(DataError, match="no d/small-a_ in"):
        pair_keys(gts, lqs, 2, "small-{}_")
    with pytest.raises(DataError, match="lq_name"):
        pair_keys(gts, lqs, 2, "small")


def test_all_missing_partners_are_listed_at_once(tmp_path: Path) -> None:
    names = {f"{number}.png": (8, 8) for number in range(6)}
    lq = {f"{number}x2.png": (4, 4) for number in (0, 1, 3, 5, 8, 9)}
    with pytest.raises(DataError) as caught:
        pair_keys(store(tmp_path / "gt", names), store(tmp_path / "lq", lq), 2)
    message = str(caught.value)
    assert "4 images have no partner" in message
    for name in ("2.png: no 2x2 in", "4.png: no 4x2 in", "8x2.png: no GT", "9x2.png: no GT"):
        assert name in message
    assert "lq_name" in message


def test_two_sets_that_are_no_pairs_fill_no_screen(tmp_path: Path) -> None:
    gt = store(tmp_path / "gt", {f"bird{number:02d}.png": (8, 8) for number in range(25)})
    lq = store(tmp_path / "lq", {f"{number:02d}.png": (4, 4) for number in range(31)})
    with pytest.raises(DataError) as caught:
        pair_keys(gt, lq, 2)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("56 images have no partner") and "{}" not in lines[0]
    assert sum("bird" in line for line in lines) == sum("no GT" in line for line in lines) == 10
    assert "  ... and 15 more GT images" in lines and "  ... and 21 more LQ images" in lines
    assert "No name in common: are these the right folders?" in lines[-1]


def test_one_fault_is_told_in_the_singular_with_the_callers_option(tmp_path: Path) -> None:
    gt = store(tmp_path / "gt", {"a.png": (8, 8), "b.png": (8, 8)})
    lq = store(tmp_path / "lq", {"a.png": (4, 4)})
    with pytest.raises(DataError, match=r"^1 image has no partner(.|\n)*\(--lq-name '{}x4'") as caught:
        pair_keys(gt, lq, 2, option="--lq-name ")
    assert "right folders" not in str(caught.value)
    with pytest.raises(DataError, match=r"^--lq-name is an LQ file's name"):
        pair_keys(gt, lq, 2, "none", option="--lq-name ")


def test_wrong_sizes_are_counted_beyond_the_tenth(tmp_path: Path) -> None:
    gt = store(tmp_path / "gt", {f"{number:02d}.png": (8, 8) for number in range(13)})
    lq = store(tmp_path / "lq", {f"{number:02d}.png": (4, 4) for number in range(13)})
    with pytest.raises(DataError) as caught:
        check_sizes(gt, lq, pair_keys(gt, lq, 3), 3)
    lines = str(caught.value).splitlines()
    assert len(lines) == 13 and lines[0].startswith("13 of 13 pairs") and lines[-2] == "  ... and 3 more"


def test_all_wrong_sizes_are_listed_at_once(tmp_path: Path) -> None:
    gt = store(tmp_path / "gt", {"a.png": (24, 40), "b.png": (25, 40), "c.png": (24, 36), "d.png": (24, 43)})
    lq = store(tmp_path / "lq", {"a.png": (6, 10), "b.png": (6, 10), "c.png": (6, 10), "d.png": (6, 10)})
    pairs = pair_keys(gt, lq, 4)
    with pytest.raises(DataError) as caught:
        check_sizes(gt, lq, pairs, 4)
    message = str(caught.value)
    assert "3 of 4 pairs" in message and "a.png" not in message
    assert "c.png: 36x24, but" in message and "should be 40x24" in message
    assert "\n2 of them have less than 4 px too many" in message and "cut=True" in message
    check_sizes(gt, lq, [pairs[0], pairs[1], pairs[3]], 4, leftover=True)
    with pytest.raises(DataError, match=r"\nAll of them have less than 4 px too many"):
        check_sizes(gt, lq, pairs[1:2], 4)
    with pytest.raises(DataError, match=r"1 of 4 pairs(.|\n)*c\.png"):
        check_sizes(gt, lq, pairs, 4, leftover=True)
    assert infer_scale(gt, lq, pairs) == 4


def test_a_damaged_header_is_listed_with_the_others(tmp_path: Path) -> None:
    gt = store(tmp_path / "gt", {"a.png": (8, 8), "b.png": (8, 8), "c.png": (8, 8)})
    lq = store(tmp_path / "lq", {"a.png": (4, 4), "b.png": (4, 4), "c.png": (4, 4)})
    for name in ("gt/a.png", "gt/c.png", "lq/b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"3 images(.|\n)*gt/a\.png(.|\n)*gt/c\.png(.|\n)*lq/b\.png"):
        check_sizes(gt, lq, pair_keys(gt, lq, 2), 2)


NAMES = [
    "a",
    "ab",
    "кот",
    "x4",
    "_x4",
    "HR",
    "_HR",
    "d/x4",
    "d/HR",
    "d/a",
    "d/e/кот",
    "baby_HR_x4",
    "img_SRF_4_HR",
    "HRHR",
]


def suffixed(names: list[str], end: str) -> list[str]:
    return sorted({*names, *(name + end for name in names)})


@pytest.mark.parametrize("naming", [*_usual_namings(4), ("{}", "{}-é"), ("{}", "small-{}")])
def test_a_million_names_are_matched_as_one_by_one(naming: tuple[str, str]) -> None:
    gt, lq = suffixed(NAMES, naming[0].strip("{}")), suffixed(NAMES[::-2], naming[1].removeprefix("{}"))
    lq += [_rename(key, *naming) or "none" for key in gt[::3]]
    gt, lq = (sorted({*keys, f"d/{name.removeprefix('{}')}"}) for keys, name in zip((gt, lq), naming, strict=True))
    places = {key: place for place, key in enumerate(lq)}
    expected = [places.get(_rename(key, *naming) or "", -1) for key in gt]
    assert _partners(gt, lq, naming).tolist() == expected == _partners(Texts.of(gt), Texts.of(lq), naming).tolist()
    assert max(expected) > 0 and min(expected) == -1
    for keys in ([], gt):
        assert list(_partners(Texts.of(keys), Texts.of([]), naming)) == [-1] * len(keys)


def test_equal_names_are_no_list_and_others_are_named(tmp_path: Path) -> None:
    keys = [f"{number:03d}" for number in range(60)]
    gt = LmdbStore(tiny_store(tmp_path / "gt.lmdb", keys, dict.fromkeys(keys[3:20], (4, 5)) | {"002": (8, 4)}))
    lq = LmdbStore(tiny_store(tmp_path / "lq.lmdb", keys))
    pairs = pair_keys(gt, lq, 2)
    assert pairs.gt is pairs.lq == range(60) and pairs[59] == ("059", "059") and list(pairs[3:5].lq_keys) == keys[3:5]
    with pytest.raises(DataError) as caught:
        check_sizes(gt, lq, pairs[:20], 2)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("20 of 20 pairs") and len(lines) == 13 and "17 of them have" in lines[-1]
    few = LmdbStore(tiny_store(tmp_path / "few.lmdb", [f"{key}x2" for key in keys[:-1]] + ["more"]))
    matching = match_keys(gt, few, 2)
    assert (
        list(matching.pairs) == [(key, f"{key}x2") for key in keys[:-1]] and infer_scale(gt, few, matching.pairs) == 1
    )
    assert [len(matching.lone), len(matching.strays)] == [1, 1]
    assert "059.png: no 059x2 in" in matching.lone[0] and "more.png: no GT" in matching.strays[0]
