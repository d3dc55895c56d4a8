"""The run: loop, hooks, evaluation."""
