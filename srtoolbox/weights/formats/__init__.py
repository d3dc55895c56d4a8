"""Files of other projects: which network of ours each holds, and ours in their names."""
