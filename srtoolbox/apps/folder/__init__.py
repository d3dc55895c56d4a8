"""Folders of images, upscaled."""
