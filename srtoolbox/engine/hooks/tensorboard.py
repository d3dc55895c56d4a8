"""TensorBoard (event files, each to be read after the earlier ones, and a network's graph), and
Weights & Biases by way of it: records are sent along, nothing is logged twice.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import secrets
import threading
import time
import warnings
from collections import deque
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tensorboard.summary.writer import event_file_writer
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from srtoolbox.engine.evaluate import uncompiled
from srtoolbox.errors import ConfigError, RunError, WriteError
from srtoolbox.inference.restore import evaluation
from srtoolbox.interfaces import facts_of
from srtoolbox.io.files import append_bytes
from srtoolbox.logger import LOGGER
from srtoolbox.text import counted, first_line

_MOST_WAITING = 64 << 20  # bytes
_SIDE = 24  # px of the traced image; the graph is the same for any


def open_writer(folder: Path, *, purge_step: int) -> SummaryWriter:
    """Return a writer; what earlier files say of `purge_step` and later steps is void.

    TensorBoard reads the files of a folder by name, which begins with the second of its start. Of a
    run resumed within a second, or after the clock was set back, the files would be read in another
    order, and its steps taken for void. So the name may be some seconds ahead of its time.
    """
    seconds = [int(time.time())]
    for path in folder.glob("events.out.tfevents.*"):
        with contextlib.suppress(ValueError):
            seconds.append(int(path.name.split(".")[3]) + 1)
    opener = threading.get_ident()

    def clock() -> float:
        """Stand still for the thread that opens the writer."""
        return max(seconds) if threading.get_ident() == opener else time.time()

    event_file_writer.time = SimpleNamespace(time=clock)  # the name cannot be given, nor the file
    event_file_writer.RecordWriter = lambda file: RecordWriter(_PatientFile(file))
    try:
        return SummaryWriter(folder, purge_step=purge_step)
    finally:
        event_file_writer.time, event_file_writer.RecordWriter = time, RecordWriter


class _PatientFile:
    """An event file for its writer's thread. A record is appended whole or not at all.

    What a full or failing disk refuses waits and is tried again, in its order; it is reported once.
    """

    def __init__(self, file: object) -> None:
        # of TensorBoard's own kind, or of TensorFlow's if that is there
        path: str | bytes = getattr(file, "filename", b"") or getattr(file, "name", b"")
        self._path, self.closed = Path(os.fsdecode(path)), False
        self._waiting: deque[bytes] = deque()
        self._is_failing = False

    def write(self, record: bytes) -> None:
        """Append a record, after those that wait. Beyond 64 MB of them it is lost."""
        if sum(map(len, self._waiting)) < _MOST_WAITING:
            self._waiting.append(record)
        self.flush()

    def flush(self) -> None:
        """Append what waits, if the disk takes it."""
        try:
            while self._waiting:
                append_bytes(self._path, self._waiting[0])
                self._waiting.popleft()
            self._is_failing = False
        except WriteError as error:
            if not self._is_failing:
                state = "The training goes on; TensorBoard's records wait until they can be written"
                LOGGER.warning("%s %s", error, state)
            self._is_failing = True

    def close(self) -> None:
        """Append what waits; what cannot be appended now is lost to TensorBoard."""
        self.flush()
        self.closed = True
        if self._waiting:
            lost = counted(len(self._waiting), "record")
            LOGGER.warning("%s lacks its last %s", self._path, lost)


def write_graph(writer: SummaryWriter, network: nn.Module, device: torch.device) -> None:
    """Trace the network on a small gray image and write its graph; warn if it cannot be traced."""
    facts = facts_of(network)
    side = facts.fit(_SIDE)
    image = torch.full((1, facts.in_channels, side, side), 0.5, device=device)
    devices = [device] if device.type == "cuda" else []
    quiet = contextlib.redirect_stdout(io.StringIO())  # torch prints what fails
    with evaluation(network), uncompiled(), torch.no_grad(), torch.random.fork_rng(devices), quiet:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes that become constants
                writer.add_graph(network, image)
        except Exception as error:  # whatever tracing meets in a network of somebody's
            kind, reason = type(network).__name__, first_line(error)[:200]
            LOGGER.warning("no graph of %s for TensorBoard: it cannot be traced (%s)", kind, reason)


_OURS = ("sync_tensorboard", "config", "resume")
MISSING = "needs the package wandb: pip install 'srtoolbox[wandb]', or take wandb out of the logger"


def wandb_fault(settings: object) -> str | None:
    """Return what is wrong with `LoggerHook(wandb=...)`, before anything runs; None: nothing."""
    if settings is None:
        return None
    if not isinstance(settings, Mapping):
        return f"the arguments of wandb.init, such as dict(project='...'), got {settings!r}"
    if find_spec("wandb") is None:
        return MISSING
    doubled = [key for key in _OURS if key in settings]
    return f"{', '.join(doubled)} is set by the toolbox; take it out" if doubled else None


class WandbRun:
    """One run there. `begin` precedes TensorBoard's writer: wandb listens to writers made later.

    Args:
        settings: arguments of `wandb.init`: project, entity, name, tags, mode='offline', ...
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.id: str = self.settings.pop("id", None) or secrets.token_hex(4)
        self._run: Any = None

    def begin(self, work_dir: Path, config: Mapping[str, Any]) -> None:
        """Start the run, or go on with the one of this id.

        Its files go to `wandb/`, here or in `dir`.

        Raises:
            ConfigError: an argument that wandb.init does not know, or a `dir` within the work dir.
            RunError: the package is missing, or the run cannot start (no login).
        """
        try:
            import wandb
        except ImportError as error:
            raise RunError(f"LoggerHook: wandb {MISSING}") from error
        unknown = sorted(set(self.settings) - set(inspect.signature(wandb.init).parameters))
        if unknown:
            raise ConfigError(f"LoggerHook: wandb.init takes no {', '.join(map(repr, unknown))}")
        if Path(self.settings.get("dir") or ".").resolve().is_relative_to(work_dir.resolve()):
            # it links the event files into its folder, finds the links there, links them, ...
            advice = "write wandb=dict(..., dir='...')"
            raise ConfigError(f"LoggerHook: wandb's folder must not lie in {work_dir}: {advice}")
        offline = self.settings.get("mode") in ("offline", "disabled")
        settings = self.settings if offline else {**self.settings, "resume": "allow"}
        try:
            self._run = wandb.init(**settings, id=self.id, config=dict(config), sync_tensorboard=True)
        except Exception as error:  # its own errors: no login, no network, a wrong project
            raise RunError(
                f"LoggerHook: Weights & Biases cannot start a run ({error}). `wandb login` first, or "
                "write wandb=dict(..., mode='offline')"
            ) from error

    def end(self, failed: bool) -> None:
        """Finish the run, as failed if the training was. A failure there is one warning."""
        if self._run is not None:
            try:
                self._run.finish(exit_code=int(failed))
            except Exception as error:  # its own errors: no network, a full disk
                LOGGER.warning("Weights & Biases could not finish its run (%s): `wandb sync` sends it again", error)
            self._run = None
