"""Other projects' checkpoint files: what is in them, as the networks here know it."""

from srtoolbox.models.interop.containers import find_weights
from srtoolbox.models.interop.differences import differences
from srtoolbox.models.interop.recognise import Recognised, our_names, recognise

__all__ = ["Recognised", "differences", "find_weights", "our_names", "recognise"]
