"""Restorers: networks and losses with the one training step that belongs to them."""
