"""Losses, one family per file: `loss(pred, target)` gives an already weighted scalar."""
