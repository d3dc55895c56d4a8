"""LQ of many samples, made in this process or in several, in order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from srtoolbox.apps.browse.feed import Feed, SeenSample
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.loader import TrainLoader


class Job(NamedTuple):
    """Samples to be made together, see `Feed.make`."""

    draws: Sequence[Draw]
    variants: Sequence[int] | None = None


def make_all(feed: Feed, jobs: Sequence[Job], workers: int) -> Generator[SeenSample]:
    """Yield the samples of all jobs in order, of their images LQ alone.

    Args:
        feed: makes them.
        jobs: what is made.
        workers: processes that do so; 0: this one alone, which has the device too.

    Raises:
        DataError: an image cannot be read or does not fit.
        RunError: a process cannot be started, or died.
    """
    maker = _Maker(feed)
    if not workers or not jobs or feed.device.type != "cpu":
        for job in jobs:
            yield from maker.__getitems__(job)
        return
    loader = TrainLoader(cast("Any", maker), cast("Any", _Jobs(jobs)), workers, lambda: False)
    try:
        for _ in jobs:
            yield from cast("list[SeenSample]", next(loader))
    finally:
        loader.close()


class _Jobs(list[Job]):
    """Jobs in the place of a loader's batches of draws."""

    batch_size = 1


class _Maker:
    """A feed in the place of a loader's dataset; a process that starts anew builds its own.

    Steps are known by `id`, which does not travel.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __reduce__(self) -> tuple[Any, ...]:
        return _maker_of, (self._feed.config, self._feed.seed)

    def sample(self, draws: Sequence[Draw]) -> dict[str, Any]:
        """Return no images: what the processes hand over is small."""
        return {}

    def __getitems__(self, job: Job) -> list[SeenSample]:
        return [replace(sample, images={"lq": sample.lq}) for sample in self._feed.make(*job)]


def _maker_of(config: dict[str, Any], seed: int) -> _Maker:
    return _Maker(Feed(config, seed=seed))
