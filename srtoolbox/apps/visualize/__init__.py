"""Drawings of trainings, networks and results, for the command and for notebooks."""

from srtoolbox.apps.visualize.comparison import compare_networks
from srtoolbox.apps.visualize.drawing import (
    Drawing,
    check_animation_suffix,
    check_sheet_suffix,
    read_crop,
)
from srtoolbox.apps.visualize.features import animate_features, draw_features, draw_filters
from srtoolbox.apps.visualize.training import animate_scan, animate_training

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
