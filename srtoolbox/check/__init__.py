"""check(config): every fault of a config at once, before anything is built.

The signature of a registered class is the schema of its config, also of a plugin's.
"""

from srtoolbox.check.check import check, mode_of
from srtoolbox.check.components import PARTS

__all__ = ["PARTS", "check", "mode_of"]
