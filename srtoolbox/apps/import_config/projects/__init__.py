"""The projects whose files are imported, each as tables of names."""
