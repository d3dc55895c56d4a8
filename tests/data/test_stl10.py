"""STL-10's binary file becomes the images it holds, the right way up; interruptions and wrong files are told."""

from pathlib import Path

import numpy as np
import pytest

from srtoolbox.cli import main
from srtoolbox.data.prepare import stl10
from srtoolbox.data.stores import open_store
from srtoolbox.errors import DataError, MissingDataError


@pytest.fixture
def images(photo: np.ndarray) -> list[np.ndarray]:
    return [photo[top : top + 96, left : left + 96] for top in (0, 100) for left in (0, 90, 200, 300)]


@pytest.fixture
def binary(tmp_path: Path, images) -> Path:
    """Written byte by byte, as the set's description says: channel, then column, then row."""
    data = bytearray()
    for image in images:
        for channel in range(3):
            for column in range(96):
                data += image[:, column, channel].tobytes()
    path = tmp_path / "train_X.bin"
    path.write_bytes(bytes(data))
    return path


def test_images_come_out_as_they_were(binary, images, tmp_path, capsys) -> None:
    assert main(["unpack_stl10", str(binary), "-o", str(tmp_path / "out"), "--workers", "3"]) == 0
    assert "8 images of 96 x 96\n" in capsys.readouterr().out
    store = open_store(tmp_path / "out")
    assert list(store.keys()) == [f"{number:06}" for number in range(8)]
    assert all(np.array_equal(store.read(key), image) for key, image in zip(store.keys(), images, strict=True))


def test_it_goes_on_where_it_stopped(binary, tmp_path, capsys, monkeypatch) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stl10.unpack(binary, tmp_path / "out", workers=1, progress=stop)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert 3 <= len(there) < 8
    (tmp_path / "out/.000007.png.1-abcdef.tmp").write_bytes(b"half")  # what a killed writer leaves
    assert stl10.unpack(binary, tmp_path / "out") == (8, 8 - len(there))
    assert len(list((tmp_path / "out").iterdir())) == 8
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())


def test_wrong_files(binary, tmp_path) -> None:
    with pytest.raises(MissingDataError, match=r"none\.bin: no such file"):
        stl10.unpack(tmp_path / "none.bin", tmp_path / "out")
    binary.write_bytes(binary.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train_X\.bin: 221183 bytes are not a whole number"):
        stl10.unpack(binary, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_set_in_the_folder(binary, tmp_path) -> None:
    stl10.unpack(binary, tmp_path / "out")
    data = binary.read_bytes()
    binary.write_bytes(data[27648:])
    with pytest.raises(DataError, match=r"00000\d\.png: is another image"):
        stl10.unpack(binary, tmp_path / "out")
