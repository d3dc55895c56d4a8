"""The protocol of stores: the images of one folder under keys, whatever keeps them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from srtoolbox.errors import MissingDataError
from srtoolbox.io.files import ESCAPES, slash_hint

DEFAULT_ROOT = "data"  # `data_root` of the packaged configs
Shape = tuple[int, int, int]
"""Height, width, channels (1 or 3)."""


class Window(NamedTuple):
    """A rectangle of an image, in its own pixels."""

    top: int
    left: int
    height: int
    width: int

    def scaled(self, scale: int) -> Window:
        """Return the same rectangle in an image `scale` times as large."""
        return Window(self.top * scale, self.left * scale, self.height * scale, self.width * scale)

    def within(self, outer: Window) -> Window:
        """Return the same rectangle in the pixels of what `outer` cuts out."""
        return Window(self.top - outer.top, self.left - outer.left, self.height, self.width)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Return the view (height, width, C) of `image` (H, W, C)."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


Places = range | np.ndarray
"""The numbers of some images of a store, in the order of its keys: a range, or an array (n,)."""


class Store(Protocol):
    """Images by key. Keys are relative paths without the suffix, '/' between folders.

    A place is the number of an image in the order of the keys: of millions it is found faster.
    """

    path: str

    def keys(self) -> Sequence[str]:
        """Return all keys, sorted."""

    def shape(self, key: str) -> Shape:
        """Return the size of an image, without decoding it."""

    def shape_at(self, place: int) -> Shape:
        """Return the size of the image at a place."""

    def shapes(self, places: Places) -> np.ndarray:
        """Return the sizes of some images (n, 3): height, width, channels."""

    def read(self, key: str, window: Window | None = None) -> np.ndarray:
        """Return (h, w, C) uint8 or uint16, RGB or gray, whole or a window: maybe a view."""

    def read_at(self, place: int, window: Window | None = None) -> np.ndarray:
        """Return the image at a place, as `read`."""

    def source(self, key: str) -> str:
        """Return the name of an image in messages: its file's path, or store and file name."""

    def digest(self) -> str:
        """Return a hash of the contents, which changes when images do."""

    def rest(self) -> None:
        """Let go of the memory in which all images were looked over.

        What is asked next is read anew.
        """
        return  # a folder has none

    def close(self) -> None:
        """Release what is held open. Arrays read before must not be used any more."""


def key_of(name: str) -> str:
    """Return the key of a file's relative path: 'sub/a.v2.png' -> 'sub/a.v2'."""
    return os.path.splitext(name.replace(os.sep, "/"))[0]


def missing(path: str | os.PathLike, what: str = "no such folder or store") -> MissingDataError:
    """Return the error for data that is not there, with what of its path exists, and advice."""
    path, notes = Path(path), [what]
    if hint := slash_hint(path):
        notes.append(hint)
    parent = next(folder for folder in path.absolute().parents if folder.is_dir())
    if parent != path.parent:
        notes.append(f"the nearest folder that exists is {parent}")
    if path.parts[:1] == (DEFAULT_ROOT,):
        notes.append("say where your data is: data_root=PATH, or the environment's SRTOOLBOX_DATA")
    # one line
    return MissingDataError(f"{str(path).translate(ESCAPES)}: {'; '.join(notes)}", str(path))
