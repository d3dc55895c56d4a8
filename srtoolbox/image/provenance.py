"""The origin of a result in its file: a text chunk of PNG, a property of XMP in the other formats.

It is a JSON list of steps, the oldest first: a result of a result has the steps of both. Beside it
stands what the input carried; a packet of XMP that is there already gets one more description, in a
namespace of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any
from xml.sax.saxutils import escape

KEYWORD = b"srtoolbox"
"""Of the text chunk in a PNG."""
NAMESPACE = "urn:srtoolbox:provenance#"
MOST_STEPS = 100
_DEEPEST = 10
"""Lists and dicts inside each other; ours are four."""
_MOST_BYTES = 2**16
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
).encode()
_TAIL = b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
_END = re.compile(rb"</(?:[\w.-]{1,64}:)?RDF\s{0,99}>")
_ABOUT = re.compile(rb"\brdf:about\s{0,9}=\s{0,9}(\"[^\"<]{0,999}\"|'[^'<]{0,999}')")
_OURS = re.compile(
    rb"<rdf:Description (?=[^<>]{0,2000}xmlns:srtoolbox=\"" + NAMESPACE.encode() + rb"\")[^<>]{0,2000}>"
    rb"<srtoolbox:Provenance>([^<]*)</srtoolbox:Provenance></rdf:Description>"
)
# as other programs write it again
_ELEMENT = re.compile(rb"<srtoolbox:Provenance>([^<]*)</srtoolbox:Provenance>")
_ATTRIBUTE = re.compile(rb"\ssrtoolbox:Provenance=(?:\"([^\"<]*)\"|'([^'<]*)')")


def as_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return steps as text of ASCII alone, the last `MOST_STEPS` of them."""
    return json.dumps(list(steps[-MOST_STEPS:]), ensure_ascii=True)


def steps_of(text: str | None) -> list[dict[str, Any]]:
    """Return the steps of a text; none of one that is not ours, or broken."""
    if text is None or len(text) > _MOST_BYTES:
        return []
    try:
        steps = json.loads(text)
        json.dumps(steps, allow_nan=False, ensure_ascii=False).encode()  # halves of characters end there
    except (ValueError, RecursionError):
        return []
    is_list = isinstance(steps, list) and all(isinstance(step, dict) and "software" in step for step in steps)
    return steps if is_list and _is_shallow(steps) else []


def _is_shallow(value: object, levels: int = _DEEPEST) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(part, levels - 1) for part in parts)


def normal(text: str | None) -> str | None:
    """Return a text of a file as this toolbox writes it.

    None of one that is not ours, or broken.
    """
    steps = steps_of(text)
    return as_text(steps) if steps else None


def with_step(text: str | None, step: Mapping[str, Any]) -> str:
    """Return the text of an input with one more step."""
    steps = [*steps_of(text), step]
    while len(as_text(steps)) > _MOST_BYTES // 2 and len(steps) > 1:
        del steps[0]
    return as_text(steps)


def merged_xmp(packet: bytes | None, text: str) -> bytes | None:
    """Return a packet of XMP with a text of steps added; None of one that has no place for it."""
    head, about, tail = _HEAD, b'""', _TAIL
    if packet is not None:
        ends = list(_END.finditer(packet))
        if not ends:
            return None  # of UTF-16, or broken
        head, tail = packet[: ends[-1].start()], packet[ends[-1].start() :]
        found = _ABOUT.search(packet)
        about = found[1] if found else about
    start = f'<rdf:Description xmlns:rdf="{_RDF}" xmlns:srtoolbox="{NAMESPACE}" rdf:about='.encode() + about
    return b"".join((head, start, b"><srtoolbox:Provenance>", escape(text).encode(), b"</srtoolbox:Provenance>")) + (
        b"</rdf:Description>" + tail
    )


def split_xmp(packet: bytes) -> tuple[bytes | None, str | None]:
    """Return a packet without our text of steps (None if nothing else is in it), and the text."""
    for pattern in (_OURS, _ELEMENT, _ATTRIBUTE):
        found = pattern.search(packet)
        if found is None:
            continue
        rest = packet[: found.start()] + packet[found.end() :]
        value = next((group for group in found.groups() if group is not None), b"")
        text = unescape(value.decode("utf-8", "replace"))
        return (None if rest == _HEAD + _TAIL else rest), normal(text)
    return packet, None
