"""The command that converts folders to LMDB."""

import contextlib
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from srtoolbox import cli
from srtoolbox.cli.convert_lmdb import build_parser, main
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.prepare import write as conversion
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.lmdb_writer import LmdbWriter
from srtoolbox.errors import DataError
from srtoolbox.image import read_image, write_image
from srtoolbox.resize import imresize
from tests import processes
from tests.data.stores import to_version_1


@pytest.fixture
def pairs(photo_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """GT of 60 x 72 and LQ at x4 as DIV2K names it."""
    gt, lq = tmp_path / "HR", tmp_path / "LR_bicubic/X4"
    for file in sorted(photo_folder.iterdir()):
        image = read_image(file)
        write_image(gt / file.name, image)
        write_image(lq / f"{file.stem}x4.png", imresize(image, 1 / 4))
    return gt, lq


def test_one_folder(photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(photo_folder), "-o", str(tmp_path / "s.lmdb")]) == 0
    store, files = open_store(tmp_path / "s.lmdb"), open_store(photo_folder)
    assert list(store.keys()) == list(files.keys())
    assert all(np.array_equal(store.read(key), files.read(key)) for key in list(files.keys()))
    out = capsys.readouterr().out
    assert "s.lmdb: 6 images, 0.1 MB" in out and "done in" in out


def test_given_pairs(pairs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(pairs[0]), "--lq", str(pairs[1]), "-o", str(tmp_path / "x4")]) == 0
    assert "6 pairs at x4, names and sizes checked" in capsys.readouterr().out
    outputs = (tmp_path / "x4/gt.lmdb", tmp_path / "x4/lq.lmdb")
    stores, folders = (PairedDataset(*map(str, paths), 4) for paths in (outputs, pairs))
    assert stores.keys() == folders.keys() == list(open_store(tmp_path / "x4/lq.lmdb").keys())
    for index in range(6):
        assert np.array_equal(stores[index]["lq"], folders[index]["lq"])
        assert np.array_equal(stores[index]["gt"], folders[index]["gt"])


def test_made_pairs_and_a_second_run(photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [str(photo_folder), "--scale", "7", "-o", str(tmp_path / "x7")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "6 images, LQ made at x7; 6 cut at the right or bottom to multiples of 7 px" in first
    assert "type='PairedDataset'" in first
    assert main(command) == 0
    assert "6 images, 6 of them there already" in capsys.readouterr().out
    assert main([*command, "--overwrite"]) == 0
    assert "already" not in capsys.readouterr().out
    sample = PairedDataset(str(tmp_path / "x7/gt.lmdb"), str(tmp_path / "x7/lq.lmdb"), 7, gt_size=56)[0]
    assert sample["gt"].shape == (56, 70, 3) and sample["lq"].shape == (8, 10, 3)
    with pytest.raises(DataError, match="this process is reading it"):
        main(command)


def test_sub_images(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    options = ["--subimages", "32", "--step", "16", "--encoding", "png", "--workers", "1"]
    assert main([str(pairs[0]), "--lq", str(pairs[1]), "-o", str(tmp_path / "x4"), *options]) == 0
    dataset = PairedDataset(str(tmp_path / "x4/gt.lmdb"), str(tmp_path / "x4/lq.lmdb"), 4, gt_size=32)
    assert len(dataset) == 6 * 3 * 4 and dataset.keys()[0] == "cat0_s001"


@pytest.fixture
def mixed(photo: np.ndarray, tmp_path: Path) -> Path:
    """Two images of 40 x 50 and one of 20 x 45."""
    for name, height, width in (("a", 40, 50), ("b_s001", 20, 45), ("b", 40, 50)):
        write_image(tmp_path / f"mixed/{name}.png", photo[:height, :width])
    return tmp_path / "mixed"


def test_images_too_small_are_told_with_the_files_own_sizes(mixed: Path, tmp_path: Path) -> None:
    command = [str(mixed), "-o", str(tmp_path / "x"), "--scale"]
    with pytest.raises(DataError, match=r"3 of 3 images too small for the scale 300:(.|\n)*a\.png: 50x40\n") as caught:
        main([*command, "300"])
    assert "whole" not in str(caught.value)
    with pytest.raises(DataError, match=r"1 of 3 images too small for a sub-image of 24(.|\n)*: 45x20\n(.|\n)*--small"):
        main([*command, "3", "--subimages", "24"])


def test_small_images_are_left_out_or_stored_whole(mixed: Path, tmp_path: Path, capsys) -> None:
    command = [str(mixed), "--scale", "3", "--subimages", "24", "--small"]
    assert main([*command, "skip", "-o", str(tmp_path / "skip")]) == 0
    assert "1 too small and left out" in capsys.readouterr().out
    kept = open_store(tmp_path / "skip/gt.lmdb")
    assert {kept.shape(key) for key in list(kept.keys())} == {(24, 24, 3)}
    assert {key.rpartition("_")[0] for key in list(kept.keys())} == {"a", "b"}
    assert main([*command, "whole", "-o", str(tmp_path / "whole")]) == 0
    assert "left out" not in capsys.readouterr().out
    gt, lq = open_store(tmp_path / "whole/gt.lmdb"), open_store(tmp_path / "whole/lq.lmdb")
    assert set(gt.keys()) - set(kept.keys()) == {"b_s001_s001"}
    assert np.array_equal(gt.read("b_s001_s001"), read_image(mixed / "b_s001.png")[:18, :45])
    assert lq.shape("b_s001_s001") == (6, 15, 3)


def test_all_bad_pairs_at_once_and_nothing_written(pairs: tuple[Path, Path], tmp_path: Path) -> None:
    gt, lq = pairs
    command = [str(gt), "--lq", str(lq), "-o", str(tmp_path / "x4")]
    for name, size in (("cat0x4.png", (14, 18)), ("woman2x4.png", (15, 19))):
        write_image(lq / name, np.zeros((*size, 3), np.uint8))
    with pytest.raises(DataError, match=r"2 of 6 pairs(.|\n)*cat0\.png: 72x60(.|\n)*woman2\.png(.|\n)*--scale 4"):
        main(command)
    os.remove(lq / "cat1x4.png")
    os.remove(gt / "woman1.png")
    with pytest.raises(DataError, match=r"2 images have no partner(.|\n)*cat1\.png(.|\n)*woman1x4\.png"):
        main(command)
    with pytest.raises(DataError, match=r"--lq-name '\{\}x4'"):
        main(command)
    assert not (tmp_path / "x4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x4"], "ends in .lmdb"),
        (["-o", "x4.lmdb", "--scale", "4"], "leave the .lmdb off"),
        (["-o", "x4", "--scale", "0"], "scale"),
        (["-o", "x4", "--scale", "100"], "too small"),
    ],
)
def test_wrong_arguments(photo_folder: Path, tmp_path: Path, monkeypatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        main([str(photo_folder), *arguments])
    assert not any(tmp_path.iterdir())


def test_stores_of_an_earlier_version_get_their_index(photo_folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(photo_folder), "-o", "s.lmdb"]) == 0
    for number in (1, 2):
        assert main([str(photo_folder), "-o", "many.lmdb", "--shard", f"{number}/2"]) == 0
    expected = _pixels("s.lmdb")
    for path in ("s.lmdb", "many.lmdb/many-00000.lmdb", "many.lmdb/many-00001.lmdb"):
        to_version_1(Path(path))
    capsys.readouterr()
    assert main(["s.lmdb", "--index"]) == main(["many.lmdb/many-00001.lmdb", "--index"]) == 0
    assert main(["many.lmdb", "--index"]) == main(["many.lmdb", "--index"]) == 0
    written, there = "its index is written", "has its index already"
    said = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == [written, written, written, there, there, there]
    assert _pixels("s.lmdb") == _pixels("many.lmdb") == expected
    for arguments, message in ((["--index", "-o", "x"], "no other option"), ([], "required: -o/--out")):
        with pytest.raises(SystemExit):
            main(["s.lmdb", *arguments])
        assert message in capsys.readouterr().err
    with pytest.raises(DataError, match="no such LMDB"):
        main([str(photo_folder), "--index"])


def _pixels(path: str) -> list[tuple[str, list[int]]]:
    with contextlib.closing(open_store(path)) as store:
        return [(key, store.read(key).ravel().tolist()) for key in list(store.keys())]


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        main([str(tmp_path / "none"), "-o", str(tmp_path / "s.lmdb")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        main([str(tmp_path / "empty"), "-o", str(tmp_path / "s.lmdb")])


def interrupted(arguments: list[str]) -> int:
    """Send itself Ctrl-C when the store gets its second part: from outside it would come late on a busy machine."""
    conversion.COMMIT_BYTES = 2_000_000
    add, calls = LmdbWriter.add, []

    def interrupting(self: LmdbWriter, values: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return add(self, values)

    LmdbWriter.add = interrupting
    return cli.main(["convert_lmdb", *arguments])


def test_control_c_leaves_a_store_that_can_be_completed(photo: np.ndarray, tmp_path: Path) -> None:
    for number in range(30):
        write_image(tmp_path / f"in/{number}.png", photo)
    arguments = [str(tmp_path / "in"), "-o", str(tmp_path / "s.lmdb"), "--workers", "1"]
    done = processes.run(lambda: interrupted(arguments))
    assert done.returncode == 130 and "run the same command again" in done.stdout, (done.stdout, done.stderr)
    with pytest.raises(DataError):
        open_store(tmp_path / "s.lmdb")
    assert main(arguments) == 0
    assert len(open_store(tmp_path / "s.lmdb").keys()) == 30


def test_help_shows_commands_that_work(pairs: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    """Each example of the help runs once its folders are there."""
    examples = [line.split() for line in build_parser().epilog.splitlines() if "convert_lmdb.py" in line]
    assert len(examples) == 5
    work = tmp_path / "work"
    monkeypatch.chdir(tmp_path)
    for words in examples:
        words = [word.replace("datasets/", f"{work}/") for word in words[2:]]
        for place, word in enumerate(words):
            if place == 0 or words[place - 1] == "--lq":
                Path(word).parent.mkdir(parents=True, exist_ok=True)
                if not Path(word).exists():
                    Path(word).symlink_to(pairs[1] if words[place - 1] == "--lq" and place else pairs[0])
        assert main(words) == 0
