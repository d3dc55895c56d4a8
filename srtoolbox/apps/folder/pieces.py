"""Folders upscaled in pieces: the images of a piece, those it has done, and what is missing."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from srtoolbox.apps.folder.plan import STREAM, Job, is_single
from srtoolbox.apps.networks import Checkpoint, NetworkSource, UpscalerSettings, generator_of
from srtoolbox.errors import OptionError
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.files import sha256
from srtoolbox.io.pieces import RECORD, Pieces, Shard, check_shard_options, stamp_of

NOT_YET = "its piece has not come to it"
_OF_THE_MACHINE = ("batch",)  # settings that change no result


class Work(NamedTuple):
    """The jobs of one call."""

    jobs: list[Job]
    done: list[Job]
    """Of the jobs, those that an earlier call of this piece has done."""
    keep: Callable[[Job, str | None], object]
    """Called with each job when it is done, and with the reason if it has failed."""


def check_options(
    shard: str | Sequence[int] | None, check_shards: int | None, sources: Sequence[str], out: str | None
) -> Shard | None:
    """Return the piece to do, if one is named.

    Raises OptionError at what does not go with pieces.
    """
    piece = check_shard_options(shard, check_shards)
    if shard is None and check_shards is None:
        return None
    name = "check-shards" if shard is None else "shard"
    if out is None or is_single(out):
        raise OptionError(f"{name} needs a folder for the results, in which the pieces keep their record: -o DIR")
    if STREAM in sources:
        raise OptionError(f"{name} goes with files and addresses: standard input has no pieces")
    return piece


def pieces_of(jobs: Sequence[Job], out: str, count: int, options: dict[str, Any]) -> Pieces:
    """Return the record of all pieces of these jobs."""
    items = {job.source: stamp_of(job.source) if job.kind == "file" else None for job in jobs}
    return Pieces(Path(out) / RECORD, count, options, items)


@contextlib.contextmanager
def begin(jobs: Sequence[Job], pieces: Pieces | None, shard: Shard | None) -> Iterator[Work]:
    """Begin a piece, or all jobs where there are no pieces.

    Raises PieceError, see `Pieces.begin`.
    """
    if pieces is None or shard is None:
        yield Work(list(jobs), [], lambda job, fault: None)
        return
    with pieces.begin(shard) as journal:

        def keep(job: Job, fault: str | None) -> None:
            journal.add(job.source, {"failed": fault} if fault else {"result": stamp_of(str(job.target))})

        own = shard.take(jobs)
        yield Work(own, [job for job in own if _fault(journal.entries.get(job.source), job) == ""], keep)


def outcome(jobs: Sequence[Job], pieces: Pieces) -> tuple[list[Job], dict[str, str]]:
    """Return the jobs that the pieces have done, and for the image of each other one the reason.

    Raises PieceError.
    """
    pieces.check()
    entries = pieces.entries()
    faults = {job: _fault(entries.get(job.source), job) for job in jobs}
    return [job for job in jobs if not faults[job]], {job.source: fault for job, fault in faults.items() if fault}


def _fault(entry: Mapping[str, object] | None, job: Job) -> str:
    """Say why a job is not done, by what its piece has kept of it; '' where it is."""
    if entry is None:
        return NOT_YET
    if "failed" in entry:
        return str(entry["failed"])
    if entry["result"] != stamp_of(str(job.target)):
        return f"its result {job.target} has gone or changed since: run its piece again"
    return ""


def options_of(
    network: NetworkSource | Upscaler, transparency: str | Upscaler, settings: UpscalerSettings
) -> dict[str, Any]:
    """Return, as JSON values, what decides a result: the network by its hash, and the settings."""
    alpha = options_of(transparency, "", {}) if isinstance(transparency, Upscaler) else transparency
    own: Mapping[str, Any] = network.settings if isinstance(network, Upscaler) else settings
    module = network.network if isinstance(network, Upscaler) else network
    defaults = inspect.signature(Upscaler).parameters
    names = [name for name in UpscalerSettings.__annotations__ if name not in _OF_THE_MACHINE]
    options = {name: own.get(name, defaults[name].default) for name in names}
    return {"network": _identity(module), "transparency": alpha, **options}


def _identity(network: NetworkSource) -> str | None:
    """Return a hash of a network: of the file it is read from, or of its weights.

    None without the file.
    """
    if isinstance(network, nn.Module):
        digest = hashlib.sha256(type(network).__qualname__.encode())
        for name, value in network.state_dict().items():
            digest.update(f"{name}{value.dtype}{list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:16]
    checkpoint = network if isinstance(network, Checkpoint) else Checkpoint(network)
    try:
        files = [None if path is None else sha256(path) for path in (checkpoint.path, checkpoint.other)]
    except OSError:
        return None
    others = checkpoint.scale, checkpoint.weights, checkpoint.alpha if checkpoint.other else None
    chosen = generator_of(checkpoint.config), checkpoint.trial  # of weights that do not tell all
    return hashlib.sha256(json.dumps([*files, *others, *chosen], default=repr).encode()).hexdigest()[:16]
