"""Threads that read ahead and write behind: order, bounds, errors, ends."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from srtoolbox.io.threads import AbandonedError, BackgroundCall, BackgroundWriter, follow, map_ahead, prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())  # of which some may end meanwhile
    yield
    eventually(lambda: before.issuperset(threading.enumerate()))


def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def test_each_item_follows_those_asked_for_ahead_of_it() -> None:
    begun: list[int] = []
    items = follow((begun.append(number) or number for number in range(4)), 2)
    assert [(item, len(begun)) for item in items] == [(0, 3), (1, 4), (2, 4), (3, 4)]
    assert list(follow([], 1)) == [] and list(follow([1, 2], 0)) == [1, 2]


def test_results_come_in_order_with_a_bound_on_what_is_ahead() -> None:
    begun: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(9):
            begun.append(number)
            yield number

    slow_first = map_ahead(lambda n: time.sleep(0.05 / (n + 1)) or n * n, numbers(), threads=2, ahead=1)
    for number, (item, future) in enumerate(slow_first):
        assert (item, future.result()) == (number, number**2)
        assert len(begun) == min(number + 5, 9)  # itself, 3 ahead, and one that was asked for


def test_results_that_wait_stay_within_the_budget_and_one_of_any_cost_goes() -> None:
    costs, waiting = [3, 3, 3, 50, 1, 1], []
    calls = map_ahead(lambda cost: cost, costs, threads=4, cost=lambda c: waiting.append(c) or c, budget=6)
    for cost, _ in calls:
        assert waiting[0] == cost
        waiting.pop(0)
        assert len(waiting) == 1 or sum(waiting[:-1]) <= 6
    assert not waiting


def test_an_error_is_the_result_of_its_own_item() -> None:
    with contextlib.closing(map_ahead(lambda n: 1 // n, [1, 0, 1], threads=1)) as calls:
        errors = [future.exception() for _, future in calls]
    assert [type(error) for error in errors] == [type(None), ZeroDivisionError, type(None)]


def test_closing_waits_for_what_has_begun_and_cancels_the_rest() -> None:
    ended: list[int] = []
    calls = map_ahead(lambda n: time.sleep(0.05) or ended.append(n), range(100), threads=1, ahead=50)
    next(calls)
    calls.close()
    assert 1 <= len(ended) <= 3


def test_an_iterator_works_ahead_and_its_error_comes_in_its_place() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number
            if number == 15:
                raise OSError("no more")

    with contextlib.closing(prefetch(items(), ahead=3)) as ahead, pytest.raises(OSError, match="no more"):
        for number, item in enumerate(ahead):
            assert item == number
            time.sleep(0.003)
            assert len(made) <= number + 6
    assert made[-1] == 15 == number
    assert list(prefetch(iter("abc"))) == ["a", "b", "c"]


def test_what_waits_to_be_written_is_bounded() -> None:
    gate, put = threading.Event(), []

    def write(items: Iterator[int]) -> list[int]:
        gate.wait(10)
        return list(items)

    with BackgroundWriter(write, ahead=2) as writer:
        other = threading.Thread(target=lambda: [put.append(n) for n in range(5) if writer.put(n)])
        other.start()
        other.join(0.25)
        assert other.is_alive() and put == [0, 1]
        gate.set()
        other.join(10)
    assert put == writer.result() == [0, 1, 2, 3, 4]


def test_a_failed_writer_takes_no_more_and_leaving_raises_its_error() -> None:
    def write(items: Iterator[int]) -> None:
        next(items)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), BackgroundWriter(write, ahead=1) as writer:
        while writer.put(1):
            pass
        assert not writer.put(2) and writer.is_done


@pytest.mark.parametrize("ahead", [1, 4])
def test_an_error_of_the_block_abandons_what_is_half_written(ahead: int) -> None:
    met: list[object] = []

    def write(items: Iterator[int]) -> None:
        try:
            met.extend(items)
        except AbandonedError:
            met.append("dropped")
            raise

    with pytest.raises(KeyboardInterrupt), BackgroundWriter(write, ahead=ahead) as writer:
        writer.put(1)
        raise KeyboardInterrupt
    assert met == [1, "dropped"]


def test_what_is_closed_is_finished_even_where_it_is_abandoned_then() -> None:
    writer = BackgroundWriter(lambda items: time.sleep(0.05) or list(items))
    writer.start()
    writer.put(1)
    writer.close()
    writer.abandon()
    assert writer.result() == [1]


def test_an_error_handed_over_comes_after_the_items() -> None:
    met: list[int] = []
    writer = BackgroundWriter(lambda items: met.extend(items))
    writer.start()
    writer.put(1)
    writer.close(ValueError("the network fails"))
    with pytest.raises(ValueError, match="the network fails"):
        writer.result()
    assert met == [1]


def test_a_call_begins_when_the_one_before_it_has_ended() -> None:
    gate, met = threading.Event(), []
    call = BackgroundCall("test")
    call.start(lambda: met.append(gate.wait(10)))
    call.check()
    assert met == []
    threading.Timer(0.1, gate.set).start()
    call.start(lambda: met.append("second"))
    assert met[0] is True
    call.wait()
    call.wait()
    assert met == [True, "second"]


@pytest.mark.parametrize("by", ["wait", "check", "start"])
def test_an_error_of_a_call_is_raised_once(by: str) -> None:
    call, ended = BackgroundCall("test"), threading.Event()

    def fail() -> None:
        try:
            raise OSError("disk full")
        finally:
            ended.set()

    call.start(fail)
    assert ended.wait(10)
    with pytest.raises(OSError, match="disk full"):
        if by == "check":
            for _ in range(1000):
                call.check()
                time.sleep(0.005)
        call.start(lambda: None) if by == "start" else call.wait()
    call.check()
    call.wait()


def test_where_no_thread_can_start_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    call, waiter = BackgroundCall("test"), threading.Thread(target=lambda: call.wait(), daemon=True)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            call.start(lambda: None)
    waiter.start()
    waiter.join(5)
    assert not waiter.is_alive()


def test_ctrl_c_as_a_call_begins_leaves_it_to_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, ended, start = threading.Event(), threading.Event(), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        gate.wait(10)
        raise KeyboardInterrupt

    def work() -> None:
        gate.set()
        time.sleep(0.1)
        ended.set()

    call = BackgroundCall("test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call.start(work)
    call.wait()
    assert ended.is_set()


def test_a_writer_that_is_abandoned_before_it_begins_never_does() -> None:
    met: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        writer = BackgroundWriter(lambda items: met.extend(items), pool=pool)
        writer.abandon()
        assert writer.is_done
        writer.start()
    assert met == []


def test_writers_that_follow_each_other_share_the_threads_of_a_pool() -> None:
    with ThreadPoolExecutor(2) as pool:
        threads = set()
        for number in range(20):
            writer = BackgroundWriter(lambda items: (threading.current_thread(), list(items)), pool=pool)
            writer.start()
            assert writer.put(number)
            writer.close()
            thread, items = writer.result()
            assert items == [number]
            threads.add(thread)
        assert len(threads) <= 2
