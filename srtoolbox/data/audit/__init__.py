"""Data audited: damage, near duplicates, leaks."""
