"""Transforms of one training sample: a module dropped in here is found by the registry."""
