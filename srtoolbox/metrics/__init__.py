"""Metrics: `metric(pred, target)` gives one number per picture. A file dropped in here is found by its registry."""
