"""Tests of srtoolbox.plots."""
