"""Datasets: a module dropped in here is found by the registry."""
