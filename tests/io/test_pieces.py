"""The record by which pieces of bulk work know each other."""

import threading
from pathlib import Path

import pytest

from srtoolbox.errors import OptionError, PieceError, WriteError
from srtoolbox.io.pieces import Pieces, Shard, check_shard_options, shard_of, stamp_of

ITEMS = {name: [1, 2] for name in "abcdefg"}


def record(folder: Path, count: int = 3, /, **changes: list[int] | None) -> Pieces:
    items: dict[str, list[int] | None] = {**ITEMS, **changes}
    return Pieces(folder / ".pieces", count, {"ext": "png"}, {name: stamp for name, stamp in items.items() if stamp})


def names(shard: Shard) -> list[str]:
    return shard.take(list(ITEMS))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("0/3", r"^shard 0/3: pieces are counted from 1 to 3, there is no piece 0$"),
        ("4/3", r"^shard 4/3: pieces are counted from 1 to 3, there is no piece 4$"),
        ("1/0", r"^shard 1/0: there is at least one piece: N, behind the slash, is 1 or more$"),
        ("3-8", r"^shard is I/N, such as 3/8 for the third of eight pieces, got '3-8'$"),
        ("-1/3", "I/N"),
        ("1/2/3", "I/N"),
        ("", "I/N"),
        ((0, 3), r"^shard 0/3: pieces are counted from 1"),
        ((1, 2, 3), "I/N"),
    ],
)
def test_a_shard_that_is_none(value: str | tuple[int, ...], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        shard_of(value)


def test_shards_share_all_items() -> None:
    shards = [shard_of((number, 3)) for number in (1, 2, 3)]
    assert shard_of("2/3") == shards[1] and str(shards[1]) == "piece 2 of 3"
    assert sorted(name for shard in shards for name in names(shard)) == list(ITEMS)
    assert [len(names(shard)) for shard in shards] == [3, 2, 2]


def test_a_check_goes_with_no_shard() -> None:
    for options in (("1/3", 3), (None, 0)):
        with pytest.raises(OptionError, match="check-shards"):
            check_shard_options(*options)
    check_shard_options(None, 3)
    check_shard_options("1/3", None)


def test_a_piece_goes_on_behind_its_last_line(tmp_path: Path) -> None:
    with record(tmp_path).begin(Shard(1, 3)) as journal:
        assert journal.entries == {}
        journal.add("a", {"done": 1})
        journal.add("d\udcff", None)  # no name in UTF-8
    with open(tmp_path / ".pieces/piece-1.jsonl", "ab") as file:
        file.write(b'["g",{"do')  # what a power loss leaves
    with record(tmp_path).begin(Shard(1, 3)) as journal:
        assert journal.entries == {"a": {"done": 1}, "d\udcff": None}
        journal.add("g", 3)
        journal.add("a", 2)
    assert record(tmp_path).entries() == {"a": 2, "d\udcff": None, "g": 3}


def test_what_differs_is_told(tmp_path: Path) -> None:
    with record(tmp_path).begin(Shard(1, 3)):
        pass
    for other, sentence in (
        (
            record(tmp_path, 4),
            "of 3 pieces, not of 4: give --shard I/3, or remove .*.pieces and run all pieces again",
        ),
        (record(tmp_path, h=[1, 2]), "the images have changed since its pieces were begun: h came: all pieces take"),
        (record(tmp_path, a=None), "begun: a went: "),
        (record(tmp_path, a=None, b=[1, 3], h=[0, 0]), "begun: h came; a went; b changed: "),
        (record(tmp_path, **{f"n{k}": [1, 1] for k in range(9)}), "n0, n1, n2, n3, n4 and 4 more came"),
        (Pieces(tmp_path / ".pieces", 3, {"ext": "png"}, dict(reversed(ITEMS.items()))), "their order is another one"),
        (Pieces(tmp_path / ".pieces", 3, {"ext": None}, ITEMS), "begun with ext png, this call has none: all pieces"),
    ):
        with pytest.raises(PieceError, match=sentence), other.begin(Shard(2, other.count)):
            pass
        with pytest.raises(PieceError, match=sentence):
            other.check()
    with record(tmp_path).begin(Shard(2, 3)):  # none of these was kept
        pass


def test_one_process_does_a_piece(tmp_path: Path) -> None:
    with record(tmp_path).begin(Shard(1, 3)), record(tmp_path).begin(Shard(2, 3)):
        again = record(tmp_path).begin(Shard(1, 3))
        with pytest.raises(PieceError, match="piece 1 of 3 is being done by another process"), again:
            pass
    assert not list(tmp_path.rglob("*.lock"))


def test_pieces_that_begin_at_once_agree(tmp_path: Path) -> None:
    faults: list[Exception] = []
    ready = threading.Barrier(8)

    def work(number: int) -> None:
        ready.wait()
        try:
            with record(tmp_path, 8).begin(Shard(number, 8)) as journal:
                journal.add(str(number), None)
        except Exception as error:  # told below
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and sorted(record(tmp_path, 8).entries()) == list("12345678")


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match=r"file.*\.pieces: cannot be written \(Not a directory\)"):
        record(tmp_path / "file").begin(Shard(1, 3)).__enter__()
    (tmp_path / ".pieces/list.lock").mkdir(parents=True)
    # as Linux says, and as Windows
    with pytest.raises(WriteError, match=r"list\.lock: cannot be written \((Is a directory|Permission denied)"):
        record(tmp_path).begin(Shard(1, 3)).__enter__()


def test_what_is_left_to_do(tmp_path: Path) -> None:
    pieces = record(tmp_path)
    with pytest.raises(PieceError, match="no pieces have been begun: run them first, from --shard 1/3"):
        pieces.check()
    with pieces.begin(Shard(1, 3)) as journal:
        for name in names(Shard(1, 3)):
            journal.add(name, None)
    with pieces.begin(Shard(2, 3)) as journal:
        journal.add("b", None)
        assert pieces.unfinished(names)[0] == "piece 2 of 3 is at work: 1 of 2 images done"
    pieces.check()
    assert pieces.unfinished(names) == [
        "piece 2 of 3 has stopped: 1 of 2 images done; run --shard 2/3",
        "piece 3 of 3 has not begun: 0 of 2 images done; run --shard 3/3",
    ]
    pieces.remove()
    assert not (tmp_path / ".pieces").exists()


def test_the_stamp_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    stamp = stamp_of(tmp_path / "a")
    assert stamp is not None and stamp[0] == 2 and stamp_of(tmp_path / "b") is None
