"""Metrics: `metric(pred, target)` gives one number per image.

A file dropped in here is found by its registry.
"""
