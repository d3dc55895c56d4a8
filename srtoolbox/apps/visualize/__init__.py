"""Drawings of trainings, networks and results, for the command and for notebooks."""

from srtoolbox.apps.visualize.features import animate_features, draw_features, draw_filters
from srtoolbox.apps.visualize.images import (
    Drawing,
    animate_scan,
    animate_training,
    check_sheet_suffix,
    compare_networks,
    read_crop,
)
from srtoolbox.plots.animation import check_suffix as check_animation_suffix

__all__ = [
    "Drawing",
    "animate_features",
    "animate_scan",
    "animate_training",
    "check_animation_suffix",
    "check_sheet_suffix",
    "compare_networks",
    "draw_features",
    "draw_filters",
    "read_crop",
]
