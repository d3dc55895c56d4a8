"""What a disk may hold after a power loss, from a record of what was done (`faults/disk.py`).

POSIX promises two things only: an fsync'ed file has its data, an fsync'ed folder its entries. Of what was not flushed
any part may be there: of a file, nothing of what was written, a beginning of it, or zeros in its place; of a folder,
any of its changes without the others. A rename happens or does not; it is never half done.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.disk import Operation

CONTENTS = ("lost", "torn", "zeros", "whole")


class Change(NamedTuple):
    """One change of a folder: `name` now means the file number `inode` (None: nothing, -1: a folder)."""

    folder: str
    name: str
    inode: int | None


class Model:
    """The files, the folders and what of them is safe, after the first `count` operations.

    Args:
        operations: what was done, in order.
        count: how many of them came before the power went.
        existing: files that were there and safe before, by path.
    """

    def __init__(self, operations: Sequence[Operation], count: int, existing: dict[str, bytes]) -> None:
        self.safe_data: list[bytes] = list(existing.values())
        self.data: list[bytes] = list(existing.values())
        self.safe: dict[str, int] = {path: number for number, path in enumerate(existing)}
        self.now: dict[str, int] = dict(self.safe)
        self.folders = {str(parent) for path in existing for parent in Path(path).parents}
        self.open: dict[int, int] = {}
        self.pending: list[list[Change]] = []
        for operation in operations[:count]:
            getattr(self, f"_{operation.kind}")(operation)

    def _create(self, operation: Operation) -> None:
        self.data.append(b"")
        self.safe_data.append(b"")
        self._link(operation.path, len(self.data) - 1)
        self._open(operation)

    def _open(self, operation: Operation) -> None:
        self.open[operation.handle] = self.now[operation.path]

    def _write(self, operation: Operation) -> None:
        self.data[self.open[operation.handle]] += operation.data

    def _fsync(self, operation: Operation) -> None:
        inode = self.open.get(operation.handle, self.now.get(operation.path))
        self.safe_data[inode] = self.data[inode]

    def _close(self, operation: Operation) -> None:
        pass

    def _fsync_folder(self, operation: Operation) -> None:
        for changes in self.pending:
            for change in changes:
                if change.folder == operation.path:
                    self._apply(self.safe, change)
        self.pending = [[c for c in changes if c.folder != operation.path] for changes in self.pending]
        self.pending = [changes for changes in self.pending if changes]

    def _rename(self, operation: Operation) -> None:
        inode = self.now.pop(operation.path)
        self.now[operation.target] = inode
        self.pending.append([_change(operation.path, None), _change(operation.target, inode)])

    def _unlink(self, operation: Operation) -> None:
        del self.now[operation.path]
        self.pending.append([_change(operation.path, None)])

    def _mkdir(self, operation: Operation) -> None:
        self.pending.append([_change(operation.path, -1)])

    def _link(self, path: str, inode: int) -> None:
        self.now[path] = inode
        self.pending.append([_change(path, inode)])

    def _apply(self, entries: dict[str, int], change: Change) -> None:
        path = f"{change.folder}/{change.name}"
        if change.inode == -1:
            self.folders.add(path)
        elif change.inode is None:
            entries.pop(path, None)
        else:
            entries[path] = change.inode

    def write_state(self, root: Path, rng: random.Random, extreme: str | None = None) -> str:
        """Make `root` what the disk may hold, with 'none' or 'all' or any of what is not flushed. Says what."""
        entries, chosen = dict(self.safe), []
        for number, changes in enumerate(self.pending):
            if extreme == "all" or (extreme is None and rng.random() < 0.5):
                chosen.append(number)
                for change in changes:
                    self._apply(entries, change)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        fates = []
        for path, inode in entries.items():
            if str(Path(path).parent) in self.folders:
                fate = {"all": "whole", "none": "lost"}.get(extreme or "", rng.choice(CONTENTS))
                target = Path(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._content(inode, fate, rng))
                fates.append(f"{target.name} {fate}" if self.data[inode] != self.safe_data[inode] else target.name)
        return f"changes {chosen} of {len(self.pending)}; {', '.join(fates)}"

    def _content(self, inode: int, fate: str, rng: random.Random) -> bytes:
        safe, data = self.safe_data[inode], self.data[inode]
        unsafe = data[len(safe) :]
        if fate == "torn":
            return safe + unsafe[: rng.randrange(len(unsafe) + 1)]
        return {"lost": safe, "zeros": safe + bytes(len(unsafe)), "whole": data}[fate]


def _change(path: str, inode: int | None) -> Change:
    folder, _, name = path.rpartition("/")
    return Change(folder, name, inode)
