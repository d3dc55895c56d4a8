"""Values of LMDBs: every window of every encoding is exact, and damage is told."""

import builtins
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.cli.convert_lmdb import main
from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.data.stores import open_store
from srtoolbox.data.stores.base import Window
from srtoolbox.data.stores.encodings import BAND, ENCODINGS, TILE, encode, open_value
from srtoolbox.errors import DataError

needs_zstd = pytest.mark.skipif(importlib.util.find_spec("zstandard") is None, reason="needs the extra 'compact'")
EACH_ENCODING = [pytest.param(name, marks=needs_zstd if name == "zstd" else ()) for name in ENCODINGS]
SIZES = [(1, 1), (63, 65), (64, 64), (64, 128), (65, 63), (128, 64), (129, 200), (200, 3), (3, 200), (256, 192)]


def windows(height: int, width: int, rng: np.random.Generator) -> list[Window | None]:
    found = [None, Window(0, 0, height, width), Window(height - 1, width - 1, 1, 1), Window(0, 0, 1, 1)]
    found += [Window(0, 0, height + 9, width + 9), Window(height // 2, width // 2, 0, 0), Window(height, width, 2, 2)]
    for _ in range(30):
        top, left = rng.integers(height), rng.integers(width)
        found.append(Window(top, left, rng.integers(1, height - top + 1), rng.integers(1, width - left + 1)))
    corners = [(top, left) for top in (0, 63, 64, 65, 128) for left in (0, 63, 64, 65, 128)]
    return found + [Window(*corner, size, size) for corner in corners for size in (1, 2, 64, 65)]


@pytest.mark.parametrize("encoding", EACH_ENCODING)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_window_is_exact(encoding: str, size: tuple[int, int], channels: int, dtype: type) -> None:
    rng = np.random.default_rng(size[0] * 1000 + size[1])
    image = rng.integers(0, np.iinfo(dtype).max, (*size, channels), dtype, endpoint=True)
    image[size[0] // 2 :] = np.linspace(0, np.iinfo(dtype).max, size[1])[:, None].astype(dtype)  # differences pay here
    stored = open_value(encoding, encode(encoding, image), image.shape, image.dtype.name, "x")
    for window in windows(*size, rng):
        read = stored.read(window)
        expected = image if window is None else window.cut(image)
        assert read.dtype == dtype and read.shape == expected.shape and np.array_equal(read, expected), window


@pytest.mark.parametrize("encoding", EACH_ENCODING)
def test_views_of_larger_images_are_stored(encoding: str, photo: np.ndarray) -> None:
    cut = photo[3:100, 5:90]
    stored = open_value(encoding, encode(encoding, cut), cut.shape, "uint8", "x")
    assert np.array_equal(stored.read(None), cut)


def test_a_window_touches_its_tiles_alone(photo: np.ndarray) -> None:
    image = np.ascontiguousarray(np.resize(photo, (3 * TILE, 3 * TILE + 5, 3)))
    value = bytearray(encode("raw_tiled", image))
    assert len(value) == image.nbytes
    first = TILE * image.shape[1] * 3 + TILE * TILE * 3  # the middle tile
    kept = value[first : first + TILE * TILE * 3]
    value[:] = bytes(len(value))
    value[first : first + TILE * TILE * 3] = kept
    stored = open_value("raw_tiled", memoryview(value), image.shape, "uint8", "x")
    window = Window(TILE, TILE, TILE, TILE)
    assert np.array_equal(stored.read(window), window.cut(image))


@needs_zstd
def test_zstd_takes_differences_where_they_pay() -> None:
    ramp = np.tile(np.arange(999, dtype=np.uint16)[None, :, None] * 61, (BAND, 1, 1))
    noise = np.random.default_rng(0).choice(np.array([0, 9, 255], np.uint16), (BAND, 999, 1), p=[0.8, 0.1, 0.1])
    image = np.concatenate([ramp, noise])
    stored = open_value("zstd", encode("zstd", image), image.shape, "uint16", "x")
    assert [band[0] for band in stored.bands] == [1, 0]
    assert np.array_equal(stored.read(None), image)


@needs_zstd
def test_zstd_decodes_the_bands_it_touches_alone(photo: np.ndarray) -> None:
    image = np.ascontiguousarray(np.resize(photo, (5 * BAND, 50, 3)))
    value = bytearray(encode("zstd", image))
    value[-9] ^= 0xFF  # in the last band
    stored = open_value("zstd", memoryview(value), image.shape, "uint8", "s.lmdb:a.png")
    window = Window(BAND - 1, 2, 3 * BAND, 40)
    assert np.array_equal(stored.read(window), window.cut(image))
    with pytest.raises(DataError, match=r"s\.lmdb:a\.png.*damaged"):
        stored.read(None)


@pytest.mark.parametrize("encoding", EACH_ENCODING[:3])
def test_a_value_of_another_length_is_refused(encoding: str, photo: np.ndarray) -> None:
    image = np.ascontiguousarray(photo[:90, :70])
    value = bytes(encode(encoding, image))
    for damaged in (value[:-1], value + b"0", value[:5], b""):
        with pytest.raises(DataError, match=r"x: .*Convert the images again"):
            open_value(encoding, memoryview(damaged), image.shape, "uint8", "x")


@needs_zstd
def test_zstd_damaged_anywhere_is_refused(photo: np.ndarray) -> None:
    image = np.ascontiguousarray(photo[:90, :70])
    value = encode("zstd", image)
    for position in [*range(40), *range(40, len(value), 97)]:
        damaged = bytearray(value)
        damaged[position] ^= 0x55
        with pytest.raises(DataError, match="damaged"):
            open_value("zstd", memoryview(damaged), image.shape, "uint8", "x").read(None)


@needs_zstd
def test_zstd_without_its_package_is_one_error(photo_folder: Path, tmp_path: Path, monkeypatch) -> None:
    write_stores(make_plan(photo_folder, Recipe("zstd")), [tmp_path / "s.lmdb"])
    original = builtins.__import__

    def without(name, *args):
        if name == "zstandard":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.delitem(sys.modules, "zstandard")
    monkeypatch.setattr(builtins, "__import__", without)
    for ask in (lambda: open_store(tmp_path / "s.lmdb"), lambda: make_plan(photo_folder, Recipe("zstd"))):
        with pytest.raises(DataError, match=r"pip install 'srtoolbox\[compact\]'"):
            ask()


@pytest.mark.parametrize("encoding", EACH_ENCODING)
def test_the_command_converts_pairs_to_each(encoding: str, photo_folder: Path, tmp_path: Path) -> None:
    for name in ("raw", encoding):
        options = ["--scale", "2", "--encoding", name, "--overwrite", "-o", str(tmp_path / name)]
        assert main([str(photo_folder), *options]) == 0
    for role in ("gt", "lq"):
        plain, store = open_store(tmp_path / f"raw/{role}.lmdb"), open_store(tmp_path / f"{encoding}/{role}.lmdb")
        assert list(store.keys()) == list(plain.keys())
        for key in list(plain.keys()):
            assert store.shape(key) == plain.shape(key)
            assert np.array_equal(store.read(key), plain.read(key))
