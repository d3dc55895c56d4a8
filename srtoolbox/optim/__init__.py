"""Optimizers, schedules and the step: precision, clipping, accumulation, steps that are not finite."""
