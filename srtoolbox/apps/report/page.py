"""A report's page: one HTML file with styles and scripts inside, images beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from srtoolbox.apps.html import BEST, named, page_head, script_source, table
from srtoolbox.apps.report.contents import (
    INPUT,
    SECONDS,
    TRUTH,
    CropEntry,
    MetricFacts,
    PageSet,
    Results,
    RunFacts,
    protocol_of,
)
from srtoolbox.apps.report.crops import LEVELS, crop_metric
from srtoolbox.engine.evaluate import Scores, means
from srtoolbox.image.colour_shift import KEEP_COLOUR
from srtoolbox.plots.panels import error_map
from srtoolbox.plots.regions import Region
from srtoolbox.text import counted

VIEWER_LEVELS = (8, 16, 32, 64, 128, 255)
"""The scales offered for differences in the viewer."""
_STEPS = np.linspace(0, 255, 18).astype(np.uint8).reshape(1, -1, 1)  # 0, 15, ... 255
STOPS = error_map(_STEPS, np.zeros_like(_STEPS), peak=255)[0]
"""(18, 3) colours from no difference to the largest, equal steps."""


def render(facts: RunFacts, sets: Sequence[PageSet], results: Results) -> str:
    """Return the page's HTML."""
    gradient = "linear-gradient(to right, " + ", ".join("#" + bytes(stop).hex() for stop in STOPS) + ")"
    script = asset("sort.js") + asset("viewer.js")
    return Template(asset("page.html")).substitute(
        head=page_head(
            f"Report: {', '.join(page_set.name for page_set in sets)}",
            Template(asset("page.css")).substitute(gradient=gradient),
            f"{script_source(script)}; object-src 'none'; connect-src 'none'; base-uri 'none'",
        ),
        filters="".join(svg_filter(f"difference-{levels}", levels) for levels in VIEWER_LEVELS),
        origin=_origin(facts),
        networks=networks_table(facts),
        sets="".join(_set(number, page_set, facts, results) for number, page_set in enumerate(sets)),
        contents=_contents(sets),
        data=_data(sets),
        script=script,
    )


@cache
def asset(name: str) -> str:
    """Return the text of a file in the folder `assets`."""
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def _origin(facts: RunFacts) -> str:
    entries = {
        "Config": f"<code>{named(facts.config)}</code>",
        "Changed": " ".join(f"<code>{named(text)}</code>" for text in facts.overrides),
        "Date": escape(facts.date),
        "Device": escape(facts.device),
        "Versions": escape(", ".join(f"{name} {version}" for name, version in facts.versions.items())),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in entries.items() if value)


def _contents(sets: Sequence[PageSet]) -> str:
    links = "".join(f'<li><a href="#set-{number}">{named(each.name)}</a></li>' for number, each in enumerate(sets))
    return f'<nav aria-label="Sets"><ul>{links}</ul></nav>' if len(sets) > 1 else ""


def _set(number: int, page_set: PageSet, facts: RunFacts, results: Results) -> str:
    images = {network: by_set[page_set.name] for network, by_set in results.items()}
    included = {entry.name: place for place, entry in enumerate(page_set.images)}
    size = f"{counted(page_set.count, 'image')}, ×{page_set.scale}"
    alone = ": each is judged alone" if page_set.metric else ""
    parts = [
        f'<section class="set" id="set-{number}"><h2>{named(page_set.name)} <small>{size}</small></h2>',
        means_table(page_set.name, facts, images),
        _colours(page_set, facts),
        _plane(page_set),
        "" if page_set.has_truth else f"<p>There is no truth to score these images against{alone}.</p>",
        _viewer(number, page_set),
        _left_out(page_set, facts),
    ]
    if page_set.metric:
        parts += ["<h3>Image by image</h3>", images_table(page_set.name, facts, images, included)]
    return "".join([*parts, _crops(number, page_set, facts), "</section>"])


def _colours(page_set: PageSet, facts: RunFacts) -> str:
    """Say which networks' colours differ visibly from the inputs', in the mean or in some images."""
    notes = []
    for name, shift in page_set.shifts.items():
        title, count = named(facts.networks[name].title), page_set.shifted[name]
        where = f"{count} of the {counted(len(page_set.images), 'image')} here"
        if shift.is_visible:
            option = f'<code class="option">{KEEP_COLOUR}</code>'
            note = escape(shift.note(is_kept=False)).replace(KEEP_COLOUR, option)
            text = f"{note} (<code>srtoolbox upscale</code>; it can be seen in {where})"
        else:
            text = f"not in the mean, but in {where} its colours differ visibly from the input's"
        notes += [f'<p class="note">{title}: {text}.</p>'] if shift.is_visible or count else []
    return "".join(notes)


def _plane(page_set: PageSet) -> str:
    """Return the perception-distortion plane, if the set has one."""
    if page_set.plane is None:
        return ""
    file, width, height = page_set.plane
    text = "A point per network, better to the right and up; its numbers are those of the table above"
    source = escape(quote(file))
    image = f'<img src="{source}" alt="{text}" width="{width}" height="{height}" decoding="async">'
    return f'<h3>Perception against distortion</h3><figure class="plane"><a href="{source}">{image}</a></figure>'


def _left_out(page_set: PageSet, facts: RunFacts) -> str:
    kept = len(page_set.images)
    if kept == page_set.count:
        return ""
    decisive = named(facts.networks[list(facts.networks)[-1]].title)
    how = f"the worst and the best by {named(page_set.metric)} of {decisive}" if page_set.metric else "the first ones"
    return (
        f'<p class="note">{kept} of {page_set.count} images are in this report: {how}. '
        f"The others were left out (<code>--report-images {kept}</code>)"
        f"{'; their scores are in the table' if page_set.metric else ''}.</p>"
    )


# ---- tables


def networks_table(facts: RunFacts) -> str:
    """Return a table with a row per network: what it is, and the checkpoint it comes from."""
    heads = ("Network", "Type", "Parameters", "Iteration", "Checkpoint", "SHA-256")
    rows = []
    for network in facts.networks.values():
        digest = f'<code title="{network.sha256}">{network.sha256[:12]}</code>' if network.sha256 else "–"
        iteration = "–" if network.iteration is None else f"{network.iteration:,}"
        cells = [
            f'<th scope="row">{named(network.title)}</th><td>{named(network.kind)}</td>',
            f'<td class="number">{network.parameters:,}</td>',
            f'<td class="number">{iteration}{" (EMA)" if network.averaged else ""}</td>',
            f'<td class="path">{named(network.file) if network.file else "–"}</td><td>{digest}</td>',
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return table(f"<tr>{head}</tr>", rows, "Networks")


def means_table(set_name: str, facts: RunFacts, images: Mapping[str, Mapping[str, Scores]]) -> str:
    """Return the means over a set: a row per network, a column per metric, the best marked.

    Args:
        images: the set's scores by network and image.
    """
    rows_of = {name: means(scores) for name, scores in images.items()}
    columns = list(next(iter(rows_of.values())))
    best = {}
    for column in columns:
        higher_is_better = False if column == SECONDS else facts.metrics[column].higher_is_better
        values = {name: row[column] for name, row in rows_of.items()}
        best[column] = best_of(values, higher_is_better)
    head = "".join(_column_head(column, facts) for column in columns)
    rows = []
    for name, row in rows_of.items():
        cells = [
            f'<td class="number{" best" if name in best[column] else ""}">{shown(value)}'
            f"{BEST if name in best[column] else ''}</td>"
            for column, value in row.items()
        ]
        rows.append(f'<tr><th scope="row">{named(facts.networks[name].title)}</th>{"".join(cells)}</tr>')
    return table(f'<tr><th scope="col">Network</th>{head}</tr>', rows, f"Means over {set_name}", kind="means")


def images_table(
    set_name: str, facts: RunFacts, images: Mapping[str, Mapping[str, Scores]], included: Mapping[str, int]
) -> str:
    """Return scores to be sorted: a row per image, by metric a column for each network.

    Args:
        images: the set's scores by network and image.
        included: the number in the viewer of each image that is in it.
    """
    metrics = [name for name in facts.metrics if any(name in s for s in next(iter(images.values())).values())]
    groups = "".join(
        f'<th scope="colgroup" colspan="{len(images)}">{named(metric)} {_arrow(facts.metrics[metric])}</th>'
        for metric in metrics
    )
    columns = [(metric, network) for metric in metrics for network in images]
    buttons = "".join(
        f'<th scope="col"><button type="button" data-column="{number}">'
        f"{named(facts.networks[network].title)}</button></th>"
        for number, (_, network) in enumerate(columns, 1)
    )
    first = '<th scope="col" rowspan="2"><button type="button" data-column="0">Image</button></th>'
    rows = [_image_row(image, facts, images, metrics, included) for image in next(iter(images.values()))]
    head = f"<tr>{first}{groups}</tr><tr>{buttons}</tr>"
    return table(head, rows, f"Scores of {set_name}, image by image", kind="sortable")


def _image_row(
    image: str,
    facts: RunFacts,
    images: Mapping[str, Mapping[str, Scores]],
    metrics: Sequence[str],
    included: Mapping[str, int],
) -> str:
    name = named(image)
    if image in included:
        name = f'<button type="button" class="open" data-image="{included[image]}">{name}</button>'
    cells = []
    for metric in metrics:
        values = {network: scores[image][metric] for network, scores in images.items()}
        best = best_of(values, facts.metrics[metric].higher_is_better)
        for network, value in values.items():
            kind = f"number{' best' if network in best else ''}"
            plain = json.dumps(value)  # as JavaScript reads it
            cells.append(f'<td class="{kind}" data-value="{plain}">{shown(value)}</td>')
    return f'<tr><th scope="row" data-value="{escape(image)}">{name}</th>{"".join(cells)}</tr>'


def _column_head(column: str, facts: RunFacts) -> str:
    if column == SECONDS:
        name, arrow, protocol = "seconds", "↓", f"per image, {facts.device}"
    else:
        metric = facts.metrics[column]
        name, arrow, protocol = column, _arrow(metric), f"{metric.kind}, {metric.protocol}"
    return f'<th scope="col" class="number">{named(name)} {arrow}<small>{escape(protocol)}</small></th>'


def _arrow(metric: MetricFacts) -> str:
    if metric.higher_is_better is None:
        return ""
    arrow, meaning = ("↑", "higher is better") if metric.higher_is_better else ("↓", "lower is better")
    return f'<span title="{meaning}">{arrow}</span>'


def shown(value: float) -> str:
    """Return a score for people: four decimals, three from 10 up."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    return f"{value:.{3 if abs(value) >= 10 else 4}f}".replace("-", "−")


def best_of(values: Mapping[str, float], higher_is_better: bool | None) -> set[str]:
    """Return the names of the best values: several if equal, none where nothing is better."""
    numbers = {name: value for name, value in values.items() if not math.isnan(value)}
    if higher_is_better is None or len(values) < 2 or not numbers:
        return set()
    best = (max if higher_is_better else min)(numbers.values())
    return {name for name, value in numbers.items() if value == best}


# ---- the viewer


def _viewer(number: int, page_set: PageSet) -> str:
    """Return the controls and an empty stage, which the script fills."""
    images = _options({str(place): entry.name for place, entry in enumerate(page_set.images)}, "0")
    networks = [source for source in page_set.sources if source not in (INPUT, TRUTH)]
    left, right = (networks[0] if len(networks) > 1 else INPUT), networks[-1]
    keys = list(page_set.sources)
    titles = {**page_set.sources, INPUT: "Input, nearest"}
    sources = {str(place): titles[key] for place, key in enumerate(keys)}
    levels = _options({str(level): f"0 … {level} levels" for level in VIEWER_LEVELS}, "32")
    return Template(asset("viewer.html")).substitute(
        number=number,
        images=images,
        left=_options(sources, str(keys.index(left))),
        right=_options(sources, str(keys.index(right))),
        levels=levels,
    )


def _options(entries: dict[str, str], selected: str) -> str:
    return "".join(
        f'<option value="{value}"{" selected" if value == selected else ""}>{escape(text)}</option>'
        for value, text in entries.items()
    )


def _data(sets: Sequence[PageSet]) -> str:
    """Return the script's data, as JSON that cannot end the element it stands in."""
    entries = [
        {
            "scale": page_set.scale,
            "sources": list(page_set.sources.values()),
            "images": [
                {
                    "name": entry.name,
                    "height": entry.height,
                    "width": entry.width,
                    "files": [quote(entry.files[source]) for source in page_set.sources],
                    "captions": [entry.captions[source] for source in page_set.sources],
                }
                for entry in page_set.images
            ],
        }
        for page_set in sets
    ]
    return json.dumps(entries, ensure_ascii=False).replace("<", "\\u003c")


# ---- crops


def _crops(number: int, page_set: PageSet, facts: RunFacts) -> str:
    if not page_set.crops:
        return ""
    decisive, baseline = (named(facts.networks[list(facts.networks)[end]].title) for end in (-1, 0))
    if page_set.has_truth:
        reference = "the truth"
        heads = {
            "worst": f"Worst crops: where {decisive} is farthest from the truth",
            "best": f"Best crops: where {decisive} is nearest to the truth, among the most detailed places",
        }
        psnr = f" PSNR of the crop alone ({protocol_of(crop_metric(facts)).protocol})."
    else:
        reference, psnr = baseline, ""
        heads = {"worst": f"Where {decisive} differs most from {baseline}"}
    legend = (
        f'<p class="note">Crops with their error maps below: mean absolute difference of R, G and B to {reference}.'
        f'{psnr}</p><div class="legend"><span>0</span><span class="bar" role="img" aria-label="dark is no difference, '
        f'bright the largest"></span><span>{LEVELS} levels or more</span></div>'
    )
    parts: list[str] = []
    for kind, crops in page_set.crops.items():
        rows = "".join(_crop(number, crop, page_set) for crop in crops)
        parts.append(f"<h3>{heads[kind]}</h3>{'' if parts else legend}{rows}")
    return "".join(parts)


def _crop(number: int, crop: CropEntry, page_set: PageSet) -> str:
    image, region = page_set.images[crop.image], crop.region
    place = f"{region.left}, {region.top}; {region.width} × {region.height} px"
    where = f"{region.left} {region.top} {region.width} {region.height}"
    button = (
        f'<button type="button" class="show" data-set="{number}" data-image="{crop.image}" '
        f'data-region="{where}">Show in the image</button>'
    )
    cells = []
    for source, file, error_file, psnr in crop.cells:
        title = page_set.sources[source]
        error = _image(error_file, f"Error of {title}", region) if error_file else ""
        score = f"<small>{shown(psnr)} dB</small>" if psnr is not None else ""
        cells.append(
            f"<figure>{_image(file, title, region)}<figcaption>{named(title)}{score}</figcaption>{error}</figure>"
        )
    head = f"<p><strong>{named(image.name)}</strong> <small>{place}</small> {button}</p>"
    return f'<div class="crop">{head}<div class="versions">{"".join(cells)}</div></div>'


def _image(file: str, title: str, region: Region) -> str:
    size = f'width="{region.width}" height="{region.height}"'
    return f'<img src="{escape(quote(file))}" alt="{escape(title)}" {size} decoding="async">'


def svg_filter(identity: str, levels: int) -> str:
    """Return an SVG filter that colours an absolute difference as `error_map` does."""
    gain = 255 / levels / 3
    row = f"{gain:.6f} {gain:.6f} {gain:.6f} 0 0"
    tables = [" ".join(f"{value / 255:.4f}" for value in STOPS[:, channel]) for channel in range(3)]
    functions = "".join(
        f'<feFunc{name} type="table" tableValues="{table}"/>' for name, table in zip("RGB", tables, strict=True)
    )
    return (
        f'<filter id="{identity}" color-interpolation-filters="sRGB" x="0" y="0" width="100%" height="100%">'
        f'<feColorMatrix type="matrix" values="{row} {row} {row} 0 0 0 1 0"/>'
        f"<feComponentTransfer>{functions}</feComponentTransfer></filter>"
    )
