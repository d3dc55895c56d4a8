"""Images from disk to batches: stores, datasets, transforms, samplers, loaders, and the writer of LMDB stores."""
