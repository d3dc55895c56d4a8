"""Trainings of one config with many values: a grid of them, each run a process and a folder of its own."""
