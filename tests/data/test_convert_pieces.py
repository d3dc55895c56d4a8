"""A conversion in pieces: together they make the stores of one run, whatever comes between."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srtoolbox
from srtoolbox.cli import main
from srtoolbox.data.prepare import pieces
from srtoolbox.data.prepare.write import DamagedImagesError
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.lmdb_writer import LmdbWriter
from srtoolbox.data.stores.sharded import ShardedStore
from srtoolbox.errors import DataError, OptionError, PieceError
from srtoolbox.image import read_image, write_image
from tests import folders, processes


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    for number in range(12):
        write_image(tmp_path / f"in/{number:02}.png", photo[number : number + 24, : 30 + number])
    return tmp_path / "in"


def contents(path: Path) -> tuple[str, dict[str, tuple[Any, bytes]]]:
    store = LmdbStore(path)
    held = {key: (store.entry(key), bytes(store.value(key))) for key in list(store.keys())}
    digest = store.digest()
    store.close()
    return digest, held


OPTIONS: list[dict[str, Any]] = [
    {},
    {"scale": 3},
    {"scale": 2, "split": 0.5, "subimages": 8, "encoding": "png"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_three_pieces_are_one_run(folder: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    name = "s" if options else "s.lmdb"
    whole = srtoolbox.convert(folder, tmp_path / "whole" / name, **options)
    lines: list[str] = []
    parts = [
        srtoolbox.convert(folder, tmp_path / name, shard=(number, 3), note=lines.append, **options)
        for number in (2, 3, 1)
    ]
    images = [sum(stored.stores[0].images for stored in part.parts) for part in parts]
    assert sum(images) == sum(part.stores[0].images for part in whole.parts)
    assert lines[-1] == "piece 1 of 3 is done; when all are done, --check-shards 3 says so"
    checked = srtoolbox.convert(folder, tmp_path / name, check_shards=3, **options)
    for part, expected in zip(checked.parts, whole.parts, strict=True):
        for store, other in zip(part.stores, expected.stores, strict=True):
            assert (store.images, store.hashes, store.shards) == (other.images, other.hashes, 3)
    assert "in 3 shards, " in checked.report()[0]
    for store in (store for part in whole.parts for store in part.stores):
        place = Path(store.path).relative_to(tmp_path / "whole")
        with contextlib.closing(open_store(tmp_path / place)) as many, contextlib.closing(LmdbStore(store.path)) as one:
            assert isinstance(many, ShardedStore) and many.keys() == one.keys()  # before they are joined, too
            assert all(np.array_equal(many.read(key), one.read(key)) for key in list(one.keys()))
    for _ in range(2):  # the second time it is there already
        joined = srtoolbox.convert(folder, tmp_path / name, **options)
        for part, expected in zip(joined.parts, whole.parts, strict=True):
            assert (part.name, part.plan.jobs) == (expected.name, expected.plan.jobs)
            for store, other in zip(part.stores, expected.stores, strict=True):
                assert (store.images, store.digest, store.hashes) == (other.images, other.digest, other.hashes)
                assert contents(Path(store.path)) == contents(Path(other.path))
    assert sorted(path.parent.name for path in tmp_path.rglob("data.mdb")) == sorted(
        2 * [Path(store.path).name for part in whole.parts for store in part.stores]
    )
    assert not list(tmp_path.rglob(".pieces"))
    for again in ({"shard": (1, 3)}, {"check_shards": 3}):
        with pytest.raises(
            PieceError, match=r"is one LMDB already, .*\. Use it as it is, choose another name, or remove"
        ):
            srtoolbox.convert(folder, tmp_path / name, **again, **options)


def test_an_image_stays_in_its_piece_when_others_come_and_go(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.lmdb"

    def keys() -> list[list[str]]:
        parts = [srtoolbox.convert(folder, out, shard=(number, 2), overwrite=True).parts[0] for number in (1, 2)]
        return [part.plan.keys() for part in parts]

    before = keys()
    assert all(before)
    (folder / "03.png").unlink()
    with pytest.raises(PieceError, match=r"have changed since its pieces were begun: .*/03\.png went: all pieces"):
        keys()
    (out / ".pieces/pieces.json").unlink()
    assert keys() == [[key for key in part if key != "03"] for part in before]


def test_each_image_is_dealt_out_once_for_all_pieces(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        srtoolbox.convert(folder, tmp_path / "s.lmdb", shard=(number, 3))
    names: list[str] = []
    number_of = pieces._number_of

    def counted(key: str, count: int) -> int:
        names.append(key)
        return number_of(key, count)

    monkeypatch.setattr(pieces, "_number_of", counted)
    srtoolbox.convert(folder, tmp_path / "s.lmdb", check_shards=3)
    assert sorted(names) == sorted(2 * [f"{number:02}" for number in range(12)])  # and once for the summary


def test_a_piece_goes_on_and_what_is_missing_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = ["convert_lmdb", str(folder), "-o", str(tmp_path / "s.lmdb"), "--workers", "1"]
    monkeypatch.setattr("srtoolbox.data.prepare.write.COMMIT_BYTES", 1)
    add = LmdbWriter.add

    def stopping(self: LmdbWriter, values: list) -> None:
        if self.records:
            raise KeyboardInterrupt
        add(self, values)

    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "add", stopping)
        assert main([*command, "--shard", "1/3"]) == 130
    assert main([*command, "--shard", "2/3"]) == 0
    capsys.readouterr()
    assert main([*command, "--check-shards", "3"]) == 2
    told = capsys.readouterr().err
    assert main(command) == 2 and capsys.readouterr().err == told
    assert "2 of 3 pieces not done:" in told and "piece 3 of 3 has not begun: run --shard 3/3" in told
    assert "piece 1 of 3: " in told and "s-00000.lmdb: an unfinished conversion" in told and "piece 2" not in told
    assert main([*command, "--shard", "1/3"]) == 0
    assert ", 1 of them there already" in capsys.readouterr().out
    assert main([*command, "--shard", "3/3"]) == 0
    assert main([*command, "--check-shards", "3"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "add", stopping)
        assert main(command) == 130
    assert main(command) == 0
    assert "12 images, 1 of them there already" in capsys.readouterr().out
    srtoolbox.convert(folder, tmp_path / "whole.lmdb")
    assert contents(tmp_path / "s.lmdb") == contents(tmp_path / "whole.lmdb")


@pytest.mark.parametrize("bytes_left", [40, -300])  # of the head, of the pixels
def test_a_damaged_image_is_replaced(folder: Path, tmp_path: Path, bytes_left: int) -> None:
    data, out = (folder / "05.png").read_bytes(), tmp_path / "s.lmdb"
    (folder / "05.png").write_bytes(data[:bytes_left])
    failed = 0
    for number in (1, 2):
        try:
            srtoolbox.convert(folder, out, shard=(number, 2))
        except DamagedImagesError as error:
            failed += 1
            assert len(error.images) == 1
    assert failed == 1
    (folder / "05.png").write_bytes(data)
    with pytest.raises(PieceError, match=r"05\.png changed: .* or remove .*\.pieces and run all pieces again"):
        srtoolbox.convert(folder, out, shard=(1, 2))
    for file in (out / ".pieces").iterdir():
        file.unlink()
    reused = [srtoolbox.convert(folder, out, shard=(number, 2)).parts[0].stores[0].reused for number in (1, 2)]
    assert sum(reused) == 11  # all but the damaged one
    assert srtoolbox.convert(folder, out, check_shards=2).parts[0].stores[0].images == 12
    assert np.array_equal(srtoolbox.open_store(out).read("05"), read_image(folder / "05.png"))


def test_a_store_of_earlier_images_is_no_piece(folder: Path, tmp_path: Path, photo: np.ndarray) -> None:
    out = tmp_path / "s.lmdb"
    for number in (1, 2):
        srtoolbox.convert(folder, out, shard=(number, 2))
    write_image(folder / "05.png", photo[:24, :35])
    for file in (out / ".pieces").iterdir():
        file.unlink()
    changed = 0
    for number in (1, 2):
        try:
            srtoolbox.convert(folder, out, shard=(number, 2))
        except DataError as error:
            changed += "1 image has changed since" in str(error)
    assert changed == 1
    with pytest.raises(PieceError, match=r"holds images as they were before: run --shard ./2 --overwrite"):
        srtoolbox.convert(folder, out, check_shards=2)


def test_what_differs_between_pieces_is_told(folder: Path, tmp_path: Path) -> None:
    srtoolbox.convert(folder, tmp_path / "s", scale=3, shard=(1, 3))
    differences: tuple[tuple[dict[str, Any], str], ...] = (
        ({"scale": 3, "shard": (2, 4)}, "of 3 pieces, not of 4: give --shard I/3"),
        ({"scale": 2, "shard": (2, 3)}, "with scale 3, this call has 2"),
        ({"scale": 3, "shard": (2, 3), "encoding": "png"}, "with encoding raw, this call has png"),
        ({"scale": 3, "shard": (2, 3), "split": 0.5}, "with split none, this call has 0.5"),
        ({"scale": 3, "check_shards": 2}, "of 3 pieces, not of 2"),
    )
    for options, words in differences:
        with pytest.raises(PieceError, match=words):
            srtoolbox.convert(folder, tmp_path / "s", **options)
    with pytest.raises(PieceError, match="no pieces have been begun: run them first, from --shard 1/3"):
        srtoolbox.convert(folder, tmp_path / "other", scale=3, check_shards=3)
    with pytest.raises(OptionError, match="there is no piece 0"):
        srtoolbox.convert(folder, tmp_path / "s", scale=3, shard=(0, 3))


def test_a_folder_is_what_is_in_it_whatever_it_is_called(
    folder: Path, tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        write_image(tmp_path / f"lq/{number:02}x2.png", photo[number : number + 12, : (30 + number) // 2])
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"scale": 2, "cut": True}
    ways = [("in", "./lq/"), (str(folder), "lq"), *zip(*map(folders.other_names, ("in", "lq")), strict=True)]
    for number, (gt, lq) in enumerate(ways, 1):
        srtoolbox.convert(gt, "s", lq=lq, shard=(number, len(ways)), **options)
    checked = srtoolbox.convert("./in", tmp_path / "s", lq="lq", check_shards=len(ways), **options)
    whole = srtoolbox.convert("in", "whole", lq="lq", **options)
    for store, other in zip(checked.parts[0].stores, whole.parts[0].stores, strict=True):
        assert store.hashes == other.hashes
    with pytest.raises(PieceError, match="with lq True, this call has False"):
        srtoolbox.convert("in", "s", scale=2, shard=(1, len(ways)))


def test_a_lost_or_damaged_shard_is_named_by_its_piece(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.lmdb"
    for number in (1, 2, 3):
        srtoolbox.convert(folder, out, shard=(number, 3))
    data = out / "s-00001.lmdb/data.mdb"
    with contextlib.closing(LmdbStore(data.parent)) as store:
        value = bytes(store.value(store.keys()[0]))
    whole = data.read_bytes()
    data.write_bytes(whole.replace(value, bytes(len(value))))
    told = r"damaged: not what .*: remove .*s\.lmdb.data\.mdb, which is not finished, and run --shard 2/3 --overwrite$"
    with pytest.raises(DataError, match=told):
        srtoolbox.convert(folder, out)
    (out / "data.mdb").unlink()
    data.write_bytes(whole[:-4096])
    with pytest.raises(PieceError, match=r"piece 2 of 3: .* cut short: .* \(--shard 2/3\)$"):
        srtoolbox.convert(folder, out, check_shards=3)
    data.unlink()
    with pytest.raises(PieceError, match=r"1 of 3 pieces not done:\n  piece 2 of 3 has not begun: run --shard 2/3$"):
        srtoolbox.convert(folder, out, check_shards=3)
    srtoolbox.convert(folder, out, shard=(2, 3))
    assert srtoolbox.convert(folder, out).parts[0].stores[0].images == 12


def test_more_pieces_than_images(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir())[2:]:
        path.unlink()
    for number in range(1, 6):
        srtoolbox.convert(folder, tmp_path / "s.lmdb", shard=(number, 5))
    assert srtoolbox.convert(folder, tmp_path / "s.lmdb", check_shards=5).parts[0].stores[0].images == 2


def test_processes_at_once_and_one_that_is_killed(folder: Path, tmp_path: Path) -> None:
    command = ["convert_lmdb", str(folder), "-o", str(tmp_path / "s.lmdb")]
    processes.run_pieces_after_a_kill(*command, has_begun=(tmp_path / "s.lmdb/s-00000.lmdb").exists)
    check = processes.start(*command, "--check-shards", "3")
    assert "s.lmdb: 12 images in 3 shards" in check.communicate()[0] and check.returncode == 0
    srtoolbox.convert(folder, tmp_path / "s.lmdb")
    srtoolbox.convert(folder, tmp_path / "whole.lmdb")
    assert contents(tmp_path / "s.lmdb") == contents(tmp_path / "whole.lmdb")
