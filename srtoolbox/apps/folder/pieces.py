"""Folders upscaled in pieces: the images of a piece, those it has done, and what is missing."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
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
from srtoolbox.weights.onnx_file import files_of, is_onnx

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
    folder = Path(out) / RECORD
    items = {_name(job, folder): stamp_of(job.source) if job.kind == "file" else None for job in jobs}
    return Pieces(folder, count, options, items)


def _name(job: Job, record: Path) -> str:
    """Return the name of an image in the record, which is the same whatever its folder is called.

    An address is its own; a file has the folder of its result, below that of all, and its own name.
    """
    if job.kind != "file" or job.target is None:
        return job.source
    return (job.target.parent.relative_to(record.parent) / Path(job.source).name).as_posix()


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
            entry = {"failed": fault} if fault else {"result": stamp_of(str(job.target))}
            journal.add(_name(job, pieces.folder), entry)

        own = shard.take(jobs)
        faults = {job: _fault(journal.entries.get(_name(job, pieces.folder)), job, shard) for job in own}
        yield Work(own, [job for job in own if not faults[job]], keep)


def outcome(jobs: Sequence[Job], pieces: Pieces) -> tuple[list[Job], dict[str, str]]:
    """Return the jobs that the pieces have done, and for the image of each other one the reason.

    Raises PieceError.
    """
    pieces.check()
    entries = pieces.entries()
    shards = {job: shard for shard in pieces.shards() for job in shard.take(jobs)}
    faults = {job: _fault(entries.get(_name(job, pieces.folder)), job, shards[job]) for job in jobs}
    return [job for job in jobs if not faults[job]], {job.source: fault for job, fault in faults.items() if fault}


def unfinished(jobs: Sequence[Job], pieces: Pieces) -> list[str]:
    """Return a sentence for each piece that has not come to all its images."""
    return pieces.unfinished(lambda shard: [_name(job, pieces.folder) for job in shard.take(jobs)])


def _fault(entry: Mapping[str, object] | None, job: Job, shard: Shard) -> str:
    """Say why a job is not done, by what its piece has kept of it; '' where it is."""
    if entry is None:
        return NOT_YET
    if "failed" in entry:
        return str(entry["failed"])
    if entry["result"] != stamp_of(str(job.target)):
        return f"its result {job.target} has gone or changed since: run {shard.option} again"
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
    if not options["keep_colour"]:
        del options["keep_colour"]  # so that pieces begun by an earlier release are gone on with
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
        files = [None if path is None else _hash(path) for path in (checkpoint.path, checkpoint.other)]
    except OSError:
        return None
    others = checkpoint.scale, checkpoint.weights, checkpoint.alpha if checkpoint.other else None
    chosen = generator_of(checkpoint.config), checkpoint.trial  # of weights that do not tell all
    return hashlib.sha256(json.dumps([*files, *others, *chosen], default=repr).encode()).hexdigest()[:16]


def _hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, of an ONNX file also that of the weights beside it."""
    return "".join(map(sha256, files_of(path) if is_onnx(path) else [path]))
