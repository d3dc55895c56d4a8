"""The public name of a run: `srtoolbox.Runner(config, work_dir).train()`."""

from __future__ import annotations

from srtoolbox.engine.loop import train
from srtoolbox.engine.run import Run


class Runner(Run):
    """A run that trains itself, see `Run`."""

    def train(self) -> None:
        """Train up to `max_iters`.

        Raises:
            Stop: a signal came, or a fault ends the run; what can be saved is saved.
        """
        train(self)
