"""The queue of the page: one job at a time on the device, through the functions that the commands call.

Jobs of the same settings that wait together are one call of `upscale_folder`, so that the network
is read once for them; when the queue is empty nothing of a network is left in memory.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from srtoolbox.apps.ui.jobs import MOST_TIMES, Job, Settings
from srtoolbox.apps.ui.making import ended_between_layers, make_images, make_video
from srtoolbox.apps.ui.store import FULL, Store
from srtoolbox.apps.ui.uploads import Upload, plain
from srtoolbox.apps.ui.weights import Networks
from srtoolbox.errors import SrtoolboxError
from srtoolbox.io import files
from srtoolbox.logger import LOGGER
from srtoolbox.resize import output_length
from srtoolbox.text import first_line


class _CancelledError(BaseException):
    """The user does not want the job any more that runs. No fault: whoever takes those lets this one through."""


class Queue:
    """Jobs in their order, and the thread that does them.

    Args:
        store: where files and results are.
        networks: where the files of weights are.
        device: as of `upscale_folder`.
    """

    def __init__(self, store: Store, networks: Networks, device: str | None = None) -> None:
        self._store, self._networks, self._device = store, networks, device
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._change = threading.Condition()
        self._ends = False
        self._current: Job
        """The job that the network works for."""
        self._thread = threading.Thread(target=self._work, name="srtoolbox-ui", daemon=True)
        self._thread.start()

    def add(self, upload: Upload, settings: Settings) -> Job:
        """Queue a file.

        Raises:
            SrtoolboxError: weights that cannot be used, or a result that is too large.
        """
        if self._store.is_full():
            raise SrtoolboxError(f"{upload.name}: {FULL}")
        scale, label = self._checked(settings)
        final = settings.outscale or scale
        if upload.height * upload.width * final**2 > MOST_TIMES * self._store.limits.pixels:
            size = f"{round(upload.width * final)} x {round(upload.height * final)} pixels"
            raise SrtoolboxError(f"{upload.name}: the result would have {size}, too many; take a smaller scale")
        with self._change:
            job = Job(str(next(self._numbers)), upload, settings, label)
            job.size = output_length(upload.width, final), output_length(upload.height, final)
            self._jobs[job.key] = job
            self._change.notify_all()
        return job

    def _checked(self, settings: Settings) -> tuple[int, str]:
        """Return the network's own scale, and the network in words."""
        names = []
        scale = None
        for key in filter(None, (settings.weights, settings.other)):
            described = self._networks.describe(key, settings.scale, settings.config)
            if described.scale is None:
                raise SrtoolboxError(described.text)
            scale = scale or described.scale
            names.append(self._networks.upload(key).name)
        if settings.other:
            names[1] = f"{settings.alpha:.0%} of {names[1]}"
        return scale or 1, " with ".join(names)

    def jobs(self) -> list[Job]:
        """Return all jobs, in the order they came."""
        with self._change:
            return [*self._jobs.values()]

    def get(self, key: str) -> Job:
        """Return a job. Raises KeyError."""
        return self._jobs[key]

    def end(self, key: str) -> None:
        """Cancel a job that waits or runs (its network stops before its next layer); forget one that has ended.

        The result of one that is forgotten is deleted. Raises KeyError.
        """
        with self._change:
            job = self._jobs[key]
            if job.state in ("waiting", "running"):
                job.state = "cancelled"
            else:
                self._forget(job)

    def remove_of(self, upload_key: str) -> None:
        """Cancel and forget the jobs of an image or a video; cancel those that wait for a file of weights."""
        with self._change:
            for job in [*self._jobs.values()]:
                is_needed = upload_key in (job.upload.key, job.settings.weights, job.settings.other)
                if is_needed and job.state in ("waiting", "running"):
                    job.state = "cancelled"
                if job.upload.key == upload_key:
                    self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.key]
        if job.result is not None:
            with contextlib.suppress(OSError):  # Windows removes none that is being sent: it goes with the upload
                job.result.unlink(missing_ok=True)

    def close(self) -> None:
        """End what runs, and wait for it."""
        with self._change:
            self._ends = True
            self._change.notify_all()
        self._thread.join()

    # ---- in the thread

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._ends and not self._waiting():
                    self._change.wait()
                if self._ends:
                    return
                group = self._next_group()
            try:
                self._run(group)
            except _CancelledError:
                pass
            except SrtoolboxError as error:
                self._fail(group, str(error))
            except Exception as error:  # the queue goes on, whatever a file brings about
                LOGGER.exception("the page: %s failed", group[0].upload.name)
                self._fail(group, f"an error of the program, which its terminal tells ({first_line(error)})")
            finally:
                for job in group:  # what was not come to, because another was cancelled, waits again
                    if job.state == "running":
                        job.state, job.share = "waiting", 0.0
                self._store.sweep()
            if not self._waiting():
                give_memory_back()

    def _waiting(self) -> list[Job]:
        return [job for job in [*self._jobs.values()] if job.state == "waiting"]

    def _next_group(self) -> list[Job]:
        """Return the first job that waits, and the images with the same settings that wait behind it."""
        first, *others = self._waiting()
        if first.upload.kind == "video":
            return [first]
        alike = itertools.takewhile(lambda job: job.upload.kind == "image" and job.settings == first.settings, others)
        by_file: dict[str, Job] = {first.upload.key: first}
        for job in alike:
            by_file.setdefault(job.upload.key, job)
        return [*by_file.values()]

    def _run(self, group: Sequence[Job]) -> None:
        """Do jobs of the same settings. Raises _CancelledError as soon as the one that runs is not wanted any more."""
        if self._store.is_full():
            raise SrtoolboxError(FULL)
        network = self._networks.checkpoint(group[0].settings)
        self._current = group[0]
        with ended_between_layers(self._look):
            if group[0].upload.kind == "video":
                make_video(group[0], network, self._device, self._show, self._settle)
            else:
                make_images(group, network, self._device, self._show, self._settle)

    def _look(self) -> None:
        """Raise _CancelledError where the job that the network works for is not wanted any more."""
        if self._ends or self._current.state == "cancelled":
            raise _CancelledError

    def _show(self, job: Job, share: float) -> None:
        """Show that a job runs, and how far it is. Raises _CancelledError where it is not wanted."""
        with self._change:
            self._current = job
            self._look()
            if job.state == "waiting":
                job.state, job.began = "running", time.monotonic()
            job.share = max(job.share, min(share, 1.0))

    def _settle(self, job: Job, made: Path) -> None:
        """Keep the result of a job under a name of its own; where there is none the job has failed.

        One that has been cancelled stays so: its folder may be on its way out.
        """
        with self._change:
            if job.state == "cancelled":
                return
            job.seconds = time.monotonic() - job.began if job.began else 0.0
            if made.exists():
                job.result = made.with_name(f"result{job.key}{made.suffix}")
                files.replace(made, job.result)
                job.state, job.share = "done", 1.0
            else:
                job.state = "failed"

    def _fail(self, group: Sequence[Job], sentence: str) -> None:
        networks: list[Upload] = []
        with contextlib.suppress(KeyError):  # they may have been removed
            networks += map(self._networks.upload, filter(None, (group[0].settings.weights, group[0].settings.other)))
        for job in group:
            if job.state in ("waiting", "running"):
                job.state, job.message = "failed", plain(sentence, job.upload, *networks)


def give_memory_back() -> None:
    """Free what a network has left behind, on the device too."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.memory.empty_cache()
