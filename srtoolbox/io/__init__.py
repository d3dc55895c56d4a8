"""Files: atomic writes, tensors, names, background threads."""
