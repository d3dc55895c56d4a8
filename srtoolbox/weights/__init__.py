"""Weights in files: read, recognised, converted, interpolated, a start for training."""
