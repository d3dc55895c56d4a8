"""The step, optimizers and schedules; one that is dropped in here is found by its registry."""
