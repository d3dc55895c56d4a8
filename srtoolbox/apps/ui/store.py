"""Files given to the page, each in a folder of its own, which goes when the server ends.

The name that a browser tells is shown and offered for downloads. Of it, an image or a video keeps a
suffix that is one of a list; weights keep what of letters, digits and a few signs is in it: results
note it, and it may tell the scale.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from srtoolbox.apps.ui.uploads import Limits, Upload, checked, kind_of, plain, shown_name, stored_name
from srtoolbox.errors import SrtoolboxError, WriteError
from srtoolbox.io import files

_TIMES = 8
"""All uploads and results together have so many times the bytes of one file at most."""
FULL = "this page holds as many bytes as it takes: remove files, or start `srtoolbox ui` with a larger --max-bytes"


class Incoming:
    """A file on its way into a store, which is given its bytes one after the other.

    As a context manager it leaves nothing behind where it was not finished.
    """

    def __init__(self, store: Store, upload: Upload, size: int) -> None:
        self.size = size
        """The bytes that it will have."""
        self.path = upload.path
        self._store, self._upload = store, upload
        with self._named_errors():
            self._file = files.open_new(upload.path)
        self._is_kept = False

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._store.arrived(self)
        if not self._is_kept:
            shutil.rmtree(self._upload.path.parent, ignore_errors=True)

    def write(self, data: bytes) -> None:
        """Append bytes. Raises WriteError, as on a full disk."""
        with self._named_errors():
            self._file.write(data)

    def finish(self) -> Upload:
        """Keep the file, whole; return what it is.

        Raises:
            SrtoolboxError: one sentence, which begins with its name: damaged, or over a limit.
        """
        with self._named_errors():
            self._file.close()
        upload = checked(self._upload, self._store.limits)
        self._is_kept = True
        self._store.keep(upload)
        return upload

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            with files.write_errors(self._upload.path, self.size):
                yield
        except WriteError as error:
            raise WriteError(plain(error, self._upload)) from error


class Store:
    """Uploads in a folder. Methods may be called by any thread.

    Args:
        folder: an empty folder, the store's alone.
        limits: what is taken at most.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._uploads: dict[str, Upload] = {}
        self._incoming: set[Incoming] = set()
        self._lock = threading.Lock()

    def begin(self, name: str, size: int) -> Incoming:
        """Return what takes the bytes of a file.

        Args:
            name: what the user calls it.
            size: the bytes that will come.

        Raises:
            SrtoolboxError: one sentence, which begins with the name: of no known kind, or over a limit.
        """
        name = shown_name(name)
        kind = kind_of(name)
        with self._lock:
            if len(self._uploads) + len(self._incoming) >= self.limits.files:
                raise SrtoolboxError(f"{name}: {self.limits.files} files are here already; remove some first")
            if size > self.limits.bytes:
                most = f"more than the {self.limits.bytes:,} bytes that this page takes of a file"
                raise SrtoolboxError(f"{name}: {most}; start `srtoolbox ui` with a larger --max-bytes")
            if size > self._free():
                raise SrtoolboxError(f"{name}: {FULL}")
            key = secrets.token_hex(8)
            upload = Upload(key, name, self.folder / key / stored_name(name, kind), kind)
            incoming = Incoming(self, upload, size)
            self._incoming.add(incoming)
        return incoming

    def keep(self, upload: Upload) -> None:
        """Take a file that is whole, and lies in the folder, among the uploads."""
        with self._lock:
            self._uploads[upload.key] = upload

    def arrived(self, incoming: Incoming) -> None:
        """Count a file no more among those on their way."""
        with self._lock:
            self._incoming.discard(incoming)

    def get(self, key: str) -> Upload:
        """Return an upload. Raises KeyError."""
        return self._uploads[key]

    def all(self, *kinds: str) -> list[Upload]:
        """Return the uploads of some kinds, or all, in the order they came."""
        return [upload for upload in [*self._uploads.values()] if not kinds or upload.kind in kinds]

    def is_full(self) -> bool:
        """True where uploads and results together have as many bytes as they may."""
        with self._lock:
            return self._free() <= 0

    def _free(self) -> int:
        """Return the bytes that may still come; those that were told of files on their way are taken."""
        taken = sum(incoming.size for incoming in self._incoming)
        coming = {incoming.path for incoming in self._incoming}
        for place, _, names in os.walk(self.folder):
            for path in {Path(place, name) for name in names} - coming:
                with contextlib.suppress(OSError):  # it has just been renamed or removed
                    taken += path.stat().st_size
        return _TIMES * self.limits.bytes - taken

    def remove(self, key: str) -> None:
        """Forget an upload, and delete it with all that was made beside it. Raises KeyError."""
        with self._lock:
            del self._uploads[key]
        self.sweep()

    def sweep(self) -> None:
        """Delete the folders of uploads that are forgotten: on Windows a file that is open stays until then."""
        with self._lock:
            known = {*self._uploads, *(incoming.path.parent.name for incoming in self._incoming)}
            folders = [path for path in self.folder.iterdir() if path.is_dir() and path.name not in known]
        for path in folders:
            shutil.rmtree(path, ignore_errors=True)
