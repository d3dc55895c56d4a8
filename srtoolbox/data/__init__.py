"""Images from disk to batches: stores, datasets, transforms, loading, preparation, audit."""
