"""The images in a folder are listed, and what looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from srtoolbox.errors import ImageError
from srtoolbox.image.file_types import list_images


def test_list_images(tmp_path: Path) -> None:
    for name in (
        "b.png",
        "a.JPG",
        "sub/c.tiff",
        "sub/deep/d.webp",
        "sub.x/e.bmp",
        "f.txt",
        ".g.png",
        ".h/i.png",
        "j.jpeg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "k.png").touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "sub" / "self").symlink_to(tmp_path / "sub" / "self")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    names = ["a.JPG", "b.png", "dangling.png", "folder.png/k.png", "j.jpeg"]
    names += ["sub.x/e.bmp", "sub/c.tiff", "sub/deep/d.webp"]
    assert [path.as_posix() for path in list_images(tmp_path)] == names
    with pytest.raises(ImageError, match="absent: no such folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(ImageError, match=r"b\.png: not a folder"):
        list_images(tmp_path / "b.png")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "data" / "real" / "x.png").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "one").symlink_to(tmp_path / "data")
    assert [path.as_posix() for path in list_images(tmp_path / "top")] == ["one/real/x.png"]
