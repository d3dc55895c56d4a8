"""What the package writes goes through here: atomically, so that no reader ever meets half a file (logs: by lines).

`atomic_write` writes a temporary file in the same folder, flushes it to the disk, renames it over the target and
flushes the folder. Checkpoints are committed by a sidecar (`engine/checkpoint.py`); reading them never runs code.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError, SrtoolboxError

_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{6}\.tmp")
# what file systems answer that cannot flush folders, and folders that may be written to but not read
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)


def atomic_write(path: str | os.PathLike, writer: Callable[[BinaryIO], None], *, size: int | None = None) -> None:
    """Create or replace `path` with what `writer(file)` writes: afterwards there is the old file or the whole new one.

    When it returns, the new file and its name are on the disk: a power loss does not take them away.

    Args:
        path: the file; folders are made.
        writer: called once with the open temporary file.
        size: bytes it will write, where that is known, for the message about a full disk.

    Raises:
        SrtoolboxError: the disk is full or the folder cannot be written; names the path, the bytes needed and those
            free. Nothing half-written is left.
    """
    path = Path(path)
    # urandom: no other thread or machine on the same folder has this name, and the run's random states stay as they are
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}-{os.urandom(3).hex()}.tmp")
    try:
        make_folder(path.parent)
        _write_and_rename(temporary, path, writer)
        sync_folder(path.parent)
    except OSError as error:
        raise SrtoolboxError(write_fault(path, error, size)) from error


def _write_and_rename(temporary: Path, path: Path, writer: Callable[[BinaryIO], None]) -> None:
    try:
        with open(temporary, "xb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the fault that brought us here is the one to tell
            temporary.unlink(missing_ok=True)
        raise


def prepare_folder(folder: Path) -> None:
    """Make a folder, safe from a power loss, and delete the temporary files that killed writers left in it.

    Only for a folder nobody else is writing to.

    Raises:
        SrtoolboxError: it cannot be made or written.
    """
    try:
        make_folder(folder)
        sync_folder(folder.parent)  # whoever made it
        for path in folder.glob(".*.tmp"):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise SrtoolboxError(write_fault(folder, error)) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, and flush the entries of the new ones to the disk. Raises OSError."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(new):
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where its file system can do that. Raises OSError where the disk fails."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def sync_file(path: str | os.PathLike) -> None:
    """Flush what was appended to a file, if it is there, and the file's name to the disk.

    Raises:
        SrtoolboxError: the disk fails.
    """
    try:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        sync_folder(Path(path).parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SrtoolboxError(write_fault(Path(path), error)) from error


def write_bytes(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """`atomic_write` of bytes at hand."""
    atomic_write(path, lambda file: file.write(data), size=len(data))


def write_text(path: str | os.PathLike, text: str) -> None:
    """`atomic_write` of text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """`atomic_write` of a JSON value; non-finite numbers become the strings 'inf', '-inf', 'nan'."""
    write_text(path, json.dumps(finite_json(value), indent=2, ensure_ascii=False) + "\n")


def finite_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """`value` with non-finite numbers as the strings 'inf', '-inf', 'nan', which every JSON reader takes."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(item) for item in value]
    return value


def dump_tensors(state: dict[str, Any]) -> memoryview:
    """The bytes of a `.pth` of tensors and plain values."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


def save_tensors(path: str | os.PathLike, state: dict[str, Any]) -> None:
    """`torch.save` of tensors and plain values, atomically."""
    write_bytes(path, dump_tensors(state))


def save_safetensors(path: str | os.PathLike, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as `.safetensors`, atomically; `metadata` is texts by name.

    Raises:
        SrtoolboxError: the library is not installed, or the file cannot be written.
    """
    library = _safetensors(path)
    own = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    write_bytes(path, library.save(own, dict(metadata)))


def load_tensors(path: str | os.PathLike) -> dict[str, Any]:
    """Read a `.pth` of tensors and plain values, or a `.safetensors`, onto the CPU. Nothing in it is ever executed.

    Raises:
        CheckpointError: no such file, no checkpoint, a damaged one (the zip's CRCs are checked), or one that needs
            code to load. Never in PyTorch's words, which advise to run that code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    if path.suffix.lower() == ".safetensors":
        return _load_safetensors(path)
    fault = _container_fault(path)
    if fault is not None:
        raise CheckpointError(f"{path}: {fault}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle can make torch raise anything, in words that mislead
        raise CheckpointError(f"{path}: {_pickle_fault(path, error)}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, not a dictionary of tensors")
    try:
        tensors = list(_tensors_in(state, "", {}))
    except RecursionError as error:
        raise CheckpointError(f"{path}: contains itself or is nested without end; it is damaged or hostile") from error
    for name, tensor in tensors:
        if not _is_backed(tensor):
            raise CheckpointError(f"{path}: {name} claims more values than the file holds; it is damaged or hostile")
    return state


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    library = _safetensors(path)
    try:
        return library.load(path.read_bytes())
    except Exception as error:  # the library raises errors of its own and of Python for damaged files
        raise CheckpointError(f"{path}: damaged, cut short, or no safetensors file; download it again") from error


def _safetensors(path: str | os.PathLike) -> ModuleType:
    try:
        from safetensors import torch as library  # an optional extra
    except ImportError as error:
        raise CheckpointError(f"{os.fspath(path)}: needs the package safetensors: pip install safetensors") from error
    return library


def _tensors_in(value: Any, name: str, within: dict[int, bool]) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401
    """All tensors by name, looking once into each container. `within`: those seen, and whether we are inside."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        if within.get(id(value)):
            raise RecursionError
        if id(value) in within:
            return
        within[id(value)] = True
        if isinstance(value, Mapping):
            items = ((f"{name}.{key}" if name else str(key), item) for key, item in value.items())
        else:
            items = ((f"{name}[{number}]", item) for number, item in enumerate(value))
        for inner, item in items:
            yield from _tensors_in(item, inner, within)
        within[id(value)] = False


def _is_backed(tensor: Tensor) -> bool:
    """Whether each value has its own place in the file: a few bytes can claim to be a tensor of any size."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _container_fault(path: Path) -> str | None:
    """Why a file cannot be what `torch.save` wrote, judged from outside: a zip of `data.pkl`, or an older pickle."""
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "is empty (0 bytes); copy or download it again"
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "cut short: its end is missing; copy or download it again"
    if not start.startswith((b"PK", b"\x80")):
        return f"is no checkpoint{_likeness(start)}; a .pth that torch.save wrote is needed"
    return _archive_fault(path) if start.startswith(b"PK") else None


def _archive_fault(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                return "is a compressed zip archive, which torch.save never writes; unpack it"
            if len(set(archive.namelist())) < len(archive.namelist()):
                return "damaged or hostile: two entries in it have one name"
            bad, names = archive.testzip(), {name.rpartition("/")[2] for name in archive.namelist()}
    except Exception:  # the zip module, too, raises nearly anything at damaged files
        return "damaged: its list of contents cannot be read; copy or download it again"
    if bad is not None:
        return f"damaged: the checksum of {bad!r} in it is wrong; copy or download it again"
    if "constants.pkl" in names:
        return "is a TorchScript program, which is code, not weights; save the network's state_dict() alone"
    return None if "data.pkl" in names else "is a zip archive, but none that torch.save wrote"


def _likeness(start: bytes) -> str:
    kinds = {
        b"\x89PNG": "a PNG picture",
        b"\xff\xd8\xff": "a JPEG picture",
        b"\x1f\x8b": "a gzip archive: unpack it first",
        b"\x89HDF": "an HDF5 file",
    }
    for magic, kind in kinds.items():
        if start.startswith(magic):
            return f" but {kind}"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return " but a safetensors file; name it .safetensors"
    text = start.decode("utf-8", "replace").rstrip("\ufffd")  # the 512th byte may fall into a character
    return " but a text file" if all(sign.isprintable() or sign.isspace() for sign in text) else ""


def _pickle_fault(path: Path, error: Exception) -> str:
    refused = (
        "holds Python objects beside tensors and plain values, and loading those could run code; "
        "save the network's state_dict() alone"
    )
    if not isinstance(error, pickle.UnpicklingError):
        return "damaged, cut short, or a pickle that torch.save did not write; copy or download it again"
    return refused if zipfile.is_zipfile(path) else f"damaged, no checkpoint, or it {refused}"


def sha256(path: str | os.PathLike) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: str | os.PathLike) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in a file. Raises OSError or ValueError."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def append_line(path: str | os.PathLike, line: str) -> None:
    """Add one line to a log; a line is written with one system call, so a kill cannot tear earlier ones.

    Raises:
        SrtoolboxError: the disk is full or failing; the line is not in the file, not in part either.
    """
    data = line.encode("utf-8") + b"\n"
    try:
        with open(path, "ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(data) != len(data):  # the disk took a part of it
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise SrtoolboxError(write_fault(Path(path), error, len(data))) from error


def write_fault(path: Path, error: OSError, size: int | None = None) -> str:
    """What to tell where `path` could not be written: of a full disk the bytes needed, if `size` says so, and free."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: cannot be written ({error.strerror or error})"
    folder = next((each for each in path.parents if each.is_dir()), Path.cwd())
    free = shutil.disk_usage(folder).free
    needed = f"{_amount(size)} needed, " if size is not None else ""
    kind = "disk full" if error.errno == errno.ENOSPC else "disk quota used up"
    return f"{path}: {kind}: {needed}{_amount(free)} free. Free some space; what was written before is intact."


def _amount(size: int) -> str:
    return f"{size} bytes ({size / 2**20:.1f} MiB)"
