"""Everything periodic in a run. A hook acts at four points; `Phase` says in which order hooks of one point act."""

from srtoolbox.engine.hooks.base import Hook, Phase

__all__ = ["Hook", "Phase"]
