"""Tests of srtoolbox.visual."""
