r"""Shells and consoles of Windows: cp1252 without ANSI, patterns nobody expands, `\` in paths."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest

from srtoolbox import cli, system
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.data.stores.base import missing
from srtoolbox.errors import ConfigError
from srtoolbox.io import files


class Console(io.TextIOWrapper):
    """Standard output as Windows gives it to a program whose output goes to a file or a pipe."""

    def __init__(self, encoding: str = "cp1252") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


ENCODINGS = ["cp1252", "cp437", "ascii"]


def printed(arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a command prints on such a console."""
    console = Console(encoding)
    monkeypatch.setattr(sys, "stdout", console)
    assert main(arguments) in (0, 1)
    return console.text()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_are_drawn_with_what_the_console_has(encoding: str, tiny_config: Path, monkeypatch) -> None:
    text = printed(["model_info", str(tiny_config), "--size", "8", "8"], encoding, monkeypatch)
    assert "parameters" in text and "\x1b" not in text and not re.search(r"\\[ux][0-9a-f]{2}", text)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_name_the_console_cannot_print_ends_nothing(
    encoding: str, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "絵"
    folder.mkdir()
    (folder / "猫.png").write_bytes((photo_folder / "cat0.png").read_bytes())
    (folder / "壊.png").write_bytes(b"no image")
    assert r"\u58ca.png" in printed(["check_data", str(folder)], encoding, monkeypatch)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files in the current folder, on Windows."""
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    monkeypatch.chdir(tmp_path)
    for name in ("b.pth", "a.pth", "c[1].pth"):
        (tmp_path / name).touch()


def test_patterns_are_expanded_where_no_shell_does(runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["x.py", "*.pth", "c[1].pth", "--name", "d*", "transforms[1].p=0.9", "-o*"]
    expected = ["x.py", "a.pth", "b.pth", "c[1].pth", "c[1].pth", "--name", "d*", "transforms[1].p=0.9", "-o*"]
    assert cli.expand_patterns(given) == expected
    monkeypatch.setattr(system, "IS_WINDOWS", False)
    assert cli.expand_patterns(given) == given


def test_a_tab_in_a_path_is_told_and_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("root = 'D:\\data\\train'\nmax_iters = 5\n")
    root = Config.fromfile(tmp_path / "a.py")["root"]
    assert root == "D:\\data\train", "Python's own meaning"
    message = str(missing(root))
    assert r"D:\data\train" in message and "\t" not in message and r"r'D:\photos'" in message


def test_a_bell_in_a_path_is_shown_as_it_was_typed() -> None:
    message = str(missing("D:\archive"))
    assert message.startswith(r"D:\archive: ") and r"\a in quotes is one sign, no a behind a backslash" in message


def test_a_path_of_the_environment_holds_no_tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "D:\\train")
    (tmp_path / "a.py").write_text("root = '{{$PHOTOS:none}}'\n")
    monkeypatch.setattr(system, "IS_WINDOWS", True)
    assert Config.fromfile(tmp_path / "a.py")["root"] == "D:/train"


def test_a_windows_path_that_is_no_string_names_the_line_and_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("max_iters = 5\nroot = 'C:\\Users\\me'\n")
    with pytest.raises(ConfigError, match=r"a\.py:2: .*write paths with /"):
        Config.fromfile(tmp_path / "a.py")


@pytest.mark.filterwarnings("error")
def test_a_backslash_that_python_keeps_warns_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("root = 'D:\\data'\n")
    assert Config.fromfile(tmp_path / "a.py", ["other='D:\\data'"])["root"] == "D:\\data"


@pytest.mark.skipif(os.sep == "\\", reason="there it is a separator")
def test_a_base_with_backslashes_says_to_write_slashes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("_base_ = '.\\\\parts\\\\b.py'\n")
    with pytest.raises(ConfigError, match="Write paths with /, which every system takes"):
        Config.fromfile(tmp_path / "a.py")
    assert files.slash_hint("a/b") == ""
