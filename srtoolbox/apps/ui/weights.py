"""The networks that the page offers: files of a folder, and dropped ones; each is described when it is chosen."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from srtoolbox.apps.cost import CHECKPOINTS, network_facts
from srtoolbox.apps.networks import Checkpoint, generator_of
from srtoolbox.apps.ui.jobs import Settings
from srtoolbox.apps.ui.store import Store
from srtoolbox.apps.ui.uploads import Upload, plain
from srtoolbox.errors import SrtoolboxError
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line
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
        configs: files with the networks of weights that are not recognised, by `Checkpoint.config`.
    """

    def __init__(self, folder: Path | None, store: Store, configs: Sequence[str | os.PathLike[str]] = ()) -> None:
        self._store = store
        self._files = _files_in(folder) if folder else []
        self._root = folder
        self._configs = [os.fspath(config) for config in configs]
        for config in self._configs:
            generator_of(config)  # raises where it cannot be used
        self._known: dict[Checkpoint, Described] = {}
        self._lock = threading.Lock()

    def listed(self) -> list[dict[str, str]]:
        """Return key and name of each."""
        names = [file.relative_to(self._root).as_posix() if self._root else file.name for file in self._files]
        listed = [{"key": str(number), "name": name} for number, name in enumerate(names)]
        return listed + [{"key": upload.key, "name": upload.name} for upload in self._store.all("weights")]

    def configs(self) -> list[dict[str, str]]:
        """Return key and name of each config."""
        return [{"key": str(number), "name": name} for number, name in enumerate(self._configs)]

    def upload(self, key: str) -> Upload:
        """Return the file of a key. Raises KeyError where there is none."""
        number = _number(key, len(self._files))
        if number is not None:
            return Upload(key, self._files[number].name, self._files[number], "weights")
        upload = self._store.get(key)
        if upload.kind != "weights":
            raise KeyError(key)
        return upload

    def checkpoint(self, settings: Settings) -> Checkpoint:
        """Return the network of a page's settings, to load. Raises KeyError."""
        own = self._alone(settings.weights, settings.scale, settings.config)
        other = str(self.upload(settings.other).path) if settings.other else None
        return replace(own, trial=settings.trial, other=other, alpha=settings.alpha if other else 0.0)

    def describe(self, key: str, scale: int | None = None, config: str = "") -> Described:
        """Return what a file is, as `model_info` tells: it is read once.

        Args:
            key: of the file.
            scale: of weights that fit any.
            config: the key of a config; '': none.

        Raises:
            KeyError: no such file, or no such config.
        """
        upload, checkpoint = self.upload(key), self._alone(key, scale, config)
        with self._lock:  # one at a time: several large files would fill the memory
            if checkpoint not in self._known:
                self._known[checkpoint] = _describe(upload, checkpoint)
            return self._known[checkpoint]

    def _alone(self, key: str, scale: int | None, config: str) -> Checkpoint:
        number = _number(config, len(self._configs)) if config else None
        if config and number is None:
            raise KeyError(config)
        return Checkpoint(self.upload(key).path, None if number is None else self._configs[number], scale)


def _number(key: str, count: int) -> int | None:
    """Return the position in a list of so many that a key names; None for other keys, such as those of uploads."""
    is_position = key.isascii() and key.isdecimal() and len(key) < 5 and int(key) < count
    return int(key) if is_position else None


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SrtoolboxError(f"{folder}: is no folder; give one with files of weights")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in CHECKPOINTS and path.is_file())
    return sorted(found)[:MOST]


def _describe(upload: Upload, checkpoint: Checkpoint) -> Described:
    """Return what a file of weights is; it is not tried on a photograph, as upscaling does."""
    try:
        network = replace(checkpoint, trial=False).load()
        facts: dict[str, Any] = network_facts(network)
    except (SrtoolboxError, OSError) as error:
        return Described(plain(error, upload))
    except Exception as error:  # whatever a file brings about, the page lives on
        LOGGER.exception("the page: %s cannot be described", upload.path)
        return Described(f"{upload.name}: an error of the program, which its terminal tells ({first_line(error)})")
    count = sum(weights.numel() for weights in network.parameters())
    size = "an ONNX file" if is_onnx(upload.path) else f"{count:,} parameters"
    radius = facts["receptive_field"]
    sees = "" if radius is None else f", sees {2 * radius + 1} px of input"
    return Described(f"{facts['type']} x{facts['scale']}, {size}, {facts['colour']}{sees}", facts["scale"])
