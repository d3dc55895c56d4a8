"""A run on a machine: its folder, lock, log, signals, restarts."""
