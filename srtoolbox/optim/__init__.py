"""Optimizers, schedules and the step.

An optimizer or schedule dropped in here is found by its registry.
"""
