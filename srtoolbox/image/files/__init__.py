"""Image files: formats, metadata, orientation, saving."""
