"""A page of what a training gives its network: samples, what was drawn for them, and how they compare with photographs.

`feed` makes samples as a run does, `makers` many of them, `steps` tells what was drawn,
`severity` orders the same crop by how much is lost, `likeness` compares with a folder, `contents` holds it, `page` and
`charts` render, `browse` does all of it.
"""

from srtoolbox.apps.browse.browse import browse_data
from srtoolbox.apps.browse.contents import Browsed

__all__ = ["Browsed", "browse_data"]
