"""Other projects' checkpoint files: what is in them, as the networks here know it."""

from srtoolbox.weights.formats.containers import find_weights
from srtoolbox.weights.formats.differences import differences
from srtoolbox.weights.formats.recognise import Recognised, our_names, recognise

__all__ = ["Recognised", "differences", "find_weights", "our_names", "recognise"]
