"""Feature networks for losses and metrics."""
