"""The page of samples: one HTML file with images, styles and script inside."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from srtoolbox import __version__
from srtoolbox.apps.browse.charts import histogram
from srtoolbox.apps.browse.contents import Browsed
from srtoolbox.apps.browse.feed import SeenSample
from srtoolbox.apps.browse.severity import Ladder
from srtoolbox.apps.browse.sheet import captions
from srtoolbox.apps.browse.steps import Step, Value, shown
from srtoolbox.apps.html import closed_policy, named, page_head, readable
from srtoolbox.apps.report.page import asset as report_asset
from srtoolbox.image import encode_image, to_uint8
from srtoolbox.text import counted

EXACT = 128 * 128
"""Pixels up to which GT and targets are stored exactly; larger ones as JPEG of quality 95, LQ always exactly."""
_NOT_MEASURED = "<p>No samples were measured (<code>--samples 0</code>).</p>"
TITLES = {"lq": "LQ", "gt": "GT"}
MEANINGS = {
    "sharpness": "how steep edges are: the share of its height that an edge climbs within one pixel",
    "detail": "standard deviation of the Laplacian, in levels of 8 bits; noise counts, too",
    "noise": "standard deviation of noise, in levels of 8 bits",
    "blockiness": "steps at borders of 8 x 8 blocks over other steps; 1.1 or so is none",
}


def render(browsed: Browsed, *, name: str, whole: bool) -> str:
    """Return the page's HTML; `name` is that of the config."""
    script = asset("browse.js")
    style = Template(report_asset("page.css")).substitute(gradient="none") + asset("browse.css")
    zoom = _zoom(browsed.samples)
    text = Template(asset("browse.html")).substitute(
        head=page_head(f"Training data: {name}", style, closed_policy(script)),
        origin=_origin(browsed, name, whole),
        zooms="".join(f'<option value="{n}"{" selected" * (n == zoom)}>{n}×</option>' for n in (1, 2, 3, 4, 6, 8)),
        zoom=zoom,
        severity=_severity(browsed.ladders, browsed.tries),
        samples="".join(_card(sample) for sample in browsed.samples),
        likeness=_likeness(browsed),
        parameters=_parameters(browsed),
        data=_data(browsed.ladders),
        script=script,
    )
    return readable(text)


@cache
def asset(name: str) -> str:
    """Return the text of a file in the folder `assets`."""
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def source_of(image: np.ndarray, *, exact: bool = True) -> str:
    """Return an HWC image as the source of an `img` that needs no file."""
    image = to_uint8(image)
    is_png = exact or image.shape[0] * image.shape[1] <= EXACT
    data = encode_image(np.ascontiguousarray(image), ".png" if is_png else ".jpg")
    return f"data:image/{'png' if is_png else 'jpeg'};base64,{base64.b64encode(data).decode('ascii')}"


def _zoom(samples: Sequence[SeenSample]) -> int:
    """Return the zoom at which crops are about 200 px wide."""
    width = max(sample.images["gt"].shape[1] for sample in samples)
    return next((zoom for zoom in (8, 6, 4, 3, 2) if zoom * width <= 260), 1)


def _origin(browsed: Browsed, name: str, whole: bool) -> str:
    number = counted(len(browsed.samples), "whole image" if whole else "crop")
    entries = {
        "Config": f"<code>{named(name)}</code>",
        "Samples": f"{number} from number {browsed.draw:,} of the run on, seed {browsed.seed}",
        "Measured": f"{counted(browsed.measured, 'sample')} from there on" if browsed.measured else "",
        "Colour": "the network sees their luma (Y) alone" if browsed.is_luma else "",
        "Version": f"srtoolbox {__version__}",
    }
    return "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in entries.items() if value)


# ---- samples


def _card(sample: SeenSample) -> str:
    """Return the images of a sample side by side, and what was drawn."""
    gt = sample.images["gt"]
    height, width = gt.shape[:2]
    figures = []
    for name, image in sample.images.items():
        title = TITLES.get(name, name)
        figures.append(
            f'<figure><img class="{"lq" if name == "lq" else "full"}" src="{source_of(image, exact=name == "lq")}" '
            f'data-width="{width}" data-height="{height}" alt="{escape(f"{title} of {sample.key}")}">'
            f"<figcaption>{named(title)}</figcaption></figure>"
        )
    key, *others = captions(sample)
    return (
        f'<article class="sample"><h3>{named(key)} <small>{escape("; ".join(others))}</small></h3>'
        f'<div class="row">{"".join(figures)}{steps_list(sample.steps)}</div></article>'
    )


def steps_list(steps: Sequence[Step]) -> str:
    """Return the steps of a sample in order, each with its numbers; '' where none tells any."""
    items = "".join(f"<li><b>{named(step.name)}</b> {escape(step.text())}</li>" for step in steps)
    return f'<ol class="steps">{items}</ol>' if items else ""


# ---- the slider


def _severity(ladders: Sequence[Ladder], tries: int | None) -> str:
    if tries == 0:
        return "<p>No crops were drawn again (<code>--severity 0</code>).</p>"
    if not ladders:
        return "<p>No degradation is drawn that would make the same crop better or worse.</p>"
    is_same_size = ladders[0].sample.images["gt"].shape[:2] == ladders[0].clean.shape[:2]
    clean = "GT" if is_same_size else "GT reduced by bicubic alone"
    crops = []
    for number, ladder in enumerate(ladders):
        height, width = ladder.sample.images["gt"].shape[:2]
        size = f'data-width="{width}" data-height="{height}"'
        key = escape(ladder.sample.key)
        crops.append(
            f'<article class="ladder" id="ladder-{number}"><h3>{named(ladder.sample.key)} '
            f"<small>draw {ladder.sample.draw.number:,}</small></h3>"
            f'<div class="row"><figure><img class="lq degraded" {size} src="{source_of(ladder.levels[0].lq)}" '
            f'alt="LQ of {key}"><figcaption>LQ <small class="psnr"></small></figcaption></figure>'
            f'<figure><img class="lq" {size} src="{source_of(ladder.clean)}" alt="{clean}: {key}">'
            f"<figcaption>{clean}</figcaption></figure>"
            f'<ol class="steps"></ol></div></article>'
        )
    last = len(ladders[0].levels) - 1
    crops_html = "".join(crops)
    template = Template(asset("severity.html"))
    return template.substitute(clean=clean, tries=tries, last=last, middle=last // 2, crops=crops_html)


def _data(ladders: Sequence[Ladder]) -> str:
    """Return the script's data, as JSON that cannot end the element it stands in."""
    entries = [
        [
            {
                "source": source_of(level.lq),
                "psnr": f"{level.psnr:.1f} dB" if math.isfinite(level.psnr) else "equal",
                "steps": [[step.name, step.text()] for step in level.steps],
            }
            for level in ladder.levels
        ]
        for ladder in ladders
    ]
    return json.dumps(entries, ensure_ascii=False).replace("<", "\\u003c")


# ---- statistics


def _likeness(browsed: Browsed) -> str:
    if not browsed.measured:
        return _NOT_MEASURED
    comparisons = {each.name: each for each in browsed.comparisons}
    parts = [_photos(browsed)] if browsed.photos else []
    for name, values in browsed.statistics.items():
        finite = values[np.isfinite(values)]
        head = f"<h3>{name.capitalize()}</h3><p class='note'>{escape(MEANINGS[name])}</p>"
        if not len(finite):
            parts.append(f'<div class="panel">{head}<p>These crops are too small, or flat, to tell.</p></div>')
            continue
        chart = histogram(finite, browsed.yours.get(name, ()), label=f"{name} of LQ")
        sentences = comparisons[name].sentences() if name in comparisons else []
        words = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
        parts.append(f'<div class="panel">{head}{chart}{words}</div>')
    hint = "" if browsed.photos else "<p class='note'>Beside your own photographs: <code>--like FOLDER</code>.</p>"
    return f'{hint}<div class="panels">{"".join(parts)}</div>'


def _photos(browsed: Browsed) -> str:
    """Return some crops of the photographs beside some of what the network sees."""
    rows = []
    for title, images in (("Your photos", browsed.photos), ("What the network sees", browsed.seen)):
        row = "".join(f'<img class="small" src="{source_of(image)}" alt="{title}">' for image in images)
        rows.append(f'<figure><div class="strip">{row}</div><figcaption>{title}</figcaption></figure>')
    legend = '<p class="legend"><span class="key seen"></span> LQ <span class="key yours"></span> your photos</p>'
    note = f"<p class='note'>{escape(browsed.note)}.</p>"
    return f'<div class="panel across">{"".join(rows)}{note}{legend}</div>'


def _parameters(browsed: Browsed) -> str:
    if not browsed.measured:
        return _NOT_MEASURED
    parts = [
        _step_panel(name, values, browsed.acted[name] / browsed.measured) for name, values in browsed.parameters.items()
    ]
    note = ""
    if browsed.untold:
        listed = ", ".join(f"<code>{named(name)}</code>" for name in browsed.untold)
        note = f"<p>Left out, since they do not tell what they draw: {listed}.</p>"
    if not parts and not note:
        return "<p>Nothing is drawn beside the crops.</p>"
    return f'{note}<div class="panels">{"".join(parts)}</div>'


def _step_panel(name: str, values: Mapping[str, Sequence[Value]], share: float) -> str:
    charts = []
    for key, numbers in values.items():
        plain = [value for value in numbers if not isinstance(value, str)]
        if len(set(plain)) > 1:
            chart = histogram(plain, label=f"{key} of {name}")
            charts.append(f"<figure>{chart}<figcaption>{named(key)}</figcaption></figure>")
        else:
            charts.append(f"<p>{named(key)}: {escape(_shares(numbers))}</p>")
    often = f"in {100 * share:.0f} % of the samples" if share < 1 else f"{share:.3g} times a sample"
    often = "in each sample" if share == 1 else often
    return f'<div class="panel"><h3>{named(name)} <small>{often}</small></h3>{"".join(charts)}</div>'


def _shares(words: Sequence[Value]) -> str:
    counts = Counter(words).most_common()
    return ", ".join(f"{shown(word)} {100 * count / len(words):.0f} %" for word, count in counts)
