"""Images without GT, to look at what a network makes of them, and to judge that alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from srtoolbox.data.datasets.base import SRDataset, expand
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.stores import open_store
from srtoolbox.data.transforms.base import Sample
from srtoolbox.errors import DataError
from srtoolbox.registry import DATASETS


@DATASETS.register
class FolderDataset(SRDataset):
    """The images of one store as LQ; without 'gt', metrics score them that need no truth.

    Args:
        lq: path of a folder or LMDB. MissingDataError if it is not there.
        channels: 3 (gray images get three equal channels) or 1 (gray images stay as they are).
    """

    scale = None
    has_truth = False

    def __init__(self, lq: str, *, channels: int = 3) -> None:
        self._store = open_store(lq)
        self.channels = channels

    def __len__(self) -> int:
        return len(self._store.keys())

    def keys(self) -> Sequence[str]:
        return self._store.keys()

    def whole(self, index: int) -> Sample:
        place = range(len(self))[index]
        return {"lq": expand(self._store.read_at(place), self.channels), "key": self._store.keys()[place]}

    def sample(self, draw: Draw) -> Sample:
        raise DataError(
            f"{self._store.path}: images without GT cannot be trained on; use PairedDataset or GTOnlyDataset"
        )

    def digest(self) -> str:
        return hashlib.sha256(f"{type(self).__name__}\n{self._store.digest()}".encode("ascii")).hexdigest()
