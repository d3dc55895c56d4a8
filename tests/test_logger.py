"""The log of a run on a disk that is full: training goes on, one line says so, and no line is torn."""

from __future__ import annotations

import errno
import io
import logging
import sys
import time
import types
from pathlib import Path

import pytest
from rich.console import Console

from srtoolbox import logger
from srtoolbox.logger import LOGGER, Lines, logging_restored, progress_bar, setup_logging
from tests.faults.disk import Disk


def test_a_full_disk_is_told_once_and_tears_no_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    log = tmp_path / "train.log"
    setup_logging(log)
    LOGGER.info("before")
    with Disk(tmp_path, at=1, fault=errno.ENOSPC, lasting=True).active():  # half of the line reaches the disk
        for number in range(20):
            LOGGER.info("during %d", number)
    LOGGER.info("after")
    lines = [line.split(" ", 2)[2] for line in log.read_text().splitlines()]
    assert lines == ["before", "after"]
    told = capsys.readouterr().err
    assert "Traceback" not in told and told.count("disk full") == 1 and str(log) in told
    assert told.count("during") == 20


def test_the_console_is_what_stderr_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    setup_logging()
    monkeypatch.setattr(sys, "stderr", second)
    first.close()
    LOGGER.info("a cell of a notebook later")
    assert second.getvalue().endswith("a cell of a notebook later\n")


def test_other_ranks_write_no_file(tmp_path: Path) -> None:
    setup_logging(tmp_path / "train.log", main_process=False)
    LOGGER.error("told by the main process")
    assert not (tmp_path / "train.log").exists() and LOGGER.level == logging.WARNING


def test_the_file_begins_with_what_was_said_before_it_was_there(tmp_path: Path) -> None:
    setup_logging()
    LOGGER.info("of an earlier command")
    setup_logging()
    LOGGER.info("resuming")
    setup_logging(tmp_path / "train.log")
    LOGGER.info("training")
    setup_logging(tmp_path / "train.log")
    assert [line.split(" ", 2)[2] for line in (tmp_path / "train.log").read_text().splitlines()] == [
        "resuming",
        "training",
    ]


def test_handlers_of_others_stay_and_the_log_is_put_back(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    setup_logging()
    outer = list(LOGGER.handlers)
    LOGGER.addHandler(caplog.handler)
    with logging_restored():
        setup_logging(tmp_path / "train.log")
        LOGGER.info("of a run")
    assert caplog.messages == ["of a run"] and "of a run" in (tmp_path / "train.log").read_text()
    assert capsys.readouterr().err.count("of a run") == 1
    LOGGER.removeHandler(caplog.handler)
    assert LOGGER.handlers == outer
    LOGGER.info("after it")
    assert "after it" in capsys.readouterr().err and "after it" not in (tmp_path / "train.log").read_text()


def test_a_bar_in_a_notebook_needs_no_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    display = types.ModuleType("IPython.display")
    display.HTML = str
    display.display = lambda html, display_id: shown.append(html) or types.SimpleNamespace(update=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(logger.CONSOLE, "is_jupyter", True)
    with progress_bar("training <x>") as show:
        for done in range(1, 101):
            show(done, 100)
    assert shown[0] == "training &lt;x&gt;" and "value='100'" in shown[-1] and shown[-1].endswith("100/100")
    assert len(shown) < 50  # not each time


def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture) -> None:
    with progress_bar("training") as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_line_is_printed_at_once_and_those_close_behind_it_together(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = []
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=20)
    monkeypatch.setattr(console, "print", lambda text, **_: printed.append(text))
    monkeypatch.setattr(logger, "_LINES_SECONDS", 60.0)
    with pytest.raises(KeyboardInterrupt), Lines(console) as lines:
        for number in range(100):
            lines.say(str(number))
        assert printed == ["0"]
        raise KeyboardInterrupt
    assert printed == ["0", "\n".join(map(str, range(1, 100)))]
    monkeypatch.setattr(logger, "_LINES_SECONDS", 0.01)
    for line in ("first", "alone"):  # and no other one comes
        lines.say(line)
        for _ in range(2000):
            if printed[-1] == line:
                break
            time.sleep(0.005)
        else:
            raise AssertionError("a line that no other follows is not printed")


def test_lines_are_printed_as_they_are() -> None:
    file = Console(file=io.StringIO(), force_terminal=False)
    with Lines(file) as lines:
        lines.say("[a] line that is longer than a console, with [b]signs[/b] of markup " * 3)
        assert file.file.getvalue().count("[b]signs[/b]") == 3 and file.file.getvalue().count("\n") == 1
