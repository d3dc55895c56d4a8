"""A folder: every image in it is read, or counted and named in one sentence by all who read folders."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.apps.folder.plan import Naming, plan
from srtoolbox.cli import main
from srtoolbox.data.datasets.folder import FolderDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.stores import open_store
from srtoolbox.errors import DataError, ImageError
from srtoolbox.image import write_image
from srtoolbox.image.file_types import list_images, scan_folder, unread_sentence
from tests.image.samples import RGB, mode, saved


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"?")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, and four things that look like images and are not read."""
    folder = touch(tmp_path / "in", "a.cr2", "sub/b.NEF", "c.jp2", "notes.txt", ".hidden.cr2", "README")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    write_image(folder / "x.png", np.tile(RGB, (3, 3, 1)))
    write_image(folder / "y.jfif", np.tile(RGB[::-1], (3, 3, 1)))
    return folder


SENTENCE = (
    "4 files that look like images are not read: 1 JPEG 2000 (c.jp2: save it as PNG); 1 broken link (gone); "
    "2 camera raw (a.cr2, sub/b.NEF: develop it, and save it as TIFF or PNG)"
)


def test_what_is_not_read_is_counted_and_named(folder: Path) -> None:
    listing = scan_folder(folder)
    assert [str(path) for path in listing.images] == ["x.png", "y.jfif"]
    assert unread_sentence(listing.unread) == SENTENCE.replace("sub/", f"sub{os.sep}")
    assert unread_sentence([]) == ""
    touch(folder, *(f"{number}.dng" for number in range(5)))
    assert "7 camera raw (0.dng, 1.dng, 2.dng and 4 more: develop" in unread_sentence(scan_folder(folder).unread)


def test_formats_that_need_an_extra_are_read_or_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.heic", "b.HIF", "c.jxl", "d.avif", "e.gif")
    monkeypatch.setattr("srtoolbox.image.file_types.is_readable", lambda _: True)
    assert len(list_images(tmp_path)) == 5
    monkeypatch.setattr("srtoolbox.image.file_types.is_readable", lambda kind: kind == "AVIF")
    assert [path.name for path in list_images(tmp_path)] == ["d.avif", "e.gif"]
    assert unread_sentence(scan_folder(tmp_path).unread) == (
        "3 files that look like images are not read: 2 HEIC (a.heic, b.HIF: pip install 'srtoolbox[formats]'); "
        "1 JPEG XL (c.jxl: pip install 'srtoolbox[formats]')"
    )


def test_upscale_says_it_once(folder: Path, bicubic: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for inputs in ([folder], [folder, folder], [f"{folder}/**/*"]):
        assert main(["upscale", bicubic, *map(str, inputs), "-o", str(tmp_path / "out"), "--ext", "same"]) == 0
        printed = capsys.readouterr().out
        assert printed.count("not read") == 1 and "4 files that look like images" in printed
        assert "1 broken link" in printed and "2 camera raw" in printed and "2 upscaled, 0 failed" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x_sr.png", "y_sr.jfif"]


def test_convert_lmdb_says_it_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["convert_lmdb", str(folder), "-o", str(tmp_path / "s.lmdb")]) == 0
    output = "".join(capsys.readouterr())
    assert output.count(f"{folder}: {SENTENCE}") == 1 and output.count("not read") == 1
    assert list(open_store(tmp_path / "s.lmdb").keys()) == ["x", "y"]


def test_check_data_says_it_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    report = tmp_path / "report.json"
    assert main(["check_data", str(folder), str(folder), "--allow", "alike", "identical", "--json", str(report)]) == 0
    output = "".join(capsys.readouterr())
    assert output.count(f"note: {folder}: {SENTENCE}") == 1 and output.count("not read") == 1
    assert json.loads(report.read_text())["notes"] == [f"{folder}: {SENTENCE}"]


def test_an_animation_has_one_answer_in_all_commands(
    folder: Path, bicubic: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    mode("RGB").save(folder / "film.gif", save_all=True, append_images=[mode("L").convert("RGB")])
    answer = f"{folder / 'film.gif'}: is an animation of 2 frames: `upscale_video` takes it; or save the frame"
    for command, code in (
        (["upscale", bicubic, str(folder), "-o", str(tmp_path / "out")], 1),
        (["upscale", bicubic, str(folder / "film.gif")], 1),
        (["convert_lmdb", str(folder), "-o", str(tmp_path / "s.lmdb")], 2),
        (["check_data", str(folder), "--allow", "alike", "identical"], 1),
    ):
        assert main(command) == code
        output = "".join(capsys.readouterr())
        assert output.count(answer) == 1 and "damaged pic" not in output
    with pytest.raises(DataError, match="`upscale_video` takes it"):
        GTOnlyDataset(str(folder), 3)


def test_datasets_say_it_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for dataset in (lambda: FolderDataset(str(folder)), lambda: GTOnlyDataset(str(folder), 3)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="srtoolbox"):
            assert len(dataset()) == 2
        assert [record.getMessage() for record in caplog.records] == [f"{folder}: {SENTENCE}"]


def test_a_folder_of_unread_files_alone_says_what_to_do(tmp_path: Path) -> None:
    touch(tmp_path, "a.dng")
    words = "1 camera raw .a.dng: develop"
    with pytest.raises(DataError, match=words):
        open_store(tmp_path)
    with pytest.raises(ImageError, match=rf"no images that are read; .*{tmp_path}/a\.dng: develop"):
        plan([str(tmp_path)], Naming())
    with pytest.raises(ImageError, match="no images that are read"):
        plan([f"{tmp_path}/*"], Naming())


def test_bits_that_are_not_read_are_told_once_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture, bicubic: str
) -> None:
    heif = pytest.importorskip("pillow_heif")
    (tmp_path / "in").mkdir()
    file = heif.from_bytes("RGB;16", (64, 64), np.full((64, 64, 3), 999, np.uint16).tobytes())
    file.save(tmp_path / "in/x.heic", quality=-1)
    sentence = "1 image has more than 8 bits per channel, read as 8: x.heic (10)"
    for command in (
        ["convert_lmdb", str(tmp_path / "in"), "-o", str(tmp_path / "s.lmdb")],
        ["convert_lmdb", str(tmp_path / "in"), "--lq", str(tmp_path / "in"), "-o", str(tmp_path / "pair")],
        ["check_data", str(tmp_path / "in")],
    ):
        assert main(command) == 0
        assert "".join(capsys.readouterr()).count(sentence) == (2 if "--lq" in command else 1)
    assert main(["upscale", bicubic, str(tmp_path / "in")]) == 0
    assert "x.heic: 10 bits per channel are read as 8" in capsys.readouterr().out


def test_a_folder_that_cannot_be_read_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    touch(tmp_path, "locked/a.png")
    original = Path.is_dir

    def is_dir(path: Path) -> bool:  # a folder that may be listed and not entered; root may do everything
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    for look, error in ((list_images, ImageError), (open_store, DataError)):
        with pytest.raises(error, match=r"locked: cannot be listed \(Permission denied\)$"):
            look(tmp_path)
    assert main(["check_data", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "locked: cannot be listed (Permission denied)" in output and "1 fault" in output


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_with_odd_characters(bicubic: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    names = [
        b"line\nbreak.png",
        b"\xff\xfe.png",
        b"[red]x.png",
        b"%s %d.png",
        b"a?.png",
        b"-o.png",
        "ö名.png".encode(),
    ]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(saved(mode("RGB"), "PNG"))
    touch(tmp_path / "in", "[b]%s.cr2")
    assert main(["upscale", bicubic, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == len(names) and "[b]%s.cr2" in capsys.readouterr().out
    store = open_store(tmp_path / "in")
    assert len(store.keys()) == len(names) and len(store.digest()) == 64
