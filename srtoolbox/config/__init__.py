"""Configs: files evaluated as data, with inheritance, overrides and the origin of every key."""

from srtoolbox.config.config import Config
from srtoolbox.config.values import ConfigDict, Origin

__all__ = ["Config", "ConfigDict", "Origin"]
