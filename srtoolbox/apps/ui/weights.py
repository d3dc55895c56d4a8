"""The networks that the page offers: files of a folder, and dropped ones; each is described when it is chosen."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NamedTuple

from srtoolbox.apps.cost import CHECKPOINTS, network_facts
from srtoolbox.apps.ui.store import Store
from srtoolbox.apps.ui.uploads import Upload, plain
from srtoolbox.errors import SrtoolboxError
from srtoolbox.weights.load import build_network, read_network
from srtoolbox.weights.onnx_file import is_onnx

MOST = 500
"""Files that are listed of a folder."""


class Described(NamedTuple):
    """The facts known of a file of weights."""

    text: str
    """One sentence: the network and its size, or why it is not known."""
    scale: int | None = None
    """None: the file cannot be used."""


class Networks:
    """The files of weights, by keys: whole numbers are those of the folder, others are uploads.

    Args:
        folder: whose files (those in folders below it, too) are offered; None: only dropped ones.
        store: where dropped ones are.
    """

    def __init__(self, folder: Path | None, store: Store) -> None:
        self._store = store
        self._files = _files_in(folder) if folder else []
        self._root = folder
        self._known: dict[str, Described] = {}
        self._lock = threading.Lock()

    def listed(self) -> list[dict[str, str]]:
        """Return key and name of each."""
        names = [file.relative_to(self._root).as_posix() if self._root else file.name for file in self._files]
        listed = [{"key": str(number), "name": name} for number, name in enumerate(names)]
        return listed + [{"key": upload.key, "name": upload.name} for upload in self._store.all("weights")]

    def upload(self, key: str) -> Upload:
        """Return the file of a key. Raises KeyError where there is none."""
        if not key.isdecimal() or len(key) > 4:
            upload = self._store.get(key)
            if upload.kind != "weights":
                raise KeyError(key)
            return upload
        if int(key) >= len(self._files):
            raise KeyError(key)
        file = self._files[int(key)]
        return Upload(key, file.name, file, "weights")

    def describe(self, key: str) -> Described:
        """Return what a file is, as `model_info` tells: it is read once. Raises KeyError."""
        upload = self.upload(key)
        with self._lock:  # one at a time: several large files would fill the memory
            if key not in self._known:
                self._known[key] = _describe(upload)
            return self._known[key]


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SrtoolboxError(f"{folder}: is no folder; give one with files of weights")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in CHECKPOINTS and path.is_file())
    return sorted(found)[:MOST]


def _describe(upload: Upload) -> Described:
    """Return what a file of weights is; it is not tried on a photograph, as upscaling does."""
    try:
        network = build_network(read_network(upload.path, trial=False, quiet=True))
        facts: dict[str, Any] = network_facts(network)
    except (SrtoolboxError, OSError) as error:
        return Described(plain(error, upload))
    count = sum(weights.numel() for weights in network.parameters())
    size = "an ONNX file" if is_onnx(upload.path) else f"{count:,} parameters"
    radius = facts["receptive_field"]
    sees = "" if radius is None else f", sees {2 * radius + 1} px of input"
    return Described(f"{facts['type']} x{facts['scale']}, {size}, {facts['colour']}{sees}", facts["scale"])
