"""Conversion to LMDB: complete or refused, whatever happens on the way."""

import errno
import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

import srtoolbox.data.prepare.write as conversion
from srtoolbox.data.prepare.plan import Recipe, SubImages, make_plan
from srtoolbox.data.prepare.write import Summary, write_stores
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.folder import FolderStore
from srtoolbox.data.stores.index import from_bytes
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.lmdb_writer import LmdbWriter
from srtoolbox.errors import DataError
from srtoolbox.image import read_image, write_image
from srtoolbox.resize import imresize

NEEDS_ZSTD = pytest.mark.skipif(importlib.util.find_spec("zstandard") is None, reason="needs the extra 'compact'")
EACH_ENCODING = ["raw", "raw_tiled", "png", pytest.param("zstd", marks=NEEDS_ZSTD)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """60 images of about 60 x 70, some gray, some 16 bit, in two folders."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(60):
        image = photo[number * 3 : number * 3 + 55 + number % 7, number * 4 : number * 4 + 66 + number % 5]
        image = image[..., :1] if number % 9 == 5 else image.astype(np.uint16) * 200 if number % 11 == 3 else image
        write_image(folder / ("a" if number % 2 else "b") / f"{number:03d}.png", np.ascontiguousarray(image))
    return folder


@pytest.fixture(scope="module")
def some(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 15 of these images: of each kind and size at least one."""
    some = tmp_path_factory.mktemp("some")
    for file in folder.rglob("0[01]?.png"):
        if int(file.stem) < 15:
            (some / file.parent.name).mkdir(exist_ok=True)
            shutil.copy(file, some / file.parent.name)
    return some


def digests(summaries: list[Summary]) -> list[str]:
    return [summary.digest for summary in summaries]


@pytest.fixture(scope="module")
def unbroken(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Digests of the GT and LQ stores of a conversion that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken")
    return digests(write_stores(make_plan(folder, Recipe(scale=3)), [out / "gt.lmdb", out / "lq.lmdb"], workers=1))


def test_stored_images_are_the_files_cut_to_the_scale(folder: Path, tmp_path: Path) -> None:
    plan = make_plan(folder, Recipe(scale=3))
    assert plan.cut == sum(bool(job.size != read_image(folder / f"{job.pair.gt}.png").shape[:2]) for job in plan.jobs)
    write_stores(plan, [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"])
    gt, lq = open_store(tmp_path / "gt.lmdb"), open_store(tmp_path / "lq.lmdb")
    assert list(gt.keys()) == list(lq.keys()) == [job.pair.gt for job in plan.jobs]
    for key in list(gt.keys()):
        image = read_image(folder / f"{key}.png")
        image = image[: image.shape[0] // 3 * 3, : image.shape[1] // 3 * 3]
        assert np.array_equal(gt.read(key), image) and gt.read(key).dtype == image.dtype
        assert np.array_equal(lq.read(key), imresize(np.ascontiguousarray(image), 1 / 3))


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_do_not_change_the_content(folder: Path, tmp_path: Path, unbroken: list[str], workers: int) -> None:
    outputs = [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"]
    assert digests(write_stores(make_plan(folder, Recipe(scale=3)), outputs, workers=workers)) == unbroken


def convert_and_die(images: int, folder: Path, out: Path, extra: float, encoding: str) -> None:
    def progress(done: int, total: int) -> None:
        if done == images:  # a kill from outside would come late on a busy machine
            time.sleep(extra)
            os.kill(os.getpid(), signal.SIGKILL)

    conversion.COMMIT_BYTES = 40_000
    progress(0, 0)
    outputs = [out / "gt.lmdb", out / "lq.lmdb"]
    write_stores(make_plan(folder, Recipe(encoding, scale=3)), outputs, workers=2, progress=progress)


def killed_after(images: int, folder: Path, out: Path, extra: float, encoding: str = "raw") -> None:
    """A fork, which has all modules already, converts and is killed."""
    process = multiprocessing.get_context("fork").Process(
        target=convert_and_die, args=(images, folder, out, extra, encoding)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("images", [0, 1, 7, 20, 33, 59, 60])
def test_a_conversion_killed_anywhere_is_refused_then_completed(
    folder: Path, tmp_path: Path, unbroken: list[str], images: int
) -> None:
    killed_after(images, folder, tmp_path, extra=0.003 * (images % 4))
    outputs = [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"]
    if images not in (0, 60):
        for path in outputs:
            with pytest.raises(DataError, match=r"unfinished conversion.*again"):
                open_store(path)
    summaries = write_stores(make_plan(folder, Recipe(scale=3)), outputs)
    assert digests(summaries) == unbroken
    if images >= 20:
        assert summaries[0].reused > 0
    for path in outputs:
        assert len(LmdbStore(path).keys()) == 60


def test_a_second_kill_loses_nothing_either(folder: Path, tmp_path: Path, unbroken: list[str]) -> None:
    for images in (20, 30, 45):
        killed_after(images, folder, tmp_path, extra=0)
    summaries = write_stores(make_plan(folder, Recipe(scale=3)), [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"])
    assert digests(summaries) == unbroken and summaries[0].reused >= 30


@pytest.mark.parametrize("encoding", EACH_ENCODING[1:])
def test_a_kill_is_made_good_in_every_encoding(folder: Path, tmp_path: Path, encoding: str) -> None:
    killed_after(40, folder, tmp_path / "killed", extra=0, encoding=encoding)
    plan = make_plan(folder, Recipe(encoding, scale=3))
    again, fresh = (
        write_stores(plan, [tmp_path / name / "gt.lmdb", tmp_path / name / "lq.lmdb"]) for name in ("killed", "fresh")
    )
    assert digests(again) == digests(fresh) and again[0].reused > 0


def interrupt_after(images: int):
    def progress(done: int, total: int) -> None:
        if done == images:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def half_done(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(conversion, "COMMIT_BYTES", 40_000)
    with pytest.raises(KeyboardInterrupt):
        write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"], progress=interrupt_after(30))
    return tmp_path / "s.lmdb"


def test_what_was_damaged_meanwhile_is_converted_anew(folder: Path, half_done: Path, tmp_path: Path) -> None:
    with lmdb.open(str(half_done)) as env, env.begin(write=True) as txn:
        stored = [key for key, _ in txn.cursor() if not key.startswith(b"__")]
        assert len(stored) >= 20
        txn.put(stored[3], txn.get(stored[3])[:-1] + b"\x00")
        txn.delete(stored[5])
    (again,) = write_stores(make_plan(folder, Recipe()), [half_done])
    (fresh,) = write_stores(make_plan(folder, Recipe()), [tmp_path / "fresh.lmdb"])
    assert again.digest == fresh.digest and again.reused == len(stored) - 2


def test_changed_and_removed_files_are_noticed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "COMMIT_BYTES", 40_000)
    for file in folder.rglob("*.png"):
        write_image(tmp_path / "in" / file.relative_to(folder), read_image(file))
    with pytest.raises(KeyboardInterrupt):
        write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "s.lmdb"], progress=interrupt_after(40))
    write_image(tmp_path / "in/a/001.png", np.zeros((9, 9, 3), np.uint8))
    os.remove(tmp_path / "in/a/003.png")
    (again,) = write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "s.lmdb"])
    (fresh,) = write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "fresh.lmdb"])
    assert again.digest == fresh.digest and again.images == 59 and again.reused > 10
    assert LmdbStore(tmp_path / "s.lmdb").read("a/001").sum() == 0


def test_another_recipe_starts_anew(folder: Path, half_done: Path) -> None:
    (summary,) = write_stores(make_plan(folder, Recipe(encoding="png")), [half_done])
    assert summary.reused == 0 and summary.images == 60
    with lmdb.open(str(half_done), readonly=True) as env:
        assert env.stat()["entries"] == 62


def test_a_finished_store_is_kept(folder: Path, tmp_path: Path) -> None:
    out = [tmp_path / "s.lmdb"]
    (first,) = write_stores(make_plan(folder, Recipe()), out)
    before = (tmp_path / "s.lmdb/data.mdb").read_bytes()
    (second,) = write_stores(make_plan(folder, Recipe()), out)
    assert second.reused == 60 and second.digest == first.digest
    assert (tmp_path / "s.lmdb/data.mdb").read_bytes() == before
    with pytest.raises(DataError, match=r"another finished store of 60.*--overwrite"):
        write_stores(make_plan(folder, Recipe(encoding="png")), out)
    assert (tmp_path / "s.lmdb/data.mdb").read_bytes() == before
    (third,) = write_stores(make_plan(folder, Recipe(encoding="png")), out, overwrite=True)
    assert third.digest != first.digest and third.size < first.size
    assert LmdbStore(out[0]).digest() == third.digest


def test_another_programs_lmdb_is_not_touched(folder: Path, tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "s.lmdb")) as env, env.begin(write=True) as txn:
        txn.put(b"theirs", b"1")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="another program"):
            write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"], overwrite=overwrite)
    with lmdb.open(str(tmp_path / "s.lmdb")) as env, env.begin() as txn:
        assert txn.get(b"theirs") == b"1"


def test_the_map_grows(folder: Path, tmp_path: Path, unbroken: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "COMMIT_BYTES", 100_000)
    outputs = [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"]
    assert digests(write_stores(make_plan(folder, Recipe(scale=3)), outputs, map_size=1 << 16)) == unbroken


SIZES = (200, 400, 800)
"""Of small disks, in KiB."""
GUARDED = """
import sys
import srtoolbox.data.prepare.write as conversion
from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.errors import DataError
conversion.COMMIT_BYTES = 40_000
folder, *disks = sys.argv[1:]
for disk in disks:
    try:
        conversion.write_stores(make_plan(folder, Recipe(scale=3)), [disk + "/gt.lmdb", disk + "/lq.lmdb"], workers=2)
        print("no error")
    except DataError as error:
        print("ERROR", str(error).replace(chr(10), " "))
"""


def convert_with_short_files(folder: Path, out: Path, answer: Connection) -> None:
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    conversion.COMMIT_BYTES = 40_000
    with pytest.raises(DataError) as error:
        write_stores(make_plan(folder, Recipe(scale=3)), [out / "gt.lmdb", out / "lq.lmdb"], workers=2)
    answer.send(str(error.value))


def test_a_write_cut_off_is_one_error_and_the_rerun_goes_on(folder: Path, tmp_path: Path, unbroken: list[str]) -> None:
    ours, theirs = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=convert_with_short_files, args=(folder, tmp_path, theirs))
    process.start()
    process.join()
    assert ours.poll(), "there was no error"
    message = ours.recv()
    assert "disk" in message and "goes on where it stopped" in message
    outputs = [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"]
    summaries = write_stores(make_plan(folder, Recipe(scale=3)), outputs)
    assert digests(summaries) == unbroken and summaries[0].reused > 0


@pytest.fixture(scope="module")
def full_disks(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What a conversion onto disks of some KiB says, all by one process: a line each."""
    place = tmp_path_factory.mktemp("disks")
    disks = [place / str(size) for size in SIZES]
    for disk in disks:
        disk.mkdir()
    mount = " && ".join(f"mount -t tmpfs -o size={disk.name}k tmpfs {disk}" for disk in disks)
    in_namespace = ["unshare", "-Urm", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*in_namespace, mount], check=False).returncode:
        pytest.skip("needs user namespaces to mount a small disk")
    (place / "script.py").write_text(GUARDED)
    command = f"{mount} && {sys.executable} {place}/script.py {folder} {' '.join(map(str, disks))}"
    done = subprocess.run([*in_namespace, command], capture_output=True, text=True, check=True)
    return dict(zip(SIZES, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("kibibytes", SIZES)
def test_a_full_disk_is_one_error(full_disks: dict[int, str], kibibytes: int) -> None:
    assert "ERROR" in full_disks[kibibytes] and "disk full (0." in full_disks[kibibytes]


def test_two_conversions_into_one_store(folder: Path, tmp_path: Path) -> None:
    writer = LmdbWriter(tmp_path / "s.lmdb", {"encoding": "raw"}, ["a"])
    with pytest.raises(DataError, match="another process"):
        write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"], overwrite=True)
    with pytest.raises(DataError, match="another process"):
        write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"])
    assert (tmp_path / "s.lmdb/data.mdb").exists(), "what is being written stays"
    writer.close()
    write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"])
    (tmp_path / "s.lmdb/data.mdb").write_bytes(b"no LMDB" * 3000)
    with pytest.raises(DataError, match=r"data\.mdb: is damaged .*Delete it"):
        write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"], overwrite=True)


def test_damaged_images_are_all_named_and_the_rest_is_kept(folder: Path, tmp_path: Path) -> None:
    for file in folder.rglob("*.png"):
        write_image(tmp_path / "in" / file.name, read_image(file))
    for name in ("004.png", "017.png"):
        data = bytearray((tmp_path / "in" / name).read_bytes())
        data[len(data) // 2] ^= 0xFF
        (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(DataError, match=r"2 images cannot be read(.|\n)*004\.png(.|\n)*017\.png"):
        write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "s.lmdb"])
    with pytest.raises(DataError, match="unfinished"):
        open_store(tmp_path / "s.lmdb")
    for name in ("004.png", "017.png"):
        write_image(tmp_path / "in" / name, np.zeros((60, 60, 3), np.uint8))
    (summary,) = write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "s.lmdb"])
    assert summary.reused == 58 and summary.images == 60


def sub_image_oracle(length: int, size: int, step: int, thresh: int) -> list[int]:
    """What BasicSR's extract_subimages does on one axis."""
    space = np.arange(0, length - size + 1, step)
    if length - (space[-1] + size) > thresh:
        space = np.append(space, length - size)
    return space.tolist()


@pytest.mark.parametrize("encoding", EACH_ENCODING)
@pytest.mark.parametrize(("size", "step", "thresh"), [(24, 12, 0), (24, 24, 0), (24, 24, 30), (48, 3, 0)])
def test_sub_images(some: Path, tmp_path: Path, size: int, step: int, thresh: int, encoding: str) -> None:
    plan = make_plan(some, Recipe(encoding, 3, subimages=SubImages(size, step, thresh)))
    write_stores(plan, [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"])
    gt, lq = open_store(tmp_path / "gt.lmdb"), open_store(tmp_path / "lq.lmdb")
    count = 0
    for file in some.rglob("*.png"):
        image = read_image(file)
        image = np.ascontiguousarray(image[: image.shape[0] // 3 * 3, : image.shape[1] // 3 * 3])
        small = imresize(image, 1 / 3)
        tops, lefts = (sub_image_oracle(length, size, step, thresh) for length in image.shape[:2])
        for number, (top, left) in enumerate(((t, w) for t in tops for w in lefts), 1):
            key = f"{file.relative_to(some).as_posix()[:-4]}_s{number:03d}"
            assert np.array_equal(gt.read(key), image[top : top + size, left : left + size])
            corner = small[top // 3 : (top + size) // 3, left // 3 : (left + size) // 3]
            assert np.array_equal(lq.read(key), corner)
            count += 1
    assert count == len(gt.keys()) == len(lq.keys())


def test_sub_image_sizes_must_fit(folder: Path) -> None:
    with pytest.raises(DataError, match="multiples of the scale 3"):
        make_plan(folder, Recipe(scale=3, subimages=SubImages(32, 12)))
    with pytest.raises(DataError, match=r"too small for a sub-image of 60 px(.|\n)*a/001\.png: 67x56"):
        make_plan(folder, Recipe(scale=3, subimages=SubImages(60, 12)))


def test_keys_lmdb_cannot_hold(tmp_path: Path, photo: np.ndarray) -> None:
    deep = "/".join(["d" * 120] * 4)
    for name in (f"{deep}/{'x' * 40}.png", "__meta__.png", "fine.png"):
        write_image(tmp_path / "in" / name, photo[:8, :8])
    with pytest.raises(DataError, match=r"524 bytes long(.|\n)*|__meta__") as caught:
        write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "s.lmdb"])
    assert "524 bytes long; LMDB takes 511" in str(caught.value) and "'__meta__'" in str(caught.value)
    assert "fine" not in str(caught.value) and not (tmp_path / "s.lmdb").exists()


def test_the_longest_key_is_stored(tmp_path: Path, photo: np.ndarray) -> None:
    name = "/".join(["é" * 60] * 4) + "/" + "x" * 27
    assert len(name.encode()) == 511
    write_image(tmp_path / "in" / f"{name}.png", photo[:8, :8])
    write_stores(make_plan(tmp_path / "in", Recipe()), [tmp_path / "s.lmdb"])
    assert np.array_equal(open_store(tmp_path / "s.lmdb").read(name), photo[:8, :8])


def test_meta_describes_the_store(folder: Path, tmp_path: Path) -> None:
    (summary,) = write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"])
    with lmdb.open(str(tmp_path / "s.lmdb"), readonly=True) as env, env.begin() as txn:
        meta = json.loads(txn.get(b"__meta__"))
        index = from_bytes(meta["index"], np.frombuffer(txn.get(b"__index__"), np.uint8))
    assert (meta["format"], meta["encoding"], meta["count"]) == ("srtoolbox-lmdb", "raw", 60)
    assert meta["digest"] == summary.digest
    record = index.records()["a/003"]
    assert record.source == "a/003.png" and record.dtype == "uint16" and len(record.shape) == 3
    assert str(tmp_path) not in json.dumps(meta)


def test_write_errors_name_the_store(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "s.lmdb").write_text("a file")
    with pytest.raises(DataError, match=r"s\.lmdb.*cannot be written"):
        write_stores(make_plan(folder, Recipe()), [tmp_path / "s.lmdb"])
    assert os.strerror(errno.ENOSPC) == "No space left on device"  # what LMDB's message is searched for


def test_a_store_of_files_holds_only_what_every_machine_reads(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.gif", "b.avif", "c.jpg"):
        Image.fromarray(photo[:32, :40]).save(tmp_path / "in" / name)
    write_stores(make_plan(tmp_path / "in", Recipe(encoding="png")), [tmp_path / "s.lmdb"])
    with lmdb.open(str(tmp_path / "s.lmdb"), readonly=True, lock=False) as env, env.begin() as txn:
        starts = [bytes(txn.get(key)[:4]) for key in (b"a", b"b", b"c")]
    assert starts == [b"\x89PNG", b"\x89PNG", b"\xff\xd8\xff\xe0"]
    files, store = FolderStore(tmp_path / "in"), LmdbStore(tmp_path / "s.lmdb")
    assert all(np.array_equal(store.read(key), files.read(key)) for key in list(files.keys()))
