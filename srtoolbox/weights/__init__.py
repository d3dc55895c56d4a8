"""Weights in files: read, recognised, converted, interpolated."""
