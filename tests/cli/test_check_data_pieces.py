"""Data checked in pieces: the report made of them is that of one run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import srtoolbox
from srtoolbox.cli import main
from srtoolbox.data.audit import sets
from srtoolbox.image import read_image, write_image
from srtoolbox.image.pixels import compress_jpeg
from srtoolbox.resize import imresize
from tests import folders, processes


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """The arguments of a check with faults of each kind, of folders and an LMDB."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    images = {name: np.ascontiguousarray(getattr(skimage.data, name)()[:120, :180]) for name in names}
    hr, lr, test = (tmp_path / name for name in ("HR", "LR", "test"))
    for name, image in images.items():
        write_image(hr / f"{name}.png", image)
        write_image(lr / f"{name}x3.png", imresize(image, 1 / 3))
    write_image(hr / "again.png", images["rocket"])
    write_image(hr / "small.png", compress_jpeg(imresize(images["chelsea"], 1 / 2), 60))
    write_image(lr / "coffeex3.png", read_image(lr / "coffeex3.png")[:20])
    (hr / "astronaut.png").write_bytes((hr / "astronaut.png").read_bytes()[:9000])
    for name in ("b", "chz"):  # the piece of the second comes before that of the first
        (hr / f"{name}.png").write_bytes(b"no image")
    write_image(test / "cat.png", images["chelsea"][:, ::-1])
    srtoolbox.convert(test, tmp_path / "test.lmdb")
    return [str(hr), str(tmp_path / "nowhere"), "--lq", str(lr), str(lr), "--test", str(tmp_path / "test.lmdb")]


def check(capsys: pytest.CaptureFixture, file: Path, words: list[str], *options: str) -> tuple[int, str, str]:
    code = main(["check_data", *words, "--json", str(file), *options])
    return (code, *capsys.readouterr())


def test_three_pieces_give_the_report_of_one_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    code, out, _ = check(capsys, tmp_path / "whole.json", words)
    assert code == 1 and set(json.loads((tmp_path / "whole.json").read_text())["faults"]) == {
        *("stores", "damaged", "unpaired", "sizes", "identical", "alike", "leaks"),
    }
    codes, texts = [], []
    for number in (3, 1, 2):
        piece, printed, _ = check(capsys, tmp_path / "report.json", words, "--shard", f"{number}/3")
        codes.append(piece)
        texts.append(printed)
    assert codes == [1, 1, 1]  # nowhere is told by each
    assert sum("astronaut.png" in text for text in texts) == 1
    assert "piece 3 of 3: 4 images looked at: 2 faults" in texts[0] and not (tmp_path / "report.json").exists()
    assert check(capsys, tmp_path / "report.json", words, "--check-shards", "3")[:2] == (code, out)
    assert (tmp_path / "report.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_piece_goes_on_and_what_is_missing_is_told(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "report.json", []
    hash_image = sets.hash_image

    def stopping(image: np.ndarray) -> object:
        seen.append(image)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return hash_image(image)

    with monkeypatch.context() as patch:
        patch.setattr(sets, "hash_image", stopping)
        assert check(capsys, file, [*words, "--workers", "1"], "--shard", "1/2")[0] == 130
    kept = len((tmp_path / "report.json.pieces/piece-1.jsonl").read_text().splitlines())
    assert 0 < kept < 7
    code, _, told = check(capsys, file, words, "--check-shards", "2")
    assert code == 2 and "2 of 2 pieces not done:" in told and not file.exists()
    assert f"piece 1 of 2 has stopped: {kept} of 7 images done; run --shard 1/2" in told
    assert "piece 2 of 2 has not begun: 0 of 6 images done; run --shard 2/2" in told
    out = check(capsys, file, words, "--shard", "1/2")[1]
    assert "7 images looked at, " in out and "of them before" in out
    check(capsys, file, words, "--shard", "2/2")
    (tmp_path / "report.json.pieces/piece-2.jsonl").unlink()
    told = check(capsys, file, words, "--check-shards", "2")[2]
    assert "1 of 2 pieces not done:" in told and "run --shard 2/2" in told
    check(capsys, file, words, "--shard", "2/2")
    again = check(capsys, file, words, "--check-shards", "2")
    assert again[:2] == check(capsys, tmp_path / "whole.json", words)[:2]


def test_a_store_is_what_is_in_it_whatever_it_is_called(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stores = ("HR", "LR", "test.lmdb")
    renamed = [dict(zip(stores, names, strict=True)) for names in zip(*map(folders.other_names, stores), strict=True)]
    short = [str(Path(word).name) if word.startswith(str(tmp_path)) else word for word in words]
    ways = [short, *([names.get(word, word) for word in short] for names in renamed)]
    for number, way in enumerate(ways, 1):
        check(capsys, tmp_path / "report.json", way, "--shard", f"{number}/{len(ways)}")
    expected = check(capsys, tmp_path / "whole.json", words)
    assert check(capsys, tmp_path / "report.json", words, "--check-shards", str(len(ways)))[:2] == expected[:2]
    assert (tmp_path / "report.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_what_differs_between_pieces_is_told(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "report.json"
    check(capsys, file, words, "--shard", "1/2")
    code, _, told = check(capsys, file, words, "--shard", "2/3")
    assert code == 2 and "report.json.pieces: of 2 pieces, not of 3: give --shard I/2" in told
    write_image(tmp_path / "HR/new.png", read_image(tmp_path / "HR/rocket.png"))
    for option in (("--shard", "2/2"), ("--check-shards", "2")):
        told = check(capsys, file, words, *option)[2]
        assert "the images have changed since its pieces were begun" in told and "store 1: new.png came" in told
    (tmp_path / "HR/new.png").unlink()
    srtoolbox.convert(tmp_path / "LR", tmp_path / "test.lmdb", overwrite=True)
    assert "store 3 changed" in check(capsys, file, words, "--shard", "2/2")[2]


def test_pieces_need_a_place_for_their_record(words: list[str], capsys: pytest.CaptureFixture) -> None:
    for options in (("--shard", "1/2"), ("--check-shards", "2")):
        with pytest.raises(SystemExit):
            main(["check_data", *words, *options])
        assert "pieces need --json FILE, beside which they keep their record" in capsys.readouterr().err
    for text, told in (("0/2", "there is no piece 0"), ("3-8", "--shard is I/N, such as 3/8")):
        with pytest.raises(SystemExit):
            main(["check_data", *words, "--shard", text, "--json", "x.json"])
        assert told in capsys.readouterr().err


def test_processes_at_once(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["check_data", *words, "--json", str(tmp_path / "report.json")]
    processes.run_pieces(*command, code=1)
    expected = check(capsys, tmp_path / "whole.json", words)
    assert check(capsys, tmp_path / "report.json", words, "--check-shards", "3")[:2] == expected[:2]
