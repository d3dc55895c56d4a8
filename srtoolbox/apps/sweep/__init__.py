"""Trainings of one config with many values: a grid or a search, each run a process and a folder."""
