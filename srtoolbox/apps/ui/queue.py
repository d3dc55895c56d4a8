"""The queue of the page: one job at a time on the device, through the functions that the commands call.

Jobs of the same settings that wait together are one call of `upscale_folder`, so that the network
is read once for them; when the queue is empty nothing of a network is left in memory.
"""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from srtoolbox.apps.folder.upscale import upscale_folder
from srtoolbox.apps.networks import Checkpoint
from srtoolbox.apps.ui.jobs import MOST_TIMES, Job, Settings
from srtoolbox.apps.ui.store import FULL, Store
from srtoolbox.apps.ui.uploads import Upload, plain
from srtoolbox.apps.ui.weights import Networks
from srtoolbox.apps.video import upscale_video
from srtoolbox.errors import SrtoolboxError
from srtoolbox.logger import LOGGER
from srtoolbox.resize import output_length
from srtoolbox.text import first_line


class _CancelledError(Exception):
    """The user wants a job of the running call no more."""


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
            described = self._networks.describe(key)
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

    def cancel(self, key: str) -> None:
        """End a job that waits or runs; a running one ends with its next rows. Raises KeyError."""
        with self._change:
            job = self._jobs[key]
            if job.state in ("waiting", "running"):
                job.state = "cancelled"

    def remove_of(self, upload_key: str) -> None:
        """Cancel and forget the jobs of a file."""
        with self._change:
            for job in [job for job in self._jobs.values() if job.upload.key == upload_key]:
                job.state = "cancelled"
                del self._jobs[job.key]

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
        return [job for job in self._jobs.values() if job.state == "waiting"]

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
        if self._store.is_full():
            raise SrtoolboxError(FULL)
        settings = group[0].settings
        own = self._networks.upload(settings.weights)
        other = str(self._networks.upload(settings.other).path) if settings.other else None
        network = Checkpoint(own.path, other=other, alpha=settings.alpha if other else 0.0)
        if group[0].upload.kind == "video":
            self._run_video(group[0], network)
        else:
            self._run_images(group, network)

    def _run_images(self, group: Sequence[Job], network: Checkpoint) -> None:
        """Upscale images; each result is made in a folder of its own, then kept beside its input."""
        settings, lines = group[0].settings, io.StringIO()
        results = {job.key: job.upload.path.with_name(f"image_sr.{settings.ext}") for job in group}
        for target in results.values():
            target.unlink(missing_ok=True)
        upscale_folder(
            network,
            [job.upload.path for job in group],
            ext=settings.ext,
            device=self._device,
            console=Console(file=lines, width=10_000),
            progress=self._progress_of(group, results),
            **settings.for_upscaler(),
        )
        for job in group:
            if job.state in ("waiting", "running"):
                self._settle(job, results[job.key])
            job.message = _said_of(job, results[job.key], lines.getvalue())

    def _progress_of(self, group: Sequence[Job], results: Mapping[str, Path]) -> Callable[[float, int], None]:
        """Return what `upscale_folder` tells how far it is: it marks jobs, and ends the call if one is cancelled."""

        def tell(done: float, of: int) -> None:
            for number, job in enumerate(group):
                if job.state == "running" and number < int(done) and results[job.key].exists():
                    self._settle(job, results[job.key])
            if self._ends or any(job.state == "cancelled" for job in group):
                raise _CancelledError
            job, share = group[min(int(done), len(group) - 1)], done - int(done)
            self._show(job, share if int(done) < len(group) else 1.0)

        return tell

    def _run_video(self, job: Job, network: Checkpoint) -> None:
        target = job.upload.path.with_name("video_sr.mp4")

        def tell(done: int, of: int) -> None:
            if self._ends or job.state == "cancelled":
                raise _CancelledError
            self._show(job, done / of if of else 0.0)

        settings = job.settings.for_upscaler()
        try:
            upscale_video(
                network, job.upload.path, target, overwrite=True, progress=tell, device=self._device, **settings
            )
        finally:
            shutil.rmtree(target.with_name(target.name + ".parts"), ignore_errors=True)
        self._settle(job, target)

    def _show(self, job: Job, share: float) -> None:
        with self._change:
            if job.state == "waiting":
                job.state, job.began = "running", time.monotonic()
            job.share = max(job.share, min(share, 1.0))

    def _settle(self, job: Job, made: Path) -> None:
        """Keep the result of a job under a name of its own; where there is none the job has failed."""
        with self._change:
            job.seconds = time.monotonic() - job.began if job.began else 0.0
            if made.exists():
                job.result = made.replace(made.with_name(f"result{job.key}{made.suffix}"))
                job.state, job.share = "done", 1.0
            else:
                job.state = "failed"

    def _fail(self, group: Sequence[Job], sentence: str) -> None:
        files = [group[0].upload]
        with contextlib.suppress(KeyError):  # they may have been removed
            files += map(self._networks.upload, filter(None, (group[0].settings.weights, group[0].settings.other)))
        for job in group:
            if job.state in ("waiting", "running"):
                job.state, job.message = "failed", plain(sentence, job.upload, *files[1:])


def _said_of(job: Job, made: Path, said: str) -> str:
    """Return the errors and notes that were printed about a job, with the name that the user knows."""
    folder = str(job.upload.path.parent)
    lines = [line for line in said.splitlines() if folder in line and line.startswith(("error: ", "note: "))]
    sentences = (line.partition(": ")[2].replace(str(made), job.upload.name) for line in lines)
    text = " ".join(plain(sentence, job.upload) for sentence in sentences)
    return text.replace("--keep-colour takes", "`Keep colours` takes")


def give_memory_back() -> None:
    """Free what a network has left behind, on the device too."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.memory.empty_cache()
