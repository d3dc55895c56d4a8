"""The public name of a run: `srtoolbox.Runner(config, work_dir).train()`."""

from __future__ import annotations

from srtoolbox import dist
from srtoolbox.engine.job.signals import Interrupted
from srtoolbox.engine.job.workdir import refuse_mixing
from srtoolbox.engine.loop import train
from srtoolbox.engine.run import Run
from srtoolbox.engine.stop import Stop


class Runner(Run):
    """A run that trains itself, see `Run`."""

    def train(self) -> None:
        """Train up to `max_iters`, in an unused folder, or on from the newest checkpoint there.

        `srtoolbox.train` does more: it locks and logs, and keeps what it replaces.

        Raises:
            RunError: another run is in the folder, or a fault ends this one (`Stop`).
            KeyboardInterrupt: a signal came (`Interrupted`); what can be saved is saved.
        """
        refuse_mixing(self.work_dir, self.resumed_from)
        dist.barrier()  # a slow rank must not find what the first one writes
        try:
            train(self)
        except Stop as stop:
            if stop.signum:
                raise Interrupted(str(stop), stop.exit_code) from None
            raise
