"""Data sets of the hub, from local copies: same keys and pixels as the folder they were made of."""

import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.cli import main
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.stores import FolderStore, open_store
from srtoolbox.data.stores.base import Window
from srtoolbox.errors import DataError, ImageError, MissingDataError
from srtoolbox.image import read_image, write_image
from srtoolbox.resize import imresize


@pytest.fixture
def library(tmp_path: Path, monkeypatch):
    found = pytest.importorskip("datasets", reason="needs the extra 'hub'")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(found.config, "HF_HUB_OFFLINE", True)
    found.disable_progress_bars()
    return found


@pytest.fixture
def folders(photo_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """GT and LQ at x4, with equal names."""
    for file in sorted(photo_folder.iterdir()):
        image = read_image(file)
        write_image(tmp_path / "HR" / file.name, image)
        write_image(tmp_path / "LR" / file.name, imresize(image, 1 / 4))
    return tmp_path / "HR", tmp_path / "LR"


def rows_of(folders: tuple[Path, Path]) -> dict[str, list[str]]:
    names = sorted(os.listdir(folders[0]), reverse=True)  # a data set need not be sorted
    return {
        column: [str(folder / name) for name in names] for column, folder in zip(("hr", "lr"), folders, strict=True)
    }


def embedded(folders: tuple[Path, Path]) -> dict[str, list[dict]]:
    """As data sets are uploaded: the files' bytes, and their names."""
    return {
        column: [{"bytes": Path(path).read_bytes(), "path": Path(path).name} for path in paths]
        for column, paths in rows_of(folders).items()
    }


def as_paths(library, folders, out: Path) -> str:
    """The layout of eugenesiow/Set5: features hr and lr, as paths."""
    library.Dataset.from_dict(rows_of(folders)).save_to_disk(out)
    return f"hub://{out}"


def as_relative_paths(library, folders, out: Path) -> str:
    """A folder that can be carried elsewhere: the images lie in it."""
    rows = {column: [f"{column}/{Path(path).name}" for path in paths] for column, paths in rows_of(folders).items()}
    library.Dataset.from_dict(rows).save_to_disk(out)
    for column, folder in zip(("hr", "lr"), folders, strict=True):
        shutil.copytree(folder, out / column)
    return f"hub://{out}"


def as_images(library, folders, out: Path) -> str:
    features = library.Features({"hr": library.Image(), "lr": library.Image()})
    rows = library.Dataset.from_dict(embedded(folders), features=features)
    library.DatasetDict({"train": rows.select([0]), "validation": rows}).save_to_disk(out)
    return f"hub://{out}"


def as_parquet(library, folders, out: Path) -> str:
    features = library.Features({"hr": library.Image(), "lr": library.Image()})
    out.mkdir()
    rows = library.Dataset.from_dict(embedded(folders), features=features)
    rows.to_parquet(out / "validation-00000-of-00001.parquet")
    return f"hub://{out}"


def as_bytes(library, folders, out: Path) -> str:
    rows = {column: [Path(path).read_bytes() for path in paths] for column, paths in rows_of(folders).items()}
    rows["label"] = [3] * len(rows["hr"])
    library.Dataset.from_dict(rows).save_to_disk(out)
    return f"hub://{out}"


@pytest.mark.parametrize("make", [as_paths, as_relative_paths, as_images, as_parquet, as_bytes])
def test_a_data_set_is_its_folder(library, folders, tmp_path: Path, make) -> None:
    path = make(library, folders, tmp_path / "set")
    if make is as_parquet:  # the data set has its own copy
        for file in folders[0].iterdir():
            file.rename(tmp_path / file.name)
        folders = (tmp_path, folders[1])
    split = "&split=validation" if make is as_images else ""
    named = make is not as_bytes
    for column, folder in zip(("hr", "lr"), folders, strict=True):
        store, files = open_store(f"{path}?column={column}{split}"), sorted(folder.glob("*.png"))
        assert list(store.keys()) == ([file.stem for file in files] if named else [f"{n:06}" for n in range(6)])
        for key, file in zip(store.keys(), files if named else reversed(files), strict=True):
            whole = read_image(file)
            assert store.shape(key) == whole.shape and np.array_equal(store.read(key), whole)
            window = Window(2, 3, 5, 7)
            assert np.array_equal(store.read(key, window), window.cut(whole))
            assert key in store.source(key)
        again = pickle.loads(pickle.dumps(store))
        assert np.array_equal(again.read(store.keys()[0]), store.read(store.keys()[0]))
        assert again.digest() == store.digest() and len(store.digest()) == 64
        with pytest.raises(DataError, match="no image 'nobody'"):
            store.read("nobody")


def test_a_pair_in_a_dataset_and_beside_a_folder(library, folders, tmp_path: Path, capsys) -> None:
    path = as_parquet(library, folders, tmp_path / "set")
    plain = PairedDataset(str(folders[0]), str(folders[1]), 4, gt_size=24)
    for gt, lq in ((f"{path}?column=hr", f"{path}?column=lr"), (f"{path}?column=hr", str(folders[1]))):
        dataset = PairedDataset(gt, lq, 4, gt_size=24)
        assert dataset.keys() == plain.keys()
        for index in range(len(plain)):
            assert all(np.array_equal(dataset.whole(index)[key], plain.whole(index)[key]) for key in ("lq", "gt"))
    assert main(["check_data", f"{path}?column=hr", "--lq", f"{path}?column=lr"]) == 0
    assert "12 images in 2 stores: no faults" in capsys.readouterr().out


def test_what_must_be_chosen_is_listed(library, folders, tmp_path: Path) -> None:
    path = as_images(library, folders, tmp_path / "set")
    for query, message in {
        "": "has several: train, validation. Choose with split=train",
        "?split=validation": "has several: hr, lr. Choose with column=hr",
        "?split=test": "no split 'test' of images; there is train, validation",
        "?split=train&column=hd": "no column 'hd' of images; there is hr, lr",
        "?splitt=train": r"no option splitt. Did you mean 'split'",
        "?column=": "is written as hub://",
    }.items():
        with pytest.raises(DataError, match=message):
            open_store(path + query)


def test_folders_that_are_none(library, folders, tmp_path: Path) -> None:
    as_parquet(library, folders, tmp_path / "set")
    with pytest.raises(DataError, match=r"a data set, no folder of images\. Open it as hub://"):
        open_store(tmp_path / "set")
    with pytest.raises(MissingDataError, match="no such folder"):
        open_store(f"hub://{tmp_path}/none?column=hr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be opened"):
        open_store(f"hub://{tmp_path}/empty")


def test_a_set_that_cannot_be_had(library, monkeypatch) -> None:
    def refuse(*args, **options):
        raise ConnectionError("Couldn't reach 'someone/something' on the Hub")

    monkeypatch.setattr(library, "load_dataset", refuse)
    with pytest.raises(MissingDataError, match=r"someone/something.*Without a network, copy .*hub://FOLDER") as caught:
        open_store("hub://someone/something?column=hr")
    assert caught.value.path == "hub://someone/something?column=hr"


def test_without_the_package(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'srtoolbox\[hub\]'"):
        open_store("hub://eugenesiow/Set5?column=hr")


def test_a_damaged_image_is_named(library, folders, tmp_path: Path) -> None:
    rows = rows_of(folders)
    rows = {"hr": [Path(path).read_bytes() for path in rows["hr"]]}
    rows["hr"][2] = rows["hr"][2][:500]
    library.Dataset.from_dict(rows).save_to_disk(tmp_path / "set")
    store = open_store(f"hub://{tmp_path}/set")
    for ask in (store.shape, store.read):
        with pytest.raises(ImageError, match="set:000002: truncated"):
            ask("000002")
    assert store.read("000001").shape == (60, 72, 3)


def test_the_folder_store_is_as_before(photo_folder: Path) -> None:
    assert isinstance(open_store(photo_folder), FolderStore)
