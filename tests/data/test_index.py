"""The index of a store: a sequence of names that is no list, columns that are mapped, earlier versions."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
from pathlib import Path

import lmdb
import numpy as np
import pytest

from srtoolbox.data.stores.index import Names, Texts
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.lmdb_writer import LOCK_NAME, LmdbWriter, write_index
from srtoolbox.errors import DataError, MissingDataError
from srtoolbox.system import FileLock
from tests.data.stores import tiny_store, to_version_1

WORDS = sorted(["a", "a/b", "кот ねこ", "x" * 511, "ab", "é", "", "z/0001x4", "0001"])
MANY = [f"folder {number % 7}/{number:05d}" for number in range(1000)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("made") / "s.lmdb", MANY, sizes={MANY[5]: (7, 3)})


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "s.lmdb"))


@pytest.mark.parametrize("names", [Texts.of(WORDS), Names(len(WORDS), WORDS.__getitem__)], ids=["texts", "names"])
def test_names_are_as_a_list(names: Names) -> None:
    assert list(names) == WORDS and names == WORDS and names == names[:] and len(names) == len(WORDS)
    assert names != WORDS[1:] and names != [*WORDS[:-1], "b"] and names != "a"
    for part in (slice(2, 5), slice(None, 3), slice(4, 2), slice(None, None, -1), slice(1, None, 3), slice(20)):
        assert list(names[part]) == WORDS[part] == [*names[part]] and names[part] == WORDS[part]
    assert [names[place] for place in range(-9, 9)] == WORDS * 2
    assert "ab" in names and "b" not in names and names.index("é") == WORDS.index("é")
    for place in (-10, 9):
        with pytest.raises(IndexError):
            names[place]


def test_texts_are_found_where_they_are_and_compared_by_their_bytes() -> None:
    texts = Texts.of(WORDS)
    assert [texts.find(word) for word in WORDS] == list(range(len(WORDS)))
    assert [texts.find(word) for word in ("b", "zzz", "0", "é ")] == [None] * 4
    assert texts[2:6].find(WORDS[3]) == 1 and texts[2:6].find(WORDS[0]) is None
    assert texts == Texts.of(WORDS) != Texts.of([*WORDS[:-1], "zz"])
    assert (
        texts[2:6] == Texts.of(WORDS[2:6])
        and texts[:3] == Texts.of(WORDS[:3])
        and Texts.of([]) == []
        and Texts.of(["", "a"]) != Texts.of(["a", ""])
    )
    assert pickle.loads(pickle.dumps(texts[2:6])) == WORDS[2:6]
    rows, lengths = texts.padded()
    assert [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)] == WORDS
    assert rows.shape == (9, 511) and rows[0, 1:].sum() == 0


def test_the_index_is_a_map_of_its_own_that_outlives_the_store(store: Path) -> None:
    opened = LmdbStore(store)
    assert opened._contents.map and not opened._contents.images.heights.flags.writeable
    keys = opened.keys()
    opened.rest()
    assert opened.read_at(999).shape == (2, 2, 3)
    opened.close()
    assert keys == sorted(MANY)
    other = LmdbStore(tiny_store(store.parent / "few.lmdb", ["b", "a"]))
    assert not other._contents.map and other.keys() == ["a", "b"]


def _all_of(store: LmdbStore) -> list[object]:
    return [(key, store.shape(key), int(store.read(key).sum()), store.source(key)) for key in store.keys()[:40]]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_index_goes_with_its_store_into_other_processes(store: Path, method: str) -> None:
    opened = LmdbStore(store)
    expected = _all_of(opened)
    assert len(pickle.dumps(opened)) < 1000
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(_all_of, [opened, LmdbStore(store)]) == [expected] * 2


def test_a_store_replaced_on_the_way_to_another_process_is_refused(store: Path) -> None:
    opened = LmdbStore(store)
    parcel = pickle.dumps(opened)
    opened.close()
    shutil.rmtree(store)
    tiny_store(store, MANY[1:])
    with pytest.raises(DataError, match=r"s\.lmdb: was replaced"):
        pickle.loads(parcel)


def test_a_store_of_an_earlier_version_reads_the_same(store: Path, tmp_path: Path) -> None:
    old = to_version_1(Path(shutil.copytree(store, tmp_path / "old.lmdb")))
    first, second = LmdbStore(store), LmdbStore(old)
    assert second._contents.map is None
    assert first.keys() == second.keys() and first.digest() == second.digest()
    places = np.arange(0, 1000, 7)
    assert np.array_equal(first.shapes(places), second.shapes(places))
    assert [first.shape(key) for key in MANY[:9]] == [second.shape(key) for key in MANY[:9]]
    assert first.shape(MANY[5]) == (7, 3, 3) and isinstance(first.shape(MANY[5])[0], int)
    for key in MANY[::50]:
        assert np.array_equal(first.read(key), second.read(key))
        assert first.source(key).partition(":")[2] == second.source(key).partition(":")[2] == f"{key}.png"
        second.verify(key)
    again = pickle.loads(pickle.dumps(second))
    assert again.keys() == first.keys() and again.read(MANY[3]).shape == (2, 2, 3)


def _records(path: Path) -> dict[str, object]:
    with_plan = LmdbWriter(path, {"encoding": "raw"}, MANY)
    with_plan.close()
    assert with_plan.complete
    return with_plan.records


def test_an_earlier_version_gets_its_index_in_place(store: Path) -> None:
    records, expected = _records(store), LmdbStore(store)
    digest, contents = expected.digest(), _all_of(expected)
    expected.close()
    assert not write_index(store)
    to_version_1(store)
    assert _records(store) == records  # a finished store is taken up as it is ...
    assert not _is_mapped(store)  # ... and stays it
    assert write_index(store) and not write_index(store)
    after = LmdbStore(store)
    assert after._contents.map and after.digest() == digest and _all_of(after) == contents
    after.close()
    assert _records(store) == records


def _is_mapped(path: Path) -> bool:
    opened = LmdbStore(path)
    opened.close()
    return opened._contents.map is not None


def _die_before_the_commit(path: Path) -> None:
    def write(self: LmdbWriter, entries: list, delete: list = []) -> None:  # noqa: B006
        with self._env.begin(write=True) as txn:
            for key, value in entries:
                txn.put(key, value)
            os.kill(os.getpid(), signal.SIGKILL)

    LmdbWriter._write = write  # type: ignore[method-assign]
    write_index(path)


def test_a_killed_conversion_leaves_the_earlier_index(store: Path) -> None:
    to_version_1(store)
    process = multiprocessing.get_context("fork").Process(target=_die_before_the_commit, args=(store,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    opened = LmdbStore(store)
    assert opened.keys() == sorted(MANY) and not opened._contents.map
    opened.close()
    assert write_index(store) and LmdbStore(store).keys() == sorted(MANY)


def _index_in_a_fork(path: Path) -> None:
    LmdbStore(path).close()  # what was inherited, too
    write_index(path)


def test_a_store_that_is_read_gets_its_index_and_its_readers_go_on(store: Path) -> None:
    reader = LmdbStore(to_version_1(store))
    expected = _all_of(reader)
    process = multiprocessing.get_context("fork").Process(target=_index_in_a_fork, args=(store,))
    process.start()
    process.join()
    assert process.exitcode == 0 and _all_of(reader) == expected
    with pytest.raises(DataError, match="this process is reading it"):
        write_index(store)
    reader._views.clear()
    assert _all_of(reader) == expected
    reader.close()
    assert LmdbStore(store)._contents.map


def test_what_gets_no_index_is_told(store: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="none"):
        write_index(tmp_path / "none.lmdb")
    with lmdb.open(str(tmp_path / "foreign.lmdb")) as env, env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    with pytest.raises(DataError, match=r"foreign\.lmdb: no finished store"):
        write_index(tmp_path / "foreign.lmdb")
    lock = FileLock(to_version_1(store) / LOCK_NAME)
    assert lock.acquire()
    with pytest.raises(DataError, match="another process is converting"):
        write_index(store)
    lock.release()


@pytest.mark.parametrize("fault", ["cut", "gone", "layout", "bounds"])
def test_a_damaged_index_is_refused(store: Path, fault: str) -> None:
    with lmdb.open(str(store), map_size=1 << 30) as env, env.begin(write=True) as txn:
        meta, index = json.loads(txn.get(b"__meta__")), txn.get(b"__index__")
        if fault == "cut":
            txn.put(b"__index__", index[:-8])
        elif fault == "gone":
            txn.delete(b"__index__")
        elif fault == "layout":
            txn.put(b"__meta__", json.dumps({**meta, "index": {"bytes": len(index)}}).encode())
        else:
            meta["index"]["keys"][1] = [10]
            txn.put(b"__meta__", json.dumps(meta).encode())
    with pytest.raises(DataError, match=r"s\.lmdb: damaged: .*convert the images again"):
        LmdbStore(store)
