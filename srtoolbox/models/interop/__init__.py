"""Other projects' checkpoint files: what is in them, as the networks here know it."""

from srtoolbox.models.interop.containers import PREFIXES, WRAPPERS, network_state
from srtoolbox.models.interop.differences import differences

__all__ = ["PREFIXES", "WRAPPERS", "differences", "network_state"]
