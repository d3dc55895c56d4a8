"""Metrics, one per file: `metric(pred, target)` gives one number per image."""
