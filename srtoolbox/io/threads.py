"""Threads that read ahead of the main one and write behind it, with a bound on what waits.

All keep the order. What fails in a thread is raised where the main thread asks for the result;
where the main thread fails, the threads end: none outlives the block it was made for.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

from srtoolbox.errors import OptionError, SrtoolboxError

AHEAD = 4
"""Items that wait between two threads."""
_POLL_SECONDS = 0.1  # a wait without end would not notice Ctrl-C on Windows
_END = object()
_T = TypeVar("_T")
_R = TypeVar("_R")


class AbandonedError(SrtoolboxError):
    """The items to write will not all come: the writer removes what it has written so far."""


def count_threads(workers: int | None) -> int:
    """Return the threads for `workers`: None and 0 are one per CPU; raises OptionError below 0."""
    if workers is not None and workers < 0:
        raise OptionError(f"workers is at least 1 (default: one per CPU), got {workers}")
    return workers or os.cpu_count() or 1


def map_ahead(
    function: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    threads: int,
    ahead: int = 16,
    cost: Callable[[_T], float] = lambda item: 0,
    budget: float = math.inf,
) -> Generator[tuple[_T, Future[_R]]]:
    """Yield each item with the future of `function(item)`, in order, while the next are worked on.

    Closing the generator waits for the calls that have begun and cancels the others.

    Args:
        function: called in the threads.
        items: asked for the next one by the caller's thread.
        threads: calls at a time.
        ahead: results that may wait besides: `threads + ahead` items follow the one yielded.
        cost: what an item's result takes of the budget, such as its bytes.
        budget: what the results that wait may cost together; one of any cost always may.
    """
    waiting: deque[tuple[_T, Future[_R]]] = deque()
    costs: deque[float] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            costs.append(cost(item))
            while waiting and (len(waiting) > threads + ahead or sum(costs) > budget):
                costs.popleft()
                yield waiting.popleft()
            waiting.append((item, pool.submit(function, item)))
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(items: Iterable[_T], *, ahead: int = AHEAD) -> Generator[_T]:
    """Yield the items of an iterator that works in its own thread, at most `ahead` items ahead.

    Closing the generator waits for the item that is being made.
    """
    source = iter(items)
    calls = map_ahead(lambda _: next(source, _END), itertools.repeat(None), threads=1, ahead=ahead - 1)
    with contextlib.closing(calls):
        for _, future in calls:
            item: Any = future.result()
            if item is _END:
                return
            yield item


def follow(items: Iterable[_T], ahead: int) -> Iterator[_T]:
    """Yield the items in order, each when `ahead` more, which begin work, were asked for."""
    waiting: deque[_T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


class BackgroundCall:
    """One call at a time in a thread of its own, which the process waits for before it ends.

    What a call fails with is raised once, by the first method that meets it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._outcome: Future[None] | None = None

    def start(self, call: Callable[[], object]) -> None:
        """Begin a call, after the one before it has ended well."""
        self.wait()
        # a thread for each: one that idles between calls would be missing in a forked process
        outcome = Future[None]()
        try:
            self._outcome = outcome
            threading.Thread(target=self._work, args=(call, outcome), name=self._name).start()
        except BaseException:  # no thread could start, or Ctrl-C came: only a call that has begun is waited for
            if outcome.cancel():
                self._outcome = None
            raise

    def check(self) -> None:
        """Raise what the last call has failed with, if it has ended; wait for nothing."""
        if self._outcome is not None and self._outcome.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the last call has ended; raises what it failed with."""
        while self._outcome is not None and not self._outcome.done():
            wait([self._outcome], timeout=_POLL_SECONDS)
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.result()

    def then(self, call: Callable[[], object]) -> None:
        """Let `call` follow the last call: now if that has ended, else in its thread."""
        if self._outcome is None:
            call()
        else:
            self._outcome.add_done_callback(lambda _: call())

    @staticmethod
    def _work(call: Callable[[], object], outcome: Future[None]) -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            call()
        except BaseException as error:  # whoever waits gets it
            outcome.set_exception(error)
        else:
            outcome.set_result(None)


class BackgroundWriter(Generic[_T, _R]):
    """A thread that writes what is put here, from `start` on.

    As a context manager it starts and ends with the block: an error there abandons what is half
    written, else leaving waits for the result, or raises what writing failed with.

    Args:
        write: called in the thread with an iterator over the items; returns the `result`.
        ahead: items that may wait.
        pool: threads of which one is taken, where writers follow each other: it must be free by
            the time that `ahead` items wait. None: a new one.
    """

    def __init__(
        self, write: Callable[[Iterator[_T]], _R], *, ahead: int = AHEAD, pool: ThreadPoolExecutor | None = None
    ) -> None:
        self._write, self._ahead = write, ahead
        self._waiting: deque[_T] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._error: Exception | None = None
        self._outcome: Future[_R] = Future()
        self._pool, self._has_begun = pool, False

    def start(self) -> None:
        """Begin. Who has several writers lists one before: then Ctrl-C leaves none of them running."""
        if self._pool is None:
            threading.Thread(target=self._work, daemon=True).start()
        else:
            self._pool.submit(self._work)
        self._has_begun = True

    def put(self, item: _T) -> bool:
        """Hand an item over, waiting while `ahead` of them wait; False if the thread has ended."""
        with self._changed:
            while len(self._waiting) >= self._ahead and not self.is_done:
                self._changed.wait(_POLL_SECONDS)
            if self.is_done:
                return False
            self._waiting.append(item)
            self._changed.notify_all()
            return True

    def close(self, error: Exception | None = None) -> None:
        """End the items: after those that wait `write` meets the error, if any, else their end."""
        with self._changed:
            if not self._is_closed:
                self._is_closed, self._error = True, error
                self._changed.notify_all()

    def abandon(self) -> None:
        """Let `write` drop what is half written, and wait for it.

        What is closed is finished instead, and what has not begun never begins.
        """
        self.close(AbandonedError("abandoned"))
        if self._has_begun or not self._outcome.cancel():
            self._outcome.exception()

    @property
    def is_done(self) -> bool:
        """True if the thread has ended: `result` does not wait."""
        return self._outcome.done()

    def result(self) -> _R:
        """Wait for what `write` returns; raises what it failed with."""
        return self._outcome.result()

    def __enter__(self) -> BackgroundWriter[_T, _R]:
        try:
            self.start()
        except BaseException:
            self.abandon()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.abandon()
            return
        self.close()
        self.result()

    def _work(self) -> None:
        if not self._outcome.set_running_or_notify_cancel():
            return
        try:
            self._outcome.set_result(self._write(self._items()))
        except BaseException as error:  # whoever asks for the result gets it
            self._outcome.set_exception(error)
        with self._changed:
            self._changed.notify_all()

    def _items(self) -> Iterator[_T]:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if not self._waiting:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
