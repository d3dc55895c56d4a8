"""Stores in shards: as one LMDB of all their images, or refused by the names of what is wrong."""

import itertools
import multiprocessing
import os
import pickle
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.data.datasets import paired
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw, EndlessSampler
from srtoolbox.data.loading.loader import build_eval_loader
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.pairing import check_sizes, pair_keys
from srtoolbox.data.stores.sharded import ShardedStore, Share, shard_path, shard_writer
from srtoolbox.errors import ConfigError, DataError, MissingDataError
from srtoolbox.io.pieces import Shard
from tests.data.stores import add_images, tiny_store

KEYS = sorted([f"a/{number:03d}" for number in range(30)] + ["b", "кот", "a"])
SIZES = {"a/007": (5, 3), "кот": (4, 4)}
DEAL = {"in a row": lambda number: number // 9, "dealt out": lambda number: number % 4}


def shards(path: Path, deal: str, whole: str = "all", keys: list[str] = KEYS) -> Path:
    for number in range(1, 5):
        own = [key for place, key in enumerate(keys) if DEAL[deal](place) == number - 1]
        writer = shard_writer(path, {"encoding": "raw"}, own, Shard(number, 4), whole)
        add_images(writer, own, SIZES, KEYS.index)
    return path


@pytest.fixture
def one(tmp_path: Path) -> LmdbStore:
    return LmdbStore(tiny_store(tmp_path / "one.lmdb", KEYS, SIZES))


def _all_of(store: ShardedStore | LmdbStore) -> list[object]:
    return [(key, store.shape(key), store.read(key).tolist()) for key in store.keys()]  # noqa: SIM118


@pytest.mark.parametrize("deal", DEAL)
def test_shards_are_one_store(one: LmdbStore, tmp_path: Path, deal: str) -> None:
    path = shards(tmp_path / "many.lmdb", deal)
    assert sorted(each.name for each in path.iterdir()) == [f"many-0000{number}.lmdb" for number in range(4)]
    many = open_store(path)
    assert isinstance(many, ShardedStore) and (many._keys.order is None) == (deal == "in a row")
    assert many.keys() == one.keys() == KEYS and one.keys() == many.keys() and _all_of(many) == _all_of(one)
    for places in (range(33), range(5, 20), np.array([32, 0, 7, 7])):
        assert np.array_equal(many.shapes(places), one.shapes(places))
    assert all(np.array_equal(many.read_at(place), one.read_at(place)) for place in range(33))
    assert many.source("a/007") == f"{path}/many-0000{DEAL[deal](KEYS.index('a/007'))}.lmdb:a/007.png"
    many.verify("кот")
    check_sizes(many, one, pairs := pair_keys(many, one, 1), 1)
    assert isinstance(pairs.gt, range) and len(pairs) == 33
    for other in (open_store(f"{path}/many-*.lmdb"), pickle.loads(pickle.dumps(many))):
        assert other.digest() == many.digest() and _all_of(other) == _all_of(one)
    with pytest.raises(DataError, match=r"many\.lmdb: has no image 'nobody'"):
        many.read("nobody")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(_all_of, [many]) == [_all_of(one)]
    keys = many.keys()
    many.close()
    assert keys == KEYS


def test_more_shards_than_a_process_may_open_are_told(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # of POSIX systems
    path, before = shards(tmp_path / "many.lmdb", "dealt out"), resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        # so many that they fill the gaps between the numbers of what else is open
        lowest = 1 + [files.enter_context(open(os.devnull)).fileno() for _ in range(100)][-1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 2, before[1]))
        with pytest.raises(DataError, match=r"many-00002\.lmdb: not a readable LMDB .*\. Let the .* ulimit -n 8192"):
            open_store(path)
    open_store(path).close()


def test_an_image_is_found_by_its_key_without_a_look_at_all_places(tmp_path: Path) -> None:
    many = ShardedStore(shards(tmp_path / "many.lmdb", "dealt out"))
    many._keys.order = np.full(len(KEYS), 1 << 30)  # of a million it took 0.7 ms to look through
    for key in KEYS:
        assert many.source(key).endswith(f":{key}.png") and many.read(key).shape == many.shape(key)
        many.verify(key)
    many.close()


def test_other_images_are_another_digest(tmp_path: Path) -> None:
    digests = [
        ShardedStore(shards(tmp_path / name, "in a row", keys=keys)).digest()
        for name, keys in (("a", KEYS), ("b", KEYS), ("c", KEYS[:-1]))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_each_rank_reads_its_share_alone(tmp_path: Path) -> None:
    path = shards(tmp_path / "many.lmdb", "dealt out")
    shutil.rmtree(shard_path(path, Shard(2, 4)))  # lies with the other rank
    share = open_store(path, share=Share(0, 2))
    assert share.keys() == [key for place, key in enumerate(KEYS) if place % 2 == 0]
    assert share.read("кот").shape == (4, 4, 3)
    with pytest.raises(DataError, match=r"1 of 4 shards missing: many-00001\.lmdb$"):
        open_store(path, share=Share(1, 2))
    with pytest.raises(DataError, match=r"has no shard for rank 4 of 5: make as many"):
        open_store(path, share=Share(4, 5))
    with pytest.raises(DataError, match=r"one\.lmdb: is no store in shards"):
        open_store(tiny_store(tmp_path / "one.lmdb", KEYS), share=Share(0, 2))


@pytest.mark.parametrize(("number", "name"), [(1, "00000"), (3, "00002"), (4, "00003")])
def test_a_missing_shard_is_named(tmp_path: Path, number: int, name: str) -> None:
    path = shards(tmp_path / "many.lmdb", "in a row")
    shutil.rmtree(shard_path(path, Shard(number, 4)))
    with pytest.raises(DataError, match=rf"many\.lmdb: 1 of 4 shards missing: many-{name}\.lmdb$"):
        open_store(path)


def test_what_is_doubled_renamed_foreign_or_unfinished_is_named(tmp_path: Path) -> None:
    path, other = shards(tmp_path / "many.lmdb", "in a row"), shards(tmp_path / "other", "in a row", "other")
    shutil.copytree(path / "many-00001.lmdb", path / "many-000001.lmdb")
    with pytest.raises(DataError, match=r"shard 1 is there twice: .*many-000001\.lmdb, .*many-00001\.lmdb\. Remove"):
        open_store(path)
    shutil.rmtree(path / "many-00001.lmdb")
    (path / "many-000001.lmdb").rename(path / "many-00004.lmdb")
    with pytest.raises(DataError, match=r"many-00004\.lmdb: was made as piece 2 of 4"):
        open_store(path)
    (path / "many-00004.lmdb").rename(path / "many-00001.lmdb")
    shutil.rmtree(path / "many-00002.lmdb")
    shutil.copytree(other / "other-00002.lmdb", path / "many-00002.lmdb")
    with pytest.raises(DataError, match=r"many-00002\.lmdb: is of another conversion"):
        open_store(path)
    shutil.rmtree(path / "many-00002.lmdb")
    shard_writer(path, {"encoding": "raw"}, ["x"], Shard(3, 4), "all").close()
    with pytest.raises(DataError, match=r"many-00002\.lmdb: an unfinished conversion"):
        open_store(path)


@pytest.mark.parametrize("deal", DEAL)
def test_an_image_in_two_shards_is_named_with_both(tmp_path: Path, deal: str) -> None:
    path = tmp_path / "many.lmdb"
    keys = {"in a row": (["a", "b"], ["b", "c"]), "dealt out": (["a", "c"], ["b", "c", "d"])}[deal]
    for number, own in enumerate(keys, 1):
        add_images(shard_writer(path, {"encoding": "raw"}, own, Shard(number, 2), "all"), own)
    with pytest.raises(DataError, match=r"many-00000\.lmdb and .*many-00001\.lmdb: both hold '[bc]'"):
        open_store(path)


def test_shards_without_marks_are_counted_by_their_names(tmp_path: Path) -> None:
    for number in (0, 1, 3):
        tiny_store(tmp_path / f"own/x-{number:05}.lmdb", KEYS[number * 3 : number * 3 + 3])
    with pytest.raises(DataError, match=r"1 of 4 shards missing: x-00002\.lmdb"):
        open_store(tmp_path / "own")
    tiny_store(tmp_path / "own/x-00002.lmdb", KEYS[6:9])
    assert open_store(tmp_path / "own").keys() == KEYS[:12]
    tiny_store(tmp_path / "own/y-00000.lmdb", KEYS[20:])
    with pytest.raises(DataError, match=r"shards of several stores \(x, y\): choose one, as .*own/x-\*\.lmdb"):
        open_store(tmp_path / "own")
    assert open_store(str(tmp_path / "own/y-*.lmdb")).keys() == KEYS[20:]
    with pytest.raises(MissingDataError, match="z-"):
        open_store(str(tmp_path / "own/z-*.lmdb"))
    with pytest.raises(DataError, match=r"one\.lmdb: is a store in one file already"):
        shard_writer(tiny_store(tmp_path / "one.lmdb", ["a"]), {"encoding": "raw"}, ["b"], Shard(1, 2), "all")


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    for number, own in enumerate((["b"], [], ["a"]), 1):
        add_images(shard_writer(tmp_path / "s", {"encoding": "raw"}, own, Shard(number, 3), "all"), own)
    assert open_store(tmp_path / "s").keys() == ["a", "b"]


# ---- a share for each rank


def of_rank(rank: int, world: int, monkeypatch: pytest.MonkeyPatch, *args: object, **named: object) -> PairedDataset:
    monkeypatch.setattr(paired.dist, "rank", lambda: rank)
    monkeypatch.setattr(paired.dist, "world_size", lambda: world)
    return PairedDataset(*args, shards="rank", **named)


def draws_of(dataset: PairedDataset, rank: int, world: int, start: int = 0, count: int = 12) -> list[list[Draw]]:
    return list(itertools.islice(EndlessSampler(dataset, 3, 7, start, rank, world), count))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_each_rank_draws_its_own_images_and_goes_on_exactly(tmp_path: Path, monkeypatch, world: int) -> None:
    path = str(shards(tmp_path / "many.lmdb", "dealt out"))
    taken, numbers = [], []
    for rank in range(world):
        dataset = of_rank(rank, world, monkeypatch, path, path, 1, sampling="area" if rank else "image")
        assert dataset.keys() == [key for place, key in enumerate(KEYS) if place % 4 % world == rank]
        assert dataset.is_share == (world > 1)
        drawn = draws_of(dataset, rank, world, count=24)
        assert draws_of(dataset, rank, world, start=9 * world) == drawn[3:15]
        assert [draw.number for draw in drawn[1]] == [3 * world + 3 * rank + n for n in range(3)]
        own = [draw.index for batch in drawn for draw in batch]
        if rank == 0:  # every epoch is a permutation
            assert (
                sorted(own[: len(dataset)]) == sorted(own[len(dataset) : 2 * len(dataset)]) == list(range(len(dataset)))
            )
        taken += dataset.keys()
        numbers += [draw.number for batch in drawn for draw in batch]
        assert dataset.sample(drawn[0][0])["key"] == dataset.keys()[own[0]]
    assert sorted(taken) == KEYS and sorted(numbers) == list(range(72 * world))


def test_one_process_reads_all_as_ever_and_ranks_are_in_different_orders(tmp_path: Path, monkeypatch) -> None:
    path = str(shards(tmp_path / "many.lmdb", "in a row"))
    usual = PairedDataset(path, path, 1)
    assert draws_of(of_rank(0, 1, monkeypatch, path, path, 1), 0, 1) == draws_of(usual, 0, 1)
    first, second = (of_rank(rank, 4, monkeypatch, path, path, 1) for rank in (0, 1))
    assert len(first) == len(second) == 9
    orders = [
        [draw.index for batch in draws_of(each, rank, 4, count=3) for draw in batch]
        for rank, each in enumerate((first, second))
    ]
    assert orders[0] != orders[1]
    assert not usual.is_share and ConcatDataset([first, usual]).is_share
    with pytest.raises(DataError, match="leave shards at 'all'"):
        next(build_eval_loader(first))
    with pytest.raises(ConfigError, match="shards is one of 'all', 'rank'"):
        PairedDataset(path, path, 1, shards="some")
    only = GTOnlyDataset(path, 1, shards="rank")
    assert only.is_share and only.keys() == second.keys()


def test_batches_of_shards_are_those_of_one_store(one: LmdbStore, tmp_path: Path) -> None:
    path = str(shards(tmp_path / "many.lmdb", "dealt out"))
    for options in ({"sampling": "area"}, {"gt_size": 3, "small": "skip"}, {"gt_size": 4, "small": "reflect"}):
        datasets = [PairedDataset(each, each, 1, **options) for each in (one.path, path)]
        drawn = draws_of(datasets[0], 0, 1)
        assert drawn == draws_of(datasets[1], 0, 1)
        for draw in itertools.chain.from_iterable(drawn):
            first, second = (dataset.sample(draw) for dataset in datasets)
            assert first["key"] == second["key"] and np.array_equal(first["gt"], second["gt"])
