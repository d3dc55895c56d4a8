"""Samples on their way to batches: order, random numbers, worker processes."""
