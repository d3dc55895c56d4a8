"""Checkpoints: a `.pth` of tensors and plain values, and a `.json` sidecar that commits it.

The sidecar holds the digest and is written last. In the `.pth` are

format, iter, config (JSON data), scores, rng, draws, terms, hooks: {name: state},
networks: {generator, discriminator, generator_ema},
optims: {generator: {optimizer, scheduler, scaler}}
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from srtoolbox import __version__, dist
from srtoolbox.errors import CheckpointError
from srtoolbox.io.files import atomic_write, read_json, sha256, write_json
from srtoolbox.io.tensor_files import TensorStream, load_tensors
from srtoolbox.logger import LOGGER

FORMAT = 1


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint and the sidecar that makes it valid.

    At every moment there is the old one or the new one. Of a new file the sidecar comes last and
    commits it. Where a whole checkpoint is replaced (a best one), the sidecar comes first and
    vouches for both, and the file's own renaming is the commit.

    Raises:
        SrtoolboxError: the disk is full or the folder not writable; earlier checkpoints are intact.
    """
    replaced = committed_entry(path) if sidecar_path(path).exists() else None
    stream, more = TensorStream({"format": FORMAT, **state}), {}
    if isinstance(replaced, dict):
        replaced.pop("replaces", None)
        more = {"replaces": replaced}

    def write_sidecar() -> None:
        sidecar = _sidecar(state["iter"], stream.size, stream.digest)
        write_json(sidecar_path(path), {**sidecar, **more})

    if more:
        atomic_write(path, stream.write_to, size=stream.count, before_rename=write_sidecar)
    else:
        atomic_write(path, stream.write_to, size=stream.count)
        write_sidecar()


def commit(path: Path) -> None:
    """Write the sidecar of a whole checkpoint whose save was killed before it did so."""
    sidecar = _sidecar(iteration_of(path), path.stat().st_size, sha256(path))
    write_json(sidecar_path(path), sidecar)


def _sidecar(iteration: int, size: int, digest: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "iter": iteration,
        "bytes": size,
        "sha256": digest,
        "world_size": dist.world_size(),
        "srtoolbox": __version__,
        "torch": torch.__version__,
    }


def sidecar_path(path: Path) -> Path:
    """Return `iter_005000.json` for `iter_005000.pth`."""
    return path.with_suffix(".json")


def verify_checkpoint(path: Path, digest_of: Callable[[Path], str] | None = None) -> str | None:
    """Return the fault of a checkpoint, None where it is whole.

    `digest_of` gives the SHA-256 of a file: `Digests()` to read none again that has not changed.
    """
    entry = committed_entry(path, digest_of)
    return entry if isinstance(entry, str) else None


def committed_entry(path: Path, digest_of: Callable[[Path], str] | None = None) -> dict[str, Any] | str:
    """Return the sidecar's entry (iter, bytes, sha256 ...) of a whole checkpoint, or its fault."""
    try:
        sidecar = read_json(sidecar_path(path))
        accepted = [sidecar, *([sidecar["replaces"]] if "replaces" in sidecar else [])]
        by_size = {entry["bytes"]: entry for entry in reversed(accepted)}
        by_digest = {entry["sha256"]: entry for entry in accepted}
        newest = max(entry.get("format", FORMAT) for entry in accepted)
        iterations = {int(entry["iter"]) for entry in accepted}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its .json is missing or damaged: the save was not finished"
    if newest > FORMAT:
        return f"written by a newer srtoolbox (format {newest}, this one reads {FORMAT})"
    if path.stem.startswith("iter_") and iterations != {iteration_of(path)}:
        return f"its .json is that of iteration {', '.join(map(str, sorted(iterations)))}"
    try:
        size = path.stat().st_size
        if size not in by_size:
            return f"has {size} bytes, {sidecar['bytes']} were written"
        changed = "its contents changed since it was written (sha256 differs)"
        return by_digest.get((digest_of or sha256)(path), changed)
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def iteration_of(path: Path) -> int:
    """Return the iteration in a checkpoint's file name."""
    return int(path.stem.removeprefix("iter_"))


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the `iter_*.pth` of a folder, oldest first, whole or not, or with the sidecar only.

    Raises:
        CheckpointError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror})") from error
    names = [name for name in names if re.fullmatch(r"iter_\d+\.(pth|json)", name)]
    stems = {name.rpartition(".")[0] for name in names}
    return sorted((folder / f"{stem}.pth" for stem in stems), key=iteration_of)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest verified checkpoint of a folder, None where there is none at all.

    Where none verifies, the newest may still be one whose save was killed before its commit.

    Raises:
        CheckpointError: every one is damaged; lists them with the reasons.
    """
    skipped: list[str] = []
    paths = list_checkpoints(folder)
    for path in reversed(paths):
        fault = verify_checkpoint(path)
        if fault is None:
            for line in skipped:
                LOGGER.warning("skipped a damaged checkpoint: %s", line)
            return path
        skipped.append(f"{path}: {fault}")
    if _ends_with_killed_save(paths):
        for line in skipped[1:]:
            LOGGER.warning("skipped a damaged checkpoint: %s", line)
        message = "%s was never committed: the run was killed within that save. It is whole; used"
        LOGGER.warning(message, paths[-1])
        return paths[-1]
    if skipped:
        raise CheckpointError("no usable checkpoint to resume from:\n  " + "\n  ".join(skipped))
    return None


def _ends_with_killed_save(paths: list[Path]) -> bool:
    """True if a kill between a file and its sidecar left the newest: a whole one, alone without."""
    if not paths or [path for path in paths if not sidecar_path(path).exists()] != paths[-1:]:
        return False
    try:
        return load_checkpoint(paths[-1])["iter"] == iteration_of(paths[-1])
    except (CheckpointError, KeyError):
        return False


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read one of our own checkpoints, verified against its sidecar where there is one.

    Raises:
        CheckpointError: missing, damaged, or not a checkpoint of this toolbox.
    """
    path = Path(path)
    if sidecar_path(path).is_file() and path.is_file():
        fault = verify_checkpoint(path)
        if fault is not None:
            raise CheckpointError(f"{path}: {fault}")
    state = load_tensors(path)
    if "networks" not in state or "config" not in state:
        fault = "holds weights only, not a run of srtoolbox; --load-from takes such files"
        raise CheckpointError(f"{path}: {fault}")
    return state
