"""convert_lmdb on a folder as people have them: sizes a pixel off, damaged files, copies, small images, and a split."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import srtoolbox
from srtoolbox.cli import main
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.stores import open_store
from srtoolbox.image import read_image, write_image
from srtoolbox.resize import imresize


@pytest.fixture
def own(photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`hr` and `lq` in the current folder: twelve GT of odd sizes, LQ at x4 as evaluation would cut."""
    for number in range(12):
        image = photo[7 * number : 7 * number + 81 + number % 3, 9 * number : 9 * number + 97 + number % 4]
        add_pair(tmp_path, f"im{number:02d}", image)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add_pair(folder: Path, name: str, image: np.ndarray) -> None:
    height, width = (side // 4 * 4 for side in image.shape[:2])
    write_image(folder / f"hr/{name}.png", np.ascontiguousarray(image))
    write_image(folder / f"lq/{name}x4.png", imresize(np.ascontiguousarray(image[:height, :width]), 1 / 4))


def convert(*words: str) -> int:
    return main(["convert_lmdb", *words])


def test_gt_a_pixel_off_is_cut_as_evaluation_does(own: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert("hr", "--lq", "lq", "-o", "out") == 2
    assert re.search(r"12 of 12 pairs do not fit(.|\n)*All of them(.|\n)*--cut", capsys.readouterr().err)
    assert convert("hr", "--lq", "lq", "-o", "out", "--cut") == 0
    assert "12 pairs at x4, names and sizes checked; 12 cut at the right or bottom" in capsys.readouterr().out
    stored = PairedDataset("out/gt.lmdb", "out/lq.lmdb", 4, gt_size=48)
    evaluated = PairedDataset("hr", "lq", 4)
    for index in range(12):
        for name in ("gt", "lq"):
            assert np.array_equal(stored[index][name], evaluated[index][name])
    write_image(own / "lq/im03x4.png", np.zeros((30, 24, 3), np.uint8))  # --cut takes no pair that evaluation does not
    assert convert("hr", "--lq", "lq", "-o", "other", "--cut") == 2
    assert re.search(r"1 of 12 pairs do not fit(.|\n)*im03\.png", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        convert("hr", "--scale", "4", "-o", "out", "--cut")
    assert "--cut goes with --lq" in capsys.readouterr().err


def test_a_split_makes_two_pairs_of_stores_that_stay_apart(own: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["hr", "--lq", "lq", "--cut", "--split", "0.6", "-o"]
    assert convert(*command, "out") == 0
    out = capsys.readouterr().out
    sides = {part: set(open_store(f"out/{part}/gt.lmdb").keys()) for part in ("train", "val")}
    assert f"split by name: {len(sides['train'])} for training, {len(sides['val'])} for validation" in out
    assert all(sides.values()) and sides["train"] | sides["val"] == {f"im{number:02d}" for number in range(12)}
    assert not sides["train"] & sides["val"] and sides["val"] == set(open_store("out/val/lq.lmdb").keys())
    for part in ("training", "validation"):
        (entry,) = re.findall(rf"in a config for {part}: dataset=dict\(type='PairedDataset', (.*)\)", out)
        dataset = PairedDataset(**eval(f"dict({entry})"))
        assert set(dataset.keys()) == sides["train" if part == "training" else "val"]
    for name in ("added", "also_added"):
        add_pair(own, name, read_image(own / "hr/im00.png")[::-1])
    assert convert(*command, "later") == 0
    assert sides["train"] <= set(open_store("later/train/gt.lmdb").keys())
    assert sides["val"] <= set(open_store("later/val/gt.lmdb").keys())


def test_a_split_of_single_images(own: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert("hr", "--split", "0.6", "-o", "out") == 0
    assert len(open_store("out/train.lmdb").keys()) + len(open_store("out/val.lmdb").keys()) == 12
    assert convert("hr", "--split", "0.6", "-o", "out.lmdb") == 2
    assert "--split makes two stores, so OUT is a folder for train.lmdb and val.lmdb" in capsys.readouterr().err
    assert convert("hr", "--split", "0.0001", "-o", "none") == 2
    assert re.search(r"leaves none of 12 images for training: .*any from 0\.\d+ to 0\.\d+", capsys.readouterr().err)
    assert not Path("none").exists()


def test_damaged_files_of_every_kind_are_named_in_one_round(own: Path, capsys: pytest.CaptureFixture) -> None:
    for name, size in (("hr/im01.png", 0), ("hr/im02.png", 4000), ("lq/im02x4.png", 300), ("lq/im03x4.png", 20)):
        data = (own / name).read_bytes()
        (own / name).write_bytes(data[:size])
    for name in ("hr/im05.png", "lq/im05x4.png"):  # whose sizes can be read
        data = bytearray((own / name).read_bytes())
        data[len(data) // 2] ^= 0xFF
        (own / name).write_bytes(data)
    damaged = {"hr/im01.png", "hr/im02.png", "hr/im05.png", "lq/im02x4.png", "lq/im03x4.png", "lq/im05x4.png"}
    for more in ([], ["--split", "0.6"]):
        assert convert("hr", "--lq", "lq", "--cut", "-o", f"out{len(more)}", *more) == 2
        captured = capsys.readouterr()
        assert set(re.findall(r"(?:hr|lq)/\w+\.png(?=: )", captured.err)) == damaged
        assert "6 images cannot be read" in captured.err and "All others are stored" in captured.err
    for number in (1, 2, 3, 5):
        add_pair(own, f"im{number:02d}", np.zeros((84, 100, 3), np.uint8) + np.uint8(number))
    assert convert("hr", "--lq", "lq", "--cut", "-o", "out0") == 0
    assert "12 images, 8 of them there already" in capsys.readouterr().out


def test_a_folder_in_which_nothing_can_be_read_is_one_error(own: Path, capsys: pytest.CaptureFixture) -> None:
    for file in (own / "hr").iterdir():
        file.write_bytes(b"")
    for words in (["hr"], ["hr", "--lq", "lq"], ["hr", "--lq", "lq", "--scale", "4"]):
        assert convert(*words, "-o", "out.lmdb" if len(words) == 1 else "out") == 2
        assert "12 images cannot be read" in capsys.readouterr().err


def test_copies_and_what_no_usual_crop_fits_are_told(own: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert("hr", "--lq", "lq", "--cut", "-o", "none") == 0
    out = capsys.readouterr().out
    assert "gt_size up to 80 px fits all of them (least: im00, 96x80)" in out and "192 px 12" in out
    assert "48 px" not in out and "identical" not in out
    shutil.copy("hr/im04.png", "hr/again.png")
    shutil.copy("lq/im04x4.png", "lq/againx4.png")
    add_pair(own, "small", read_image(own / "hr/im00.png")[:42, :50])
    assert convert("hr", "--lq", "lq", "--cut", "-o", "whole") == 0
    out = capsys.readouterr().out
    assert "gt_size up to 40 px fits all of them (least: small, 48x40); too small for 48 px 1" in out
    assert "note: 1 identical to others: again = im04\n" in out and "check_data" in out
    assert convert("hr", "--scale", "2", "--subimages", "32", "-o", "cut", "--small", "skip") == 0
    out = capsys.readouterr().out
    assert "gt_size up to" not in out and "1 identical to others: again = im04" in out


def test_a_copy_on_the_other_side_of_a_split_is_told(own: Path, capsys: pytest.CaptureFixture) -> None:
    assert convert("hr", "--split", "0.6", "-o", "first") == 0
    training, other = (open_store(f"first/{part}.lmdb").keys()[0] for part in ("train", "val"))
    shutil.copy(f"hr/{training}.png", f"hr/{other}.png")
    capsys.readouterr()
    assert convert("hr", "--split", "0.6", "-o", "second") == 0
    assert f"note: in training and in validation: {training} = {other}; remove one" in capsys.readouterr().out


def test_many_copies_of_one_image_are_counted_not_all_listed(own: Path, capsys: pytest.CaptureFixture) -> None:
    for number in range(30):
        shutil.copy("hr/im04.png", f"hr/copy{number:02d}.png")
    result = srtoolbox.convert("hr", "copies.lmdb")
    assert "note: 30 identical to others: copy00 = " in repr(result) and "copy09 = 21 more" in repr(result)
    assert repr(result.parts) == "[StoredPart('': copies.lmdb)]"
