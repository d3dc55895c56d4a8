"""Config files evaluated over their syntax tree, by an allow-list."""
