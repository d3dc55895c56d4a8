"""The ways of Windows with files, simulated: those in use, reserved names, case, the size of LMDB's map."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

from srtoolbox import system
from srtoolbox.apps.folder.plan import Naming, plan
from srtoolbox.apps.report.writer import safe
from srtoolbox.apps.scoring.outputs import Outputs
from srtoolbox.cli import main
from srtoolbox.data.stores import lmdb_writer
from srtoolbox.data.stores.lmdb import LmdbStore
from srtoolbox.data.stores.lmdb_writer import remove_store
from srtoolbox.errors import DataError, SrtoolboxError, WriteError
from srtoolbox.image import write_image
from srtoolbox.io import files
from srtoolbox.io.files import write_text
from tests.systems.windows import windows  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("windows")


@pytest.mark.timeout(200)
def test_a_run_is_trained_resumed_scored_and_begun_anew(tiny_config: Path, tmp_path: Path) -> None:
    run = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]
    assert main([*run, "max_iters=10"]) == 0
    assert main([*run, "--resume"]) == 0
    assert main([*run, "--overwrite", "max_iters=10"]) == 0
    best = str(tmp_path / "run/checkpoints/iter_000010.pth")
    for _ in range(2):
        assert main(["test", str(tiny_config), best, "--report", str(tmp_path / "report")]) == 0


def test_stores_and_results_are_written_over_earlier_ones(photo_folder: Path, tmp_path: Path) -> None:
    convert = ["convert_lmdb", str(photo_folder), "-o", str(tmp_path / "a.lmdb")]
    for more in ([], ["--overwrite"]):
        assert main([*convert, *more]) == 0
        store = LmdbStore(tmp_path / "a.lmdb")
        assert len(store.keys()) == 6
        store.close()
    assert sorted(path.name for path in (tmp_path / "a.lmdb").iterdir()) == ["data.mdb", "lock.mdb"]


def test_a_store_that_is_read_is_not_replaced_and_says_so(photo_folder: Path, tmp_path: Path) -> None:
    assert main(["convert_lmdb", str(photo_folder), "-o", str(tmp_path / "a.lmdb")]) == 0
    store = LmdbStore(tmp_path / "a.lmdb")
    store.read(store.keys()[0])
    shutil.copytree(tmp_path / "a.lmdb", tmp_path / "b.lmdb")
    with open(tmp_path / "b.lmdb/data.mdb", "rb"), pytest.raises(DataError, match="close what reads it"):
        remove_store(tmp_path / "b.lmdb")
    store.close()


def test_a_store_that_somebody_reads_is_found_finished(photo_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """Windows shortens no file that another process has mapped."""

    def refuse(path: Path, size: int) -> None:
        raise WriteError(f"{path}: cannot be written")

    monkeypatch.setattr(lmdb_writer, "shorten", refuse)
    for _ in range(2):  # the lock is given back, too
        assert main(["convert_lmdb", str(photo_folder), "-o", str(tmp_path / "a.lmdb")]) == 0


def test_a_file_that_is_open_for_a_moment_is_replaced_when_it_is_closed(tmp_path: Path, monkeypatch) -> None:
    write_text(tmp_path / "a.txt", "old")
    reader = open(tmp_path / "a.txt")  # noqa: SIM115
    monkeypatch.setattr(files.time, "sleep", lambda _: reader.close())
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_file_that_stays_open_gives_one_error_and_keeps_its_text(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with open(tmp_path / "a.txt"), pytest.raises(SrtoolboxError, match=r"a\.txt: .*another program may have it open"):
        write_text(tmp_path / "a.txt", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


NAMES = ["CON", "nul.png", "aux.tar.gz", "Com1.png", "lpt³", "a.", "b ", "a:b.png", "what?.png", 'say "a".png', "a|b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_windows_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SrtoolboxError, match="Windows has no file of the name"):
        write_text(tmp_path / name, "text")
    with pytest.raises(SrtoolboxError, match="Windows has no file of the name"):
        write_text(tmp_path / name / "a.txt", "text")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["console.png", "aux_sr.png", "com.png", "com10", ".hidden", "a b.png", "é.png", ".."])
def test_a_name_that_looks_alike_is_taken(name: str) -> None:
    assert files.windows_fault(name) is None


def test_elsewhere_every_name_is_taken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(system, "IS_WINDOWS", False)
    for name in NAMES:
        write_text(tmp_path / name, "text")
    assert len(list(tmp_path.iterdir())) == len(NAMES)


def test_a_report_names_no_file_as_a_device() -> None:
    assert safe("photo") == "photo"
    assert not any(files.windows_fault(safe(name)) for name in (*NAMES, "con", "aux", "nul"))


def test_upscale_refuses_a_result_windows_cannot_hold(tmp_path: Path) -> None:
    (tmp_path / "aux.bmp").touch()
    with pytest.raises(SrtoolboxError, match=r"AUX is the name of a device.*--suffix"):
        plan([str(tmp_path / "aux.bmp")], Naming(suffix=""))


def test_a_folder_is_known_to_be_case_blind_by_what_lies_in_it(tmp_path: Path) -> None:
    for name in ("blind", "telling"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").touch()
    os.link(tmp_path / "blind/a.txt", tmp_path / "blind/A.TXT")  # one file under both names, as if case did not count
    assert files.is_case_blind(tmp_path / "blind") and files.is_case_blind(tmp_path / "blind/not/there")
    assert not files.is_case_blind(tmp_path / "telling")


def test_a_letter_of_one_case_tells_nothing_of_a_folder(tmp_path: Path) -> None:
    """Windows and macOS keep 'ß' and 'SS' apart."""
    (tmp_path / "Blind").mkdir()
    (tmp_path / "bLIND").symlink_to("Blind")  # the folder's own name, which tells where it holds none that does
    (tmp_path / "Blind/ß.7").touch()
    assert files.is_case_blind(tmp_path / "Blind")


@pytest.fixture
def case_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_is_case_blind", lambda folder: True)


def test_two_names_that_differ_in_case_are_not_written_to_one_file(case_blind: None, tmp_path: Path) -> None:
    for name in ("a/Cat.png", "b/cat.png"):
        write_image(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    inputs = [str(tmp_path / "a/Cat.png"), str(tmp_path / "b/cat.png")]
    with pytest.raises(SrtoolboxError, match="would both be written"):
        plan(inputs, Naming(out=str(tmp_path / "out")))
    assert len(plan(inputs, Naming()).jobs) == 2


def test_upscale_knows_an_earlier_result_in_whatever_case(case_blind: None, tmp_path: Path) -> None:
    for name in ("Cat.png", "Cat_SR.png"):
        (tmp_path / name).touch()
    assert [job.source for job in plan([str(tmp_path)], Naming()).jobs] == [str(tmp_path / "Cat.png")]


def test_scored_images_whose_names_differ_in_case_are_not_lost(case_blind: None, tmp_path: Path) -> None:
    class Image:
        def __init__(self, name: str) -> None:
            import torch

            self.name, self.sr = name, torch.zeros(1, 3, 4, 4)

    outputs = Outputs(tmp_path)
    outputs.take("net", "set", Image("A"))
    with pytest.raises(SrtoolboxError, match="set/A and set/a would both be written"):
        outputs.take("net", "set", Image("a"))


def test_a_store_on_windows_is_no_larger_than_what_is_in_it(photo_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """`writemap` gives the file the map's whole size at once, as Windows always does."""
    assert main(["convert_lmdb", str(photo_folder), "-o", str(tmp_path / "posix.lmdb")]) == 0
    real, sizes = lmdb.open, []

    def opened(path: str, **named: object) -> lmdb.Environment:
        sizes.append(named.get("map_size"))
        return real(path, **named, **({} if named.get("readonly") else {"writemap": True}))

    monkeypatch.setattr(lmdb_writer.lmdb, "open", opened)
    monkeypatch.setattr(lmdb_writer, "FIRST_MAP", 1 << 16)
    assert main(["convert_lmdb", str(photo_folder), "-o", str(tmp_path / "windows.lmdb")]) == 0
    assert sizes[0] == 1 << 16
    files = [tmp_path / name / "data.mdb" for name in ("posix.lmdb", "windows.lmdb")]
    assert files[1].stat().st_size <= files[0].stat().st_size
    stores = [LmdbStore(file.parent) for file in files]
    assert stores[0].digest() == stores[1].digest()
    for key in (keys := stores[1].keys()):
        assert len(keys) == 6
        assert np.array_equal(stores[0].read(key), stores[1].read(key))
    for store in stores:
        store.close()
