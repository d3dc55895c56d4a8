"""Losses: `loss(pred, target)` gives an already weighted scalar.

A file dropped in here is found by its registry.
"""
