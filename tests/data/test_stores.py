"""Folders and LMDBs as stores: same keys, same pixels, one clear error for each thing that can be wrong."""

import importlib.util
import multiprocessing
import os
import pickle
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.environment import Environment
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.errors import DataError, MissingDataError
from srtoolbox.image import write_image
from tests import processes

NEEDS_ZSTD = pytest.mark.skipif(importlib.util.find_spec("zstandard") is None, reason="needs the extra 'compact'")
EACH_ENCODING = ["raw", "raw_tiled", "png", pytest.param("zstd", marks=NEEDS_ZSTD)]


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    """Images of every kind: colour, gray, 16 bit, in sub-folders, with dots, blanks and other alphabets in their
    names.
    """
    folder = tmp_path / "images"
    for name, image in {
        "a.v2.png": photo[:50, :60],
        "sub/gray.png": photo[:33, :41, :1],
        "sub/deep/sixteen bit.png": photo[:20, :30].astype(np.uint16) * 257 + 3,
        "sub/gray sixteen.png": photo[:20, :30, :1].astype(np.uint16) * 257 + 3,
        "кот ねこ.png": photo[5:45, 5:25],
        "tiny.bmp": photo[:1, :1],
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, np.ascontiguousarray(image))
    return folder


def to_lmdb(folder: Path, out: Path, **options) -> Path:
    write_stores(make_plan(folder, Recipe(**options)), [out])
    return out


def basicsr_lmdb(folder: Path, out: Path) -> Path:
    """What BasicSR's make_lmdb_from_imgs leaves: PNG values under names without suffix, and meta_info.txt."""
    out.mkdir()
    lines = []
    with lmdb.open(str(out), map_size=1 << 24) as env, env.begin(write=True) as txn:
        for file in sorted(folder.rglob("*.png")):
            image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            name = file.relative_to(folder).as_posix()
            shape = ",".join(map(str, image.shape if image.ndim == 3 else (*image.shape, 1)))
            txn.put(name[:-4].encode(), cv2.imencode(".png", image)[1].tobytes())
            lines.append(f"{name} ({shape}) 1\n")
    (out / "meta_info.txt").write_text("".join(lines), encoding="utf-8")
    return out


@pytest.mark.parametrize("encoding", EACH_ENCODING)
def test_an_lmdb_is_its_folder(folder: Path, tmp_path: Path, encoding: str) -> None:
    files, store = open_store(folder), open_store(to_lmdb(folder, tmp_path / "s.lmdb", encoding=encoding))
    assert list(store.keys()) == list(files.keys())
    assert set(store.keys()) == {"a.v2", "sub/gray", "sub/deep/sixteen bit", "sub/gray sixteen", "кот ねこ", "tiny"}
    for key in list(files.keys()):
        whole = files.read(key)
        assert store.shape(key) == files.shape(key) == whole.shape
        assert store.read(key).dtype == whole.dtype
        assert np.array_equal(store.read(key), whole)
        height, width, _ = whole.shape
        window = Window(height // 3, width // 4, height // 2, width // 2)
        cut = whole[window.top : window.top + window.height, window.left : window.left + window.width]
        assert np.array_equal(store.read(key, window), cut) and np.array_equal(files.read(key, window), cut)
        assert os.path.basename(files.source(key)) in store.source(key)
    assert {files.read(key).dtype for key in list(files.keys())} == {np.dtype(np.uint8), np.dtype(np.uint16)}


def test_basicsr_lmdb_is_read_as_it_is(folder: Path, tmp_path: Path) -> None:
    files, store = FolderStore(folder), open_store(basicsr_lmdb(folder, tmp_path / "b.lmdb"))
    assert list(store.keys()) == [key for key in list(files.keys()) if key != "tiny"]
    for key in list(store.keys()):
        assert store.shape(key) == files.shape(key)
        assert np.array_equal(store.read(key), files.read(key))


def test_a_raw_value_is_a_view_of_the_map(folder: Path, tmp_path: Path) -> None:
    store = LmdbStore(to_lmdb(folder, tmp_path / "s.lmdb"))
    window = store.read("a.v2", Window(3, 4, 5, 6))
    assert not window.flags.owndata and not window.flags.writeable
    assert np.shares_memory(window, store.read("a.v2"))


@pytest.mark.parametrize("encoding", ["raw", "raw_tiled"])
def test_more_images_than_views_are_kept_of_are_asked_for_once(
    encoding: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srtoolbox.data.stores.lmdb._VIEWS", 2)
    asked: list[bytes] = []
    get = Environment.get

    def noted(self: Environment, key: bytes) -> memoryview | None:
        asked.append(key)
        return get(self, key)

    monkeypatch.setattr(Environment, "get", noted)
    store = LmdbStore(to_lmdb(folder, tmp_path / "s.lmdb", encoding=encoding))
    keys, files = list(store.keys()), FolderStore(folder)
    asked.clear()
    for _ in range(3):
        for key in keys:
            assert np.array_equal(store.read(key), files.read(key))
    assert len(keys) > 2 and asked == [key.encode() for key in keys]
    with pytest.raises(ValueError, match="read-only"):
        np.frombuffer(store._value_at(0), np.uint8)[0] = 1
    other = pickle.loads(pickle.dumps(store))
    assert other._addresses is None and np.array_equal(other.read(keys[0]), files.read(keys[0]))
    store.close()
    other.close()


def test_a_folder_keeps_the_last_images_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import srtoolbox.data.stores.folder as module

    decoded = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: decoded.append(path) or original(path))
    store = FolderStore(folder, cache_bytes=50 * 60 * 3 + 33 * 41)
    for _ in range(4):
        store.read("a.v2", Window(0, 0, 4, 4))
        store.read("sub/gray", Window(0, 0, 4, 4))
    assert len(decoded) == 2
    store.read("кот ねこ")  # too much: the image used longest ago goes
    store.read("sub/gray")
    assert len(decoded) == 3
    store.read("a.v2")
    assert len(decoded) == 4
    with pytest.raises(ValueError, match="read-only"):
        store.read("a.v2")[:] = 0


def test_digest_tells_stores_apart(folder: Path, tmp_path: Path) -> None:
    first = to_lmdb(folder, tmp_path / "1.lmdb")
    assert LmdbStore(first).digest() == LmdbStore(to_lmdb(folder, tmp_path / "2.lmdb")).digest()
    before = FolderStore(folder).digest()
    image = np.full((9, 9, 3), 7, np.uint8)
    write_image(folder / "new.png", image)
    assert FolderStore(folder).digest() != before
    assert LmdbStore(to_lmdb(folder, tmp_path / "3.lmdb")).digest() != LmdbStore(first).digest()


def test_a_folder_asks_its_files_once_and_then_only_what_is_decoded(folder: Path, monkeypatch) -> None:
    """The digest is asked for at every save. It is that of a new store for a folder that does not change."""
    asked: list[str] = []
    original = os.path.getsize
    monkeypatch.setattr(os.path, "getsize", lambda path: asked.append(path) or original(path))
    store = FolderStore(folder)
    for key in store.keys()[:2]:
        store.read(key)
    first = store.digest()
    assert len(asked) == len(store.keys()) and first == FolderStore(folder).digest()
    asked.clear()
    store.read(store.keys()[0])  # still decoded
    assert store.digest() == first and not asked
    store.read(store.keys()[3])
    assert store.digest() == first and asked == [store.source(store.keys()[3])]
    copy = pickle.loads(pickle.dumps(store))
    assert copy.digest() == first and len(asked) == 1


def test_a_changed_file_changes_the_digest_once_it_is_decoded(folder: Path) -> None:
    """So a resumed run, whose stores are new, sees what the run that saved had not seen; and no more than that."""
    store = FolderStore(folder)
    store.read("tiny")
    before = store.digest()
    for name, key in (("tiny.bmp", "tiny"), ("a.v2.png", "a.v2")):
        write_image(folder / name, np.full((30, 30, 3), 9, np.uint8))
        resumed = FolderStore(folder).digest()
        assert resumed != before == store.digest()  # what is drawn is what was decoded before the change
        store.close()
        store.read(key)
        assert store.digest() == resumed
        before = resumed
    (folder / "tiny.bmp").unlink()
    assert store.digest() == before
    gone = FolderStore(folder)
    (folder / "a.v2.png").unlink()
    with pytest.raises(DataError, match=r"a\.v2\.png: has gone"):
        gone.digest()


def test_missing_folder_and_lmdb(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none.lmdb"):
        with pytest.raises(MissingDataError, match="none") as caught:
            open_store(path)
        assert caught.value.path == str(path)
        assert isinstance(pickle.loads(pickle.dumps(caught.value)), MissingDataError)
        assert str(caught.value) == f"{path}: no such folder or store"


@pytest.mark.parametrize("store", [open_store, FolderStore, LmdbStore])
def test_missing_data_names_a_folder_that_exists_and_the_option(store, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    with pytest.raises(MissingDataError) as caught:
        store("data/T91/HR")
    message = str(caught.value)
    assert message.count("data/T91/HR") == 1
    assert f"exists is {tmp_path};" in message and "data_root=PATH" in message and "SRTOOLBOX_DATA" in message
    with pytest.raises(MissingDataError) as caught:
        store("own/T91/HR")
    assert str(caught.value).endswith(f"exists is {tmp_path / 'own'}")


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no images.*png"):
        open_store(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        open_store(tmp_path / "notes.txt")


def test_two_images_of_one_key_are_named(tmp_path: Path, photo: np.ndarray) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        write_image(tmp_path / name, photo[:16, :16])
    with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
        open_store(tmp_path)


def test_missing_key_names_key_and_store(folder: Path, tmp_path: Path) -> None:
    for path in (folder, to_lmdb(folder, tmp_path / "s.lmdb")):
        for ask in (lambda store: store.read("nobody"), lambda store: store.shape("nobody")):
            with pytest.raises(DataError, match=rf"{path.name}.*'nobody'"):
                ask(open_store(path))


def test_an_lmdb_cut_short_is_refused_at_every_length(folder: Path, tmp_path: Path) -> None:
    whole = to_lmdb(folder, tmp_path / "s.lmdb") / "data.mdb"
    data = whole.read_bytes()
    lengths = [0, 1, 100, 4096, 8191, 8192, *range(12288, len(data), 1024), len(data) - 1]
    paths = []
    for length in lengths:
        paths.append(tmp_path / f"cut{length}.lmdb")
        paths[-1].mkdir()
        (paths[-1] / "data.mdb").write_bytes(data[:length])

    def refuse() -> None:
        for path in paths:
            with pytest.raises(DataError, match=re.escape(str(path))):
                open_store(path)
        print("all refused")

    done = processes.run(refuse)
    assert done.returncode == 0, f"killed by signal {-done.returncode}\n{done.stderr}"
    assert done.stdout == "all refused\n" and len(lengths) > 20


def test_foreign_and_damaged_files_are_refused(folder: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.lmdb"
    with lmdb.open(str(foreign)) as env, env.begin(write=True) as txn:
        txn.put(b"k", b"v")
    with pytest.raises(DataError, match=r"foreign\.lmdb.*another program"):
        open_store(foreign)
    text = tmp_path / "text.lmdb"
    text.mkdir()
    (text / "data.mdb").write_bytes(b"no database" * 2000)
    with pytest.raises(DataError, match=r"text\.lmdb.*no LMDB"):
        open_store(text)
    empty = tmp_path / "empty.lmdb"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty\.lmdb.*neither data\.mdb"):
        open_store(empty)
    basicsr = basicsr_lmdb(folder, tmp_path / "b.lmdb")
    meta = (basicsr / "meta_info.txt").read_text(encoding="utf-8")
    (basicsr / "meta_info.txt").write_text(meta + "more.png (4,4,3) 1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"lists 6 images, data\.mdb holds 5"):
        open_store(basicsr)


def test_a_newer_format_is_refused(folder: Path, tmp_path: Path) -> None:
    store = to_lmdb(folder, tmp_path / "s.lmdb")
    with lmdb.open(str(store)) as env, env.begin(write=True) as txn:
        meta = txn.get(b"__meta__")
        txn.put(b"__meta__", meta.replace(b'"version":2', b'"version":3'))
    with pytest.raises(DataError, match="version 3"):
        open_store(store)


def test_read_only_folder_without_lock_file(folder: Path, tmp_path: Path) -> None:
    store = to_lmdb(folder, tmp_path / "s.lmdb")
    (store / "lock.mdb").unlink()
    os.chmod(store, 0o555)
    try:
        assert LmdbStore(store).read("tiny").shape == (1, 1, 3)
        assert not (store / "lock.mdb").exists()
    finally:
        os.chmod(store, 0o755)


def test_one_environment_for_all_aliases_and_stores(folder: Path, tmp_path: Path) -> None:
    path = to_lmdb(folder, tmp_path / "s.lmdb")
    alias = tmp_path / "alias.lmdb"
    alias.symlink_to(path)
    first, second = open_store(path), open_store(alias)
    assert np.array_equal(first.read("a.v2"), second.read("a.v2"))
    first.close()
    assert second.read("sub/gray").shape == (33, 41, 1)  # still mapped
    second.close()
    assert open_store(path).read("a.v2").shape == (50, 60, 3)


def _sums(store: LmdbStore) -> list[int]:
    sums = [int(store.read(key).sum()) for key in list(store.keys())]
    assert (os.path.realpath(store.path), os.getpid()) in Environment._open, "reads through the parent's environment"
    assert len(Environment._open) == len({path for path, _ in Environment._open}), "one path is open twice"
    return sums


@pytest.mark.parametrize(("method", "encoding"), [("fork", "raw"), ("spawn", "raw"), ("fork", "raw_tiled")])
def test_a_store_opened_before_works_in_child_processes(
    folder: Path, tmp_path: Path, method: str, encoding: str
) -> None:
    store = LmdbStore(to_lmdb(folder, tmp_path / "s.lmdb", encoding=encoding))
    alias = LmdbStore(tmp_path / "s.lmdb")
    expected = _sums(store)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sums, [store, alias, store, alias]) == [expected] * 4
    assert _sums(store) == _sums(alias) == expected


def test_a_damaged_value_is_named(folder: Path, tmp_path: Path) -> None:
    store = to_lmdb(folder, tmp_path / "s.lmdb")
    with lmdb.open(str(store)) as env, env.begin(write=True) as txn:
        txn.put(b"tiny", b"12")
    with pytest.raises(DataError, match=r"tiny\.bmp.*2 bytes"):
        LmdbStore(store).read("tiny")
    with lmdb.open(str(shutil.copytree(store, tmp_path / "t.lmdb"))) as env, env.begin(write=True) as txn:
        txn.delete(b"tiny")
    with pytest.raises(DataError, match="lists 6 images but holds 5"):
        LmdbStore(tmp_path / "t.lmdb")


def test_a_forked_child_opens_the_store_itself(folder: Path, tmp_path: Path) -> None:
    store = LmdbStore(to_lmdb(folder, tmp_path / "s.lmdb"))
    alias = LmdbStore(tmp_path / "s.lmdb")
    expected = _sums(store) + _sums(alias)  # the parent has views of all images, which the child must not use
    reader, writer = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=lambda: writer.send(_sums(store) + _sums(alias)))
    child.start()
    child.join()
    assert child.exitcode == 0 and reader.recv() == expected
    assert _sums(store) + _sums(alias) == expected


def test_threads_may_read_a_folder_at_once(tmp_path: Path) -> None:
    for number in range(8):
        write_image(tmp_path / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    store = FolderStore(tmp_path, cache_bytes=3 * 192)
    order = [number * factor % 8 for factor in (1, 3, 5, 7) for number in range(200)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            values = list(pool.map(lambda number: int(store.read(str(number))[0, 0, 0]), order))
    finally:
        sys.setswitchinterval(interval)
    assert values == order
    assert store._size == sum(image.nbytes for image in store._images.values()) <= 3 * 192
    assert pickle.loads(pickle.dumps(store)).read("5")[0, 0, 0] == 5
