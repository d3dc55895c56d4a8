"""Settings as the page sends them, and jobs as it shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard

from srtoolbox.apps.networks import UpscalerSettings
from srtoolbox.apps.ui.uploads import Upload
from srtoolbox.errors import OptionError
from srtoolbox.image.file_types import QUALITY_SUFFIXES
from srtoolbox.inference.upscaler import WRAPS

FORMATS = ("png", "jpg", "webp", "tiff")
DTYPES = ("fp32", "fp16", "bf16")
TRANSPARENCIES = ("network", "bicubic")
MOST_TIMES = 16
"""Pixels of a result over the most that an input may have; also the largest scale."""


class Settings(NamedTuple):
    """Settings of a result, beside its image: as the options of `upscale` of the same names."""

    weights: str
    """The key of the network's file."""
    other: str = ""
    """That of another training to blend with; '': none."""
    alpha: float = 0.5
    scale: int | None = None
    """Of weights that fit any."""
    config: str = ""
    """The key of a config for weights that are not recognised; '': none."""
    trial: bool = True
    outscale: float | None = None
    tile: int | str | None = "auto"
    dtype: str = "fp32"
    ensemble: bool = False
    wrap: str | None = None
    keep_colour: bool = False
    transparency: Literal["network", "bicubic"] = "network"
    ext: str = "png"
    quality: int | None = None
    provenance: bool = True

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings that a page has sent. Raises OptionError at a value that is not possible."""
        weights, other = str(values.get("weights") or ""), str(values.get("other") or "")
        if not weights:
            raise OptionError("No network is chosen: choose or drop a file of weights")
        alpha, outscale, ext = (
            values.get("alpha", 0.5),
            values.get("outscale"),
            _one_of(values, "ext", FORMATS, "Format"),
        )
        if outscale is not None and not (_is_number(outscale) and 0 < outscale <= MOST_TIMES):
            raise OptionError(f"Scale is a number above 0, at most {MOST_TIMES}, got {outscale!r}")
        if not (_is_number(alpha) and 0 <= alpha <= 1):
            raise OptionError(f"The blend is a share from 0 to 1, got {alpha!r}")
        return cls(
            weights,
            other,
            float(alpha) if other else 0.5,
            read_scale(values.get("scale")),
            str(values.get("config") or ""),
            values.get("trial") is not False,
            outscale,
            _tile(values.get("tile", "auto")),
            _one_of(values, "dtype", DTYPES, "Precision"),
            values.get("ensemble") is True,
            _one_of(values, "wrap", WRAPS, "Wrap") if values.get("wrap") else None,
            values.get("keep_colour") is True,
            "bicubic" if _one_of(values, "transparency", TRANSPARENCIES, "Transparency") == "bicubic" else "network",
            ext,
            _quality(values.get("quality")) if f".{ext}" in QUALITY_SUFFIXES else None,
            values.get("provenance") is not False,
        )

    def for_upscaler(self) -> UpscalerSettings:
        """Return the arguments of `Upscaler`."""
        return {
            "tile": self.tile,
            "dtype": self.dtype,
            "ensemble": self.ensemble,
            "wrap": self.wrap,
            "keep_colour": self.keep_colour,
            "outscale": self.outscale,
        }


def read_scale(value: object) -> int | None:
    """Return a scale of weights that a page has sent. Raises OptionError where it is none."""
    if value is not None and not (_is_whole(value) and 1 <= value <= MOST_TIMES):
        raise OptionError(f"Scale of weights is a whole number from 1 to {MOST_TIMES}, got {value!r}")
    return value


def _one_of(values: Mapping[str, Any], name: str, known: Sequence[str], label: str) -> str:
    value = values.get(name, known[0])
    if value not in known:
        raise OptionError(f"{label} is one of {', '.join(known)}, got {value!r}")
    return value


def _tile(value: object) -> int | str | None:
    if value != "auto" and not (_is_whole(value) and 0 <= value <= 65536):
        raise OptionError(f"Tile is auto, or a number of pixels, or 0 for the image in one piece, got {value!r}")
    return value or None


def _quality(value: object) -> int | None:
    if value is not None and not (_is_whole(value) and 1 <= value <= 100):
        raise OptionError(f"Quality is a whole number from 1 to 100, got {value!r}")
    return value


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


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
            "frames": self.upload.frames,
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
