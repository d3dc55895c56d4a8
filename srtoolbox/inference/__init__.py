"""Trained networks at work: on tensors (`restore`) and on images of any size (`upscaler`)."""
