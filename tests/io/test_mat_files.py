"""MATLAB's files: what SciPy writes, the other order of bytes, and damaged ones, which end in a ValueError."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import scipy.io

from srtoolbox.io.mat_files import read_mat

ARRAYS = {
    "matrix": np.arange(12.0).reshape(3, 4) / 7,
    "row": np.array([[1.0, 2.0, 3.0]]),
    "cube": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "a": np.array([[5]], np.uint8),
    "empty": np.zeros((0, 3)),
}
OTHERS = {"text": "abc", "struct": {"x": 1.0}, "complex": np.array([[1 + 2j]]), "cell": np.array([[1, "x"]], object)}


def written(is_compressed: bool) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, ARRAYS | OTHERS, do_compression=is_compressed)
    return file.getvalue()


def element(kind: int, content: bytes) -> bytes:
    return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)


def header(version: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + version


@pytest.mark.parametrize("is_compressed", [False, True])
def test_arrays_of_numbers_come_back_and_nothing_else(is_compressed: bool) -> None:
    read = read_mat(io.BytesIO(written(is_compressed)))
    assert set(read) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(read[name], array) and read[name].shape == array.shape


def test_the_other_order_of_bytes() -> None:
    parts = [
        (6, struct.pack(">II", 6, 0)),
        (5, struct.pack(">ii", 1, 2)),
        (1, b"wide"),
        (9, struct.pack(">dd", 3, 0.5)),
    ]
    matrix = element(14, b"".join(element(*part) for part in parts))
    assert read_mat(io.BytesIO(header(b"\x01\x00MI") + matrix))["wide"].tolist() == [[3, 0.5]]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_damaged_files_are_read_or_refused_and_end_nothing(is_compressed: bool) -> None:
    whole, rng, refused = written(is_compressed), np.random.default_rng(0), 0
    for number in range(400):
        data = bytearray(whole[: rng.integers(len(whole))] if number % 4 == 0 else whole)
        for place in rng.integers(0, len(data), 3 * (number % 4 > 0)):
            data[place] = rng.integers(256)
        try:
            read_mat(io.BytesIO(data))
        except ValueError:
            refused += 1
    assert refused > 100


def test_other_files_are_refused_with_what_to_do() -> None:
    for data in (b"", b"text" * 99, header(b"\x00\x02IM") + bytes(99)):
        with pytest.raises(ValueError, match="save it with '-v7'"):
            read_mat(io.BytesIO(data))


def test_what_would_grow_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srtoolbox.io.mat_files._MOST", 100)
    with pytest.raises(ValueError, match="more than 0 MiB"):
        read_mat(io.BytesIO(written(is_compressed=True)))
