"""Running a trained network: on tensors (`restore`) and on pictures (`upscale`)."""
