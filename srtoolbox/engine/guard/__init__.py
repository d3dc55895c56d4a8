"""Guards of a run: steps that are not finite, statistics, dumps."""
