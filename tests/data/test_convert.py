"""The public door `srtoolbox.convert`: as safe as the command, which calls it."""

from pathlib import Path

import numpy as np
import pytest

import srtoolbox
from srtoolbox.data.prepare.write import DamagedImagesError
from srtoolbox.data.stores.lmdb_writer import LmdbWriter
from srtoolbox.errors import DataError, OptionError
from srtoolbox.image import read_image, write_image


def test_a_pair_of_stores_is_reported_and_opens(photo_folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    conversion = srtoolbox.convert(photo_folder, tmp_path / "x3", scale=3, note=lines.append)
    (part,) = conversion.parts
    assert [store.images for store in part.stores] == [6, 6] and conversion.identical == []
    assert (
        part.dataset == f"dict(type='PairedDataset', gt='{part.stores[0].path}', lq='{part.stores[1].path}', scale=3)"
    )
    assert lines[0].startswith("6 images, LQ made at x3") and lines[-1].endswith(part.dataset)
    assert lines[-len(conversion.report()) :] == conversion.report() == repr(conversion).splitlines()
    assert len(srtoolbox.open_store(tmp_path / "x3/gt.lmdb").keys()) == 6


def test_called_again_it_loses_nothing(photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.lmdb"
    first = srtoolbox.convert(photo_folder, out)
    before = (out / "data.mdb").read_bytes()
    again = srtoolbox.convert(photo_folder, out)
    assert again.parts[0].stores[0].digest == first.parts[0].stores[0].digest
    assert again.parts[0].stores[0].reused == 6
    with pytest.raises(DataError, match="holds another finished store of 6 images, which is not touched"):
        srtoolbox.convert(photo_folder, out, subimages=20)
    with pytest.raises(OptionError, match=r"^workers is at least 1 \(default: one per CPU\), got -2$"):
        srtoolbox.convert(photo_folder, out, subimages=20, overwrite=True, workers=-2)
    assert (out / "data.mdb").read_bytes() == before
    assert srtoolbox.convert(photo_folder, out, subimages=20, overwrite=True).parts[0].stores[0].images > 6


def test_a_store_is_written_by_one_at_a_time(photo_folder: Path, tmp_path: Path) -> None:
    writer = LmdbWriter(tmp_path / "s.lmdb", {"encoding": "raw"}, ["a"])
    try:
        with pytest.raises(DataError, match="another process is converting into it"):
            srtoolbox.convert(photo_folder, tmp_path / "s.lmdb")
    finally:
        writer.close()


def test_an_interrupted_conversion_goes_on(photo_folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("srtoolbox.data.prepare.write.COMMIT_BYTES", 1)
    add, calls = LmdbWriter.add, []

    def interrupted(self: LmdbWriter, values: list) -> None:
        calls.append(values)
        if len(calls) == 3:
            raise KeyboardInterrupt
        add(self, values)

    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            srtoolbox.convert(photo_folder, tmp_path / "s.lmdb", workers=1)
    with pytest.raises(DataError, match="unfinished conversion"):
        srtoolbox.open_store(tmp_path / "s.lmdb")
    assert srtoolbox.convert(photo_folder, tmp_path / "s.lmdb").parts[0].stores[0].reused == 2


def test_images_on_both_sides_of_a_split_are_named(photo_folder: Path, tmp_path: Path) -> None:
    image = read_image(min(photo_folder.iterdir()))
    for number in range(8):
        write_image(tmp_path / f"in/{number}.png", image if number < 6 else np.roll(image, number, 0))
    conversion = srtoolbox.convert(tmp_path / "in", tmp_path / "out", split=0.5)
    assert [part.name for part in conversion.parts] == ["training", "validation"]
    assert conversion.identical == conversion.on_both_sides and len(conversion.identical[0]) == 6
    assert any(line.startswith("note: in training and in validation: ") for line in conversion.report())
    assert all(part.dataset is None for part in conversion.parts)


def test_wrong_options_are_refused_before_anything_is_written(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^cut goes with "):
        srtoolbox.convert(photo_folder, tmp_path / "s", cut=True)
    with pytest.raises(DataError, match=r"ends in \.lmdb"):
        srtoolbox.convert(photo_folder, tmp_path / "s")
    with pytest.raises(DataError, match="size and step must be multiples"):
        srtoolbox.convert(photo_folder, tmp_path / "s.lmdb", subimages=0)
    assert not any(tmp_path.glob("s*"))


def test_damaged_images_are_named_and_the_others_stored(photo_folder: Path, tmp_path: Path) -> None:
    for file in photo_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damaged = min(tmp_path.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(DamagedImagesError, match=damaged.name) as error:
        srtoolbox.convert(tmp_path, tmp_path / "s.lmdb")
    assert len(error.value.images) == 1
    damaged.unlink()
    assert srtoolbox.convert(tmp_path, tmp_path / "s.lmdb").parts[0].stores[0].images == 5
