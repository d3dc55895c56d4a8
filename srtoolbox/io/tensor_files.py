"""Files of tensors, `.pth` and `.safetensors`: written atomically, read without running code."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO, cast

import torch
from torch import Tensor

from srtoolbox.errors import CheckpointError
from srtoolbox.io.files import atomic_write, write_bytes

_KINDS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"\x89HDF": "an HDF5 file",
}


class TensorStream:
    """The bytes that `torch.save` makes of a state: hashed and counted on their way.

    Nothing is held back: tensors go from their own memory to the file, without Python's lock.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state
        self._begin(None)

    def write_to(self, file: BinaryIO | None) -> None:
        """Write all to a file, or only hash and count it. Raises what the file raises."""
        self._begin(file)
        torch.save(self._state, cast("IO[bytes]", self))  # it asks for `write` and `flush` only
        if self._error is not None:
            raise self._error

    def count(self) -> int:
        """Return the bytes of the whole, by writing it to nowhere."""
        self.write_to(None)
        return self.size

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hexadecimal."""
        return self._hash.hexdigest()

    def _begin(self, file: BinaryIO | None) -> None:
        self._file, self.size, self._hash = file, 0, hashlib.sha256()
        self._error: BaseException | None = None

    def write(self, data: memoryview) -> int:
        """Take a piece from `torch.save`, which reports an error that is raised here as its own."""
        try:
            if self._error is None:
                self._hash.update(data)
                if self._file is not None:
                    self._file.write(data)
        except BaseException as error:
            self._error = error
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: `torch.save` calls it at its end, and whoever opened the file flushes it."""


def save_tensors(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """`torch.save` of tensors and plain values, atomically."""
    stream = TensorStream(state)
    atomic_write(path, stream.write_to, size=stream.count)


def save_safetensors(path: str | os.PathLike, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as `.safetensors`, atomically, with texts by name; raises SrtoolboxError."""
    library = _safetensors(path)
    own = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    write_bytes(path, library.save(own, dict(metadata)))


def load_tensors(path: str | os.PathLike) -> dict[str, Any]:
    """Read a `.pth` of tensors and plain values, or a `.safetensors`, onto the CPU.

    Run no code of it.

    Raises:
        CheckpointError: no such file, no checkpoint, a damaged one (the zip's CRCs are checked), or
            one that needs code to load. Never in PyTorch's words, which advise to run that code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: {_folder_fault(path) if path.is_dir() else 'no such checkpoint file'}")
    if path.suffix.lower() == ".safetensors":
        library = _safetensors(path)
        try:
            return library.load(path.read_bytes())
        except Exception as error:  # of its own and of Python, for damaged files
            raise CheckpointError(f"{path}: damaged, cut short, or no safetensors file; download it again") from error
    fault = _container_fault(path)
    if fault is not None:
        raise CheckpointError(f"{path}: {fault}")
    with warnings.catch_warnings(record=True) as heard:  # what concerns a user is in the error
        warnings.simplefilter("always")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch can raise anything for a damaged or hostile pickle
            raise CheckpointError(f"{path}: {_pickle_fault(path, error, heard)}") from error
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


def _safetensors(path: str | os.PathLike) -> ModuleType:
    try:
        from safetensors import torch as library  # an optional extra
    except ImportError as error:
        raise CheckpointError(f"{os.fspath(path)}: needs the package safetensors: pip install safetensors") from error
    return library


def _tensors_in(value: object, name: str, within: dict[int, bool]) -> Iterator[tuple[str, Tensor]]:
    """All tensors by name, once into each container. `within`: those seen, True while inside."""
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
    """True if each value has its place in the file: few bytes can claim a tensor of any size."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _folder_fault(folder: Path) -> str:
    files = sorted(folder.glob("*.pth")) or sorted(folder.glob("checkpoints/*.pth"))
    return f"is a folder; name a checkpoint file{f', such as {files[0]}' if files else ''}"


def _container_fault(path: Path) -> str | None:
    """Say why a file cannot be what `torch.save` wrote, judged from outside."""
    if path.suffix.lower() == ".onnx":
        return "an ONNX file upscales and is scored as it is; here weights are asked for: name its checkpoint"
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
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            return f" but {kind}"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return " but a safetensors file; name it .safetensors"
    text = start.decode("utf-8", "replace").rstrip("\ufffd")  # the end may cut a character
    return " but a text file" if all(sign.isprintable() or sign.isspace() for sign in text) else ""


def _pickle_fault(path: Path, error: Exception, heard: Sequence[warnings.WarningMessage]) -> str:
    refused = (
        "holds Python objects beside tensors and plain values, and loading those could run code; "
        "save the network's state_dict() alone"
    )
    if not isinstance(error, pickle.UnpicklingError):
        return "damaged, cut short, or a pickle that torch.save did not write; copy or download it again"
    protocols = [re.match(r"Detected pickle protocol (\d+)", str(warning.message)) for warning in heard]
    if any(protocol and int(protocol[1]) > 3 for protocol in protocols):  # refused at once
        refused = (
            "is pickled in a protocol that cannot be read without running code; "
            "save the network's state_dict() with torch.save as it is, without pickle_protocol"
        )
    return refused if zipfile.is_zipfile(path) else f"damaged, no checkpoint, or it {refused}"
