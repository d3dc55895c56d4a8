"""Settings as the page sends them, and jobs as it shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from srtoolbox.apps.networks import UpscalerSettings
from srtoolbox.apps.ui.uploads import Upload
from srtoolbox.errors import OptionError

FORMATS = ("png", "jpg", "webp", "tiff")
DTYPES = ("fp32", "fp16", "bf16")
MOST_TIMES = 16
"""Pixels of a result over the most that an input may have; also the largest scale."""


class Settings(NamedTuple):
    """Settings of a result, beside its image: as the options of `upscale` of the same names."""

    weights: str
    """The key of the network's file."""
    other: str = ""
    """That of another training to blend with; '': none."""
    alpha: float = 0.5
    outscale: float | None = None
    tile: int | str | None = "auto"
    dtype: str = "fp32"
    keep_colour: bool = False
    ext: str = "png"

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings that a page has sent. Raises OptionError at a value that is not possible."""
        tile, outscale, alpha = values.get("tile", "auto"), values.get("outscale"), values.get("alpha", 0.5)
        is_side = isinstance(tile, int) and not isinstance(tile, bool) and 0 <= tile <= 65536
        if tile != "auto" and not is_side:
            raise OptionError(f"Tile is auto, or a number of pixels, or 0 for the image in one piece, got {tile!r}")
        if outscale is not None and not (_is_number(outscale) and 0 < outscale <= MOST_TIMES):
            raise OptionError(f"Scale is a number above 0, at most {MOST_TIMES}, got {outscale!r}")
        if not (_is_number(alpha) and 0 <= alpha <= 1):
            raise OptionError(f"The blend is a share from 0 to 1, got {alpha!r}")
        dtype, ext = values.get("dtype", "fp32"), values.get("ext", "png")
        if dtype not in DTYPES:
            raise OptionError(f"Precision is one of {', '.join(DTYPES)}, got {dtype!r}")
        if ext not in FORMATS:
            raise OptionError(f"Format is one of {', '.join(FORMATS)}, got {ext!r}")
        weights, other = str(values.get("weights") or ""), str(values.get("other") or "")
        if not weights:
            raise OptionError("No network is chosen: choose or drop a file of weights")
        keeps = values.get("keep_colour") is True
        return cls(weights, other, float(alpha) if other else 0.5, outscale, tile or None, dtype, keeps, ext)

    def for_upscaler(self) -> UpscalerSettings:
        """Return the arguments of `Upscaler`; what is as usual is left out, as a command line does."""
        settings: UpscalerSettings = {"tile": self.tile, "dtype": self.dtype, "keep_colour": self.keep_colour}
        return settings if self.outscale is None else settings | {"outscale": self.outscale}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass
class Job:
    """A file to upscale, and how that goes."""

    key: str
    upload: Upload
    settings: Settings
    label: str
    """The network, in words."""
    state: str = "waiting"
    """'waiting', 'running', 'done', 'failed' or 'cancelled'."""
    share: float = 0.0
    message: str = ""
    began: float = 0.0
    seconds: float = 0.0
    result: Path | None = None
    size: tuple[int, int] = (0, 0)
    """(width, height) of the result."""

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        left = None
        if self.state == "running" and self.share > 0:
            left = (time.monotonic() - self.began) * (1 - self.share) / self.share
        return {
            "key": self.key,
            "file": self.upload.key,
            "name": self.upload.name,
            "kind": self.upload.kind,
            "label": self.label,
            "before": [self.upload.width, self.upload.height],
            "size": self.size,
            "state": self.state,
            "share": round(self.share, 4),
            "left": left,
            "message": self.message,
            "seconds": self.seconds,
        }

    @property
    def download_name(self) -> str:
        """The name of the result for the user's disk."""
        suffix = self.result.suffix if self.result else ""
        return f"{Path(self.upload.name).stem}_sr{suffix}"
