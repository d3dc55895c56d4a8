"""Threads before and behind the main one, with few things waiting between them, so that memory is bounded."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

AHEAD = 4
"""Items that wait before the main thread, and behind it."""
_T = TypeVar("_T")


class Ahead(Generic[_T]):
    """An iterator that works in a thread of its own, a few items ahead."""

    def __init__(self, items: Iterator[_T]) -> None:
        self._queue: queue.Queue[tuple[bool, Any]] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[_T]:
        while True:
            alive, item = self._queue.get()
            if alive:
                yield item
            elif item is None:
                return
            else:
                raise item

    def close(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=0.05)
        self._thread.join()

    def _work(self, items: Iterator[_T]) -> None:
        end: BaseException | None = None
        try:
            for item in items:
                if self._stopped.is_set():
                    break
                self._queue.put((True, item))
        except BaseException as error:  # raised where the items are asked for
            end = error
        self._queue.put((False, end))


class Sink:
    """A thread that is given an iterator over what is put here. Leaving by an error stops it at once."""

    def __init__(self, consume: Callable[[Iterator[Any]], None]) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._consume = consume
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._hand_over(_Abandoned() if error is not None else None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def put(self, item: Any) -> None:  # noqa: ANN401 - whatever is consumed
        """Hand an item over, waiting while enough of them wait. Raises what the thread failed with."""
        self._hand_over(item)
        if self._error is not None:
            raise self._error

    def _hand_over(self, item: Any) -> None:  # noqa: ANN401
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.1)
                return

    def _work(self) -> None:
        try:
            self._consume(self._items())
        except _Abandoned:
            return
        except BaseException as error:  # raised where items are put
            self._error = error

    def _items(self) -> Iterator[Any]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Abandoned):
                raise item
            yield item


class _Abandoned(Exception):  # noqa: N818 - no error, an end
    """The producer has failed: what is half done shall be dropped."""
