"""When the heartbeat calls a rank stuck, on a clock that the test turns."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from srtoolbox import dist
from srtoolbox.dist import heartbeat
from srtoolbox.dist.heartbeat import Heartbeat
from srtoolbox.io.files import read_json
from srtoolbox.text import counted
from tests import processes

TIMEOUT = 10.0


class Pair:
    """Two ranks and their clock. What each told is in the store."""

    def __init__(self) -> None:
        self.now = 0.0
        store = HashStore()
        self.ended: list[int] = []
        self.ranks = [Heartbeat(store, rank, 2, TIMEOUT, self.ended.append) for rank in range(2)]

    def turn(self, seconds: float) -> list[str]:
        """Let time pass, with all signs of life; returns the faults found."""
        found = []
        for _ in range(int(seconds)):
            self.now += 1.0
            for rank in self.ranks:
                rank._beat()
            found += [
                fault for rank in self.ranks if (fault := rank._silent([1 - rank.rank], TIMEOUT) or rank._stuck())
            ]
        return [fault for fault in found if fault]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    clock = types.SimpleNamespace(monotonic=lambda: made.now, sleep=lambda seconds: None)
    made = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(heartbeat, "time", clock)
    made = Pair()
    return made


def test_a_long_evaluation_that_gets_on_is_no_hang(pair: Pair) -> None:
    for rank in pair.ranks:
        rank.enter("evaluate", 5)
    for _ in range(10):  # 600 s in all
        assert pair.turn(60) == []
        for rank in pair.ranks:
            rank.advance()


def test_a_rank_waits_for_one_that_still_gets_on(pair: Pair) -> None:
    for rank in pair.ranks:
        rank.enter("evaluate", 5)
    for _ in range(5):  # rank 1 has all its images
        assert pair.turn(60) == []
        pair.ranks[0].advance()
    assert "ranks 0, 1 hangs in phase 'evaluate'" in pair.turn(120)[0]


def test_an_image_that_takes_too_long_is_a_hang(pair: Pair) -> None:
    for rank in pair.ranks:
        rank.enter("evaluate", 5)
    assert pair.turn(99) == []
    assert pair.turn(10) != []


def test_a_start_may_take_as_long_as_a_save(pair: Pair) -> None:
    assert pair.turn(90) == []
    pair.ranks[1].enter("data", 0)  # which then waits for rank 0, still at its first images
    pair.ranks[1].enter("train", 0)
    assert pair.turn(9) == []
    assert "rank 0 hangs in phase 'start'" in pair.turn(30)[0]


def test_a_rank_behind_the_others_is_named(pair: Pair) -> None:
    pair.ranks[0].enter("train", 5)
    pair.ranks[1].enter("data", 5)
    assert pair.turn(9) == []
    found = pair.turn(10)
    assert f"rank 1 hangs in phase 'data' after iteration 5 (process {os.getpid()} " in found[0]


def test_a_store_that_fails_without_a_word_ends_the_rank(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    rank = pair.ranks[1]

    def fail() -> None:
        rank.close()
        rank._closed.is_set = lambda: False
        raise ConnectionError

    monkeypatch.setattr(rank, "_beat", fail)
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.01)
    rank._run()
    assert pair.ended == [1]


def test_an_end_at_once_does_not_mind_a_reader_that_is_gone() -> None:
    """Of `train ... | head`, say."""
    reader, writer = os.pipe()
    os.close(reader)

    def leave() -> None:
        os.dup2(writer, 1)
        print("told")
        heartbeat.exit_now(7)

    try:
        done = processes.run(leave)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (7, "")


BLOCKED = """
import threading, time
from srtoolbox.logger import LOGGER, setup_logging
from srtoolbox.dist.heartbeat import exit_now, say
setup_logging()
def end():
    time.sleep(1)
    say(LOGGER.error, "it ends")
    exit_now(7)
threading.Thread(target=end).start()
while True:
    LOGGER.info("a line of the log")
"""


def test_a_rank_whose_console_is_held_ends_too() -> None:
    """Nobody reads what it writes: its main thread is caught in the log."""
    reader, writer = os.pipe()
    try:
        assert subprocess.run([sys.executable, "-c", BLOCKED], stderr=writer, timeout=60).returncode == 7
    finally:
        os.close(reader)
        os.close(writer)


class Asking:
    """A number; to print it is to ask from another thread, as the heartbeat does, where the main thread is."""

    def __init__(self, rank: Heartbeat) -> None:
        self.rank, self.told = rank, ""

    def __format__(self, form: str) -> str:
        self.rank._fault = self._ask  # which the main thread meets as it waits for an explanation
        self.rank.explain(1.0)
        return ""

    def _ask(self) -> str:
        with ThreadPoolExecutor(1) as other:
            self.told = other.submit(self.rank.line).result()
        return "a fault"


def test_the_line_told_is_ours_and_not_that_of_who_waits(pair: Pair) -> None:
    asking = Asking(pair.ranks[0])
    counted(asking, "image")
    assert re.search(r"text\.py:\d+$", asking.told)
    try:
        read_json("nowhere.json")
    except OSError as error:
        pair.ranks[0].error = error
    counted(asking, "image")
    assert re.search(r"files\.py:\d+$", asking.told)


def test_a_failure_keeps_its_line_through_the_clean_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    rank = pair.ranks[0]
    monkeypatch.setattr(dist._Group, "heartbeat", rank)
    monkeypatch.setattr(dist, "exit_now", lambda code: None)
    monkeypatch.setattr(rank, "let_others_read", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    try:
        read_json("nowhere.json")
    except OSError as error:
        dist.abort(error)
    assert re.search(r"files\.py:\d+$", rank.line())
