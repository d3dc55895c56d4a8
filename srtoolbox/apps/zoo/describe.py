"""Facts that classes of networks, plugins' too, tell of themselves for the zoo's table."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from srtoolbox.apps.zoo import COUNTED, Family, Variant
from srtoolbox.errors import ConfigError
from srtoolbox.interfaces import facts_of, fuse_branches, network_kind, variants_of
from srtoolbox.registry import NETWORKS
from srtoolbox.weights.formats import families as formats

WRAPPERS = ("Adapter", "Spandrel")
"""Networks that are made of another network or of a file: they have no variants."""


def names() -> list[str]:
    """Return the registered networks that upscale, without wrappers and builder functions."""
    entries = {name: NETWORKS.get(name) for name in NETWORKS if name not in WRAPPERS}
    return [name for name, entry in entries.items() if isinstance(entry, type) and network_kind(entry) == "generator"]


def describe(name: str) -> Family:
    """Return what a registered class tells; configs and measured files are told by others."""
    network = NETWORKS.get(name)
    assert isinstance(network, type)
    layouts = [layout for family in formats() for layout in family.LAYOUTS if layout.network == name]
    exports = [export.to for family in formats() for export in getattr(family, "EXPORTS", ()) if export.network == name]
    scales = getattr(network, "scales", None)
    return Family(
        name,
        Path(inspect.getsourcefile(network) or ""),
        paper_of(network),
        None if scales is None else tuple(scales),
        colour_of(network),
        tuple(variant(name, own, arguments) for own, arguments in variants_of(network).items()),
        layouts=tuple(dict.fromkeys(layout.origin for layout in layouts)),
        exports=tuple(dict.fromkeys(exports)),
    )


def variant(family: str, name: str, arguments: Mapping[str, Any]) -> Variant:
    """Return one variant, built without memory at each scale that it takes."""
    scales = getattr(NETWORKS.get(family), "scales", None)
    possible = [scale for scale in COUNTED if scales is None or scale in scales] or list(scales or ())[:1]
    networks = {}
    for scale in [arguments["scale"]] if "scale" in arguments else possible:
        # an upsampler without this step
        with torch.device("meta"), contextlib.suppress(ConfigError):
            networks[scale] = NETWORKS.build({"type": family, "scale": scale, **arguments})
            fuse_branches(networks[scale])
    last = networks[max(networks)]
    return Variant(
        name,
        plain(arguments),
        {scale: sum(weights.numel() for weights in network.parameters()) for scale, network in networks.items()},
        facts_of(last).receptive_field,
        getattr(last, "padded_multiple", 1) > 1,
    )


def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with their tuples as lists, as JSON and configs have them."""
    return json.loads(json.dumps(dict(arguments)))


def paper_of(network: type) -> str:
    """Return the class's second paragraph if it names a preprint, else its file's, or ''."""
    own = second_paragraph((network.__doc__ or "").partition("Args:")[0])
    paper = own if "arXiv:" in own else second_paragraph(sys.modules[network.__module__].__doc__ or "")
    return paper if re.search(r"\b(19|20)\d\d\b", paper) else ""


def second_paragraph(text: str) -> str:
    """Return the second paragraph of a documentation as one line, '' where there is none."""
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")]
    return paragraphs[1] if len(paragraphs) > 1 else ""


def colour_of(network: type) -> str:
    """Return the colour of a class's defaults."""
    colour = inspect.signature(network).parameters.get("colour")
    return str(colour.default if colour is not None else getattr(network, "colour", "rgb"))
