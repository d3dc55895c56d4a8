"""Stores: folders, LMDBs and hubs of images, read alike."""

from srtoolbox.data.stores.opening import open_store

__all__ = ["open_store"]
