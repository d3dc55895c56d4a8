"""The tables of a report as HTML: networks, means of a set, scores image by image."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape

from srtoolbox.apps.report.contents import SECONDS, MetricFacts, RunFacts
from srtoolbox.engine.evaluate import Scores, means

BEST = '<span class="sign" aria-hidden="true">★</span><span class="unseen"> best</span>'


def named(text: str) -> str:
    """Return a name, escaped, so that it cannot turn the direction of the text around it."""
    return f"<bdi>{escape(text)}</bdi>"


def table(head: str, rows: Sequence[str], label: str, *, kind: str = "") -> str:
    """A table that scrolls by itself where it is wider than the page."""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}"><table class="{kind}">'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def networks_table(facts: RunFacts) -> str:
    """A row per network: what it is, and the checkpoint it comes from."""
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
    """A row per network, a column per metric: the means over a set, the best of each column marked.

    Args:
        images: the set's scores by network and image.
    """
    rows_of = {name: means(scores) for name, scores in images.items()}
    columns = list(next(iter(rows_of.values())))
    best = {
        column: best_of({name: row[column] for name, row in rows_of.items()}, _direction(facts, column))
        for column in columns
    }
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
    """A row per image, a group of columns per metric, a column per network; all can be sorted by.

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
    if image in included:
        name = f'<button type="button" class="open" data-image="{included[image]}">{named(image)}</button>'
    else:
        name = named(image)
    cells = []
    for metric in metrics:
        values = {network: scores[image][metric] for network, scores in images.items()}
        best = best_of(values, facts.metrics[metric].higher_is_better)
        cells += [
            f'<td class="number{" best" if network in best else ""}" data-value="{_plain(value)}">{shown(value)}</td>'
            for network, value in values.items()
        ]
    return f'<tr><th scope="row" data-value="{escape(image)}">{name}</th>{"".join(cells)}</tr>'


def _plain(value: float) -> str:
    """A number as JavaScript's Number() reads it: 'Infinity', '-Infinity', 'NaN' among them."""
    return json.dumps(value) if math.isfinite(value) else json.JSONEncoder().encode(value)


def _direction(facts: RunFacts, column: str) -> bool | None:
    return False if column == SECONDS else facts.metrics[column].higher_is_better


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


# ---- scores


def shown(value: float) -> str:
    """A score for people: four decimals, three from 10 up."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    return f"{value:.{3 if abs(value) >= 10 else 4}f}".replace("-", "−")


def best_of(values: Mapping[str, float], higher_is_better: bool | None) -> set[str]:
    """The names of the best values: several where they are equal, none where nothing is better."""
    numbers = {name: value for name, value in values.items() if not math.isnan(value)}
    if higher_is_better is None or len(values) < 2 or not numbers:
        return set()
    best = (max if higher_is_better else min)(numbers.values())
    return {name for name, value in numbers.items() if value == best}
