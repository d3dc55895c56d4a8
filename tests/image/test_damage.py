"""What is no image, damaged, hostile or too large is refused in one sentence that names the file."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srtoolbox.errors import ImageError
from srtoolbox.image import (
    decode_image,
    image_shape,
    read_image,
    write_image,
)
from srtoolbox.image.opening import MAX_BYTES
from tests.image.samples import RGB, SMOOTH, containers, mode, png_chunks, saved


def refused(path: Path, words: str) -> None:
    """One ImageError that names the file and says what is wrong, from both ways to look at it."""
    for look in (read_image, image_shape):
        with pytest.raises(ImageError, match=words) as caught:
            look(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_things_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "is a folder")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty.*replace")
    (tmp_path / "text.png").write_text("this is not an image, but long enough to look at")
    refused(tmp_path / "text.png", "PNG, TIFF, WEBP.*save it as PNG")
    refused(tmp_path / "absent.png", "No such file")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path / "link.png", "broken link to .*gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    refused(tmp_path / "loop.png", "link")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "not a regular file")
    refused(tmp_path / "empty.png" / "below.png", "Not a directory")
    for kind in ("PPM", "ICO"):
        (tmp_path / "other.png").write_bytes(saved(mode("RGB"), kind))
        refused(tmp_path / "other.png", "is of the format (PNM|icon), .*save it as PNG")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", RGB)
    (tmp_path / "x.png").chmod(0)
    refused(tmp_path / "x.png", "Permission")


@pytest.mark.parametrize("name", containers())
def test_no_truncated_file_is_accepted(name: str) -> None:
    """Cut at every byte: refused, or (metadata stored after the pixels cut off) read whole."""
    data = containers()[name]
    whole = decode_image(data, name)
    accepted = []
    for length in range(len(data)):
        try:
            image = decode_image(data[:length], name)
        except ImageError as error:
            assert str(error).startswith(f"{name}: ")
        else:
            accepted.append(length)
            assert np.array_equal(image, whole), length
    assert len(accepted) <= (0 if "png" in name or "jpg" in name else 4), accepted


@pytest.mark.parametrize("name", containers())
def test_mutated_files_never_escape(name: str) -> None:
    """Flipped bytes and splices give an image or one ImageError; for PNG never another image."""
    data = containers()[name]
    whole = decode_image(data, name)
    dice = random.Random(name)
    for _ in range(60):
        bad = bytearray(data)
        if dice.random() < 0.5:
            for _ in range(dice.choice([1, 1, 2, 8])):
                bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        else:
            start = dice.randrange(len(bad))
            del bad[start : start + dice.randrange(1, 40)]
        try:
            image = decode_image(bytes(bad), name)
        except ImageError as error:
            assert str(error).startswith(f"{name}: ")
        else:
            assert image.dtype in (np.uint8, np.uint16)
            assert image.ndim == 3
            if name.endswith("png"):  # every chunk carries a CRC
                assert np.array_equal(image, whole)


def test_bombs_are_refused_before_allocation(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(2**20))
    bombs = {
        "bomb.png": png_chunks((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")),
        "bomb.jpg": saved(Image.fromarray(SMOOTH), "JPEG").replace(
            struct.pack(">HH", 48, 40), struct.pack(">HH", 60_000, 60_000)
        ),
        "bomb.bmp": saved(mode("RGB"), "BMP").replace(struct.pack("<ii", 14, 11), struct.pack("<ii", 50_000, 50_000)),
        "palette.png": png_chunks(
            (b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 3, 0, 0, 0)),
            (b"PLTE", bytes(6)),
            (b"IDAT", rows),
            (b"IEND", b""),
        ),
    }
    before = peak_memory()
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, "pixels.*split it")
    assert peak_memory() - before < 100 * 2**20


def peak_memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_too_little_memory_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    write_image(tmp_path / "x.png", RGB)
    monkeypatch.setattr("srtoolbox.image.reading._decode_by_cv2", fail)
    with pytest.raises(ImageError, match=r"x\.png: memory does not suffice"):
        read_image(tmp_path / "x.png")


def test_file_larger_than_any_image(tmp_path: Path) -> None:
    with open(tmp_path / "x.png", "wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: takes no room
    refused(tmp_path / "x.png", "bytes, more than")
