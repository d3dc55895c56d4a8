"""Where a result comes from, in its file: beside what the input carried, and read again."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srtoolbox.image import Picture, read_picture, write_picture
from srtoolbox.image.metadata import Metadata
from srtoolbox.image.provenance import NAMESPACE, as_text, merged_xmp, normal, split_xmp, steps_of, with_step
from srtoolbox.image.saving import provenance_lost

STEP = {"software": "srtoolbox 0", "weights": [{"name": "ü<&>\"'.pth", "sha256": "0" * 64}], "scale": 4}
PACKET = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<r:Description rdf:about="uuid:7" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"/>'
    b'</r:RDF></x:xmpmeta>   <?xpacket end="w"?>'
)
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


@pytest.mark.parametrize("own", [None, PACKET])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_it_is_beside_what_the_input_carried(tmp_path: Path, photo: np.ndarray, suffix: str, own: bytes | None) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    metadata = Metadata(xmp=own, exif=exif.tobytes()[6:], dpi=(72.0, 72.0), provenance=as_text([STEP]))
    written = Picture(photo[:20, :30], None, metadata)
    assert write_picture(tmp_path / f"a{suffix}", written) == []
    read = read_picture(tmp_path / f"a{suffix}").metadata
    assert steps_of(read.provenance) == [STEP] and read.xmp == own
    with Image.open(tmp_path / f"a{suffix}") as image:  # other programs
        assert image.getexif()[271] == "Maker"
        assert suffix != ".png" or steps_of(image.info["srtoolbox"]) == [STEP]
    write_picture(tmp_path / f"b{suffix}", written)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    write_picture(tmp_path / f"none{suffix}", replace(written, metadata=replace(metadata, provenance=None)))
    assert b"srtoolbox" not in (tmp_path / f"none{suffix}").read_bytes()


def test_a_packet_gets_one_more_description_of_the_same_thing() -> None:
    merged = merged_xmp(PACKET, as_text([STEP]))
    root = ElementTree.fromstring(merged.decode())
    descriptions = root.findall(f".//{RDF}Description")
    assert [each.get(f"{RDF}about") for each in descriptions] == ["uuid:7", "uuid:7"]
    assert steps_of(descriptions[1].findtext(f"{{{NAMESPACE}}}Provenance")) == [STEP]
    assert split_xmp(merged) == (PACKET, as_text([STEP])) and split_xmp(PACKET) == (PACKET, None)
    alone = merged_xmp(None, as_text([STEP]))
    assert ElementTree.fromstring(alone.decode()) is not None and split_xmp(alone) == (None, as_text([STEP]))


def test_it_is_read_as_other_programs_write_it_again() -> None:
    text = '[{"software": "srtoolbox 0"}]'
    quoted = text.replace('"', "&quot;").encode()
    for form in (b' srtoolbox:Provenance="%s"', b">\n <srtoolbox:Provenance>%s</srtoolbox:Provenance>\n <b"):
        rest, found = split_xmp(b"<a" + form % quoted + b"/>")
        assert normal(found) == text and b"Provenance" not in rest


def test_what_has_no_place_is_told_and_the_input_s_is_kept() -> None:
    wide = PACKET.decode().encode("utf-16")
    metadata = Metadata(xmp=wide, provenance=as_text([STEP]))
    assert merged_xmp(wide, "x") is None and metadata.xmp_with_provenance() == wide
    assert [bool(provenance_lost(metadata, suffix)) for suffix in (".png", ".JPG", ".webp", ".bmp")] == [0, 1, 1, 0]
    large = replace(metadata, xmp=PACKET.replace(b"   ", b" " * 64_400))
    assert large.xmp_with_provenance(65_000) == large.xmp and provenance_lost(large, ".jpg")
    assert not provenance_lost(large, ".tif")
    huge = replace(large, xmp=PACKET.replace(b"   ", b" " * 70_000))  # which JPEG cannot hold either
    assert split_xmp(huge.xmp_with_provenance(65_000)) == (None, metadata.provenance)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "{}", "[1]", '[{"a": 1}]', "[" * 10_000, '[{"software": 1}' * 9),
        *('[{"software": NaN}]', '[{"software": "\\ud800"}]', f'[{{"software": {"[" * 99}{"]" * 99}}}]'),
    ],
)
def test_what_is_not_ours_is_nothing(text: str | None) -> None:
    assert steps_of(text) == [] and normal(text) is None
    assert steps_of(with_step(text, STEP)) == [STEP]


def test_steps_follow_each_other_and_do_not_grow_without_end() -> None:
    text = as_text([STEP])
    for number in range(300):
        text = with_step(text, {**STEP, "scale": number})
    assert [step["scale"] for step in steps_of(text)][-2:] == [298, 299] and len(text) < 33_000
    assert text.isascii() and normal('[{"software": "\u00fc"}]').isascii()
