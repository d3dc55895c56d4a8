"""Hooks: everything periodic in a run. See docs/hooks.md."""

from srtoolbox.engine.hooks.base import Hook, Phase

__all__ = ["Hook", "Phase"]
