"""Tables for papers: LaTeX, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from srtoolbox.apps.report.contents import SECONDS, MetricFacts
from srtoolbox.apps.scoring.significance import LEVEL, Comparison, method
from srtoolbox.apps.scoring.summary import OUTPUT, Column, Row, Summary
from srtoolbox.io.files import write_text
from srtoolbox.text import counted

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the head of a row it would be an argument of the row before, as would *
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "†": r"$^\dagger$",
}
_PROTOCOLS = {
    "rgb: luma": "luma (BT.601) of images rounded to 8-bit RGB",
    "rgb: R, G, B": "R, G and B of images rounded to 8 bit",
    "y_direct: luma": "the luma that a network returns, rounded to 8 bit",
}


class TableFiles:
    """The files of tables that a test was asked for.

    Args:
        latex, markdown, csv: paths; None writes none.
    """

    def __init__(
        self,
        latex: str | os.PathLike[str] | None = None,
        markdown: str | os.PathLike[str] | None = None,
        csv: str | os.PathLike[str] | None = None,
    ) -> None:
        self._wanted: list[tuple[str | os.PathLike[str] | None, Callable[[Summary], str]]] = [
            (latex, as_latex),
            (markdown, as_markdown),
            (csv, as_csv),
        ]

    def __bool__(self) -> bool:
        return any(path for path, _ in self._wanted)

    def write(self, summary: Summary) -> None:
        """Write them."""
        for path, render in self._wanted:
            if path:
                write_text(path, render(summary))


def as_latex(summary: Summary) -> str:
    """Return a `table` that needs the packages booktabs and graphicx; what is wider than the page is made smaller."""
    columns = summary.columns
    groups = [(name, len(list(each))) for name, each in groupby(columns, key=lambda column: column.set_name)]
    heads, rules, first = ["", "", ""], [], 4
    for name, count in groups:
        heads.append(rf"\multicolumn{{{count}}}{{c}}{{{escape_latex(name)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    titles = ["Network", "Parameters", "Multi-Adds", *(_latex_head(summary, column) for column in columns)]
    lines = [
        r"% \usepackage{booktabs, graphicx}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(caption(summary))}}}",
        r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"  \begin{{tabular}}{{lrr{'c' * len(columns)}}}",
        r"    \toprule",
        f"    {' & '.join(heads)} \\\\",
        f"    {' '.join(rules)}",
        f"    {' & '.join(titles)} \\\\",
        r"    \midrule",
    ]
    for row in summary.rows:
        cells = [_cell(summary, row, column, _latex_mark) for column in columns]
        lines.append(f"    {' & '.join([escape_latex(row.title), *_sizes(row), *cells])} \\\\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}", ""])


def _latex_head(summary: Summary, column: Column) -> str:
    arrow = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
    return escape_latex(summary.title(column.metric)) + arrow[summary.metrics[column.metric].higher_is_better]


def _latex_mark(mean: str, deviation: str, place: int | None, note: str) -> str:
    mean = {1: rf"\textbf{{{mean}}}", 2: rf"\underline{{{mean}}}"}.get(place or 0, mean)
    return mean + (rf" $\pm$ {deviation}" if deviation else "") + (r"$^\dagger$" if note else "")


def as_markdown(summary: Summary) -> str:
    """Return a table as GitHub shows it, the caption above."""
    arrow = {True: " ↑", False: " ↓", None: ""}
    titles = [
        escape_markdown(f"{column.set_name} {summary.title(column.metric)}")
        + arrow[summary.metrics[column.metric].higher_is_better]
        for column in summary.columns
    ]
    lines = [escape_markdown(caption(summary)), ""]
    lines.append(f"| {' | '.join(['network', 'parameters', 'Multi-Adds', *titles])} |")
    lines.append("|---|--:|--:" + "|--:" * len(titles) + "|")
    for row in summary.rows:
        cells = [_cell(summary, row, column, _markdown_mark) for column in summary.columns]
        lines.append(f"| {' | '.join([escape_markdown(row.title), *_sizes(row), *cells])} |")
    return "\n".join([*lines, ""])


def _markdown_mark(mean: str, deviation: str, place: int | None, note: str) -> str:
    mean = {1: f"**{mean}**", 2: f"<ins>{mean}</ins>"}.get(place or 0, mean)  # it shows no <u>
    return mean + (f" ± {deviation}" if deviation else "") + note


def _cell(summary: Summary, row: Row, column: Column, mark: Callable[[str, str, int | None, str], str]) -> str:
    text = summary.text(row, column)
    if text is None:
        return "-"
    return mark(*text, summary.places(column).get(row.name), "†" if row.name in summary.undecided(column) else "")


def as_csv(summary: Summary) -> str:
    """Return all numbers in full precision, a row per network."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    sets = [Column(name, SECONDS) for name in summary.rows[0].images]
    columns = [*summary.columns, *sets]
    tested = {(each.set_name, each.metric) for each in summary.comparisons}
    head = ["network", "trainings", "parameters", "multi_adds"]
    for column in columns:
        name = "/".join(column)
        head += [name, f"{name}_std", *([f"{name}_p"] if column in tested else [])]
    writer.writerow(head)
    for row in summary.rows:
        line: list[object] = [row.name, len(row.trainings), row.parameters, row.multi_adds]
        for column in columns:
            p = [summary.p_values(column).get(row.name)] if column in tested else []
            line += [row.mean(column), row.deviation(column), *p]
        writer.writerow(line)
    return file.getvalue()


def caption(summary: Summary) -> str:
    """Return what a reader must know: scale, images, protocol, what is marked and how."""
    sentences = [*_images(summary), *_protocols(summary)]
    if any(row.multi_adds for row in summary.rows):
        sentences.append(f"Multi-Adds are for an output of {OUTPUT[1]} × {OUTPUT[0]} pixels")
    several = [f"{row.title} n = {len(row.trainings)}" for row in summary.rows if len(row.trainings) > 1]
    if several:
        sentences.append(f"Mean ± standard deviation (n - 1) over trainings: {', '.join(several)}")
    if any(summary.places(column) for column in summary.columns):
        sentences.append("The best is bold, the second underlined")
    sentences += _tests(summary.comparisons)
    return ". ".join(sentences) + "."


def _tests(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield what a dagger means, how p was found, and the sets that are too small for one."""
    tested = [each for each in comparisons if each.can_show]
    if tested:
        yield f"† not significantly worse than the best (p ≥ {LEVEL:g})"
        yield method(tested).rstrip(".")
    small = dict.fromkeys(each.set_name for each in comparisons if not each.can_show)
    if small:
        yield f"Of too few images for a test, and without †: {', '.join(small)}"


def _images(summary: Summary) -> Iterator[str]:
    counts = {name: counted(len(images), "image") for name, images in summary.rows[0].images.items()}
    scales = set(summary.scales.values())
    for scale in sorted(scales):
        names = [f"{name} ({counts[name]})" for name in counts if summary.scales[name] == scale]
        yield f"Scale ×{scale}: {', '.join(names)}"


def _protocols(summary: Summary) -> Iterator[str]:
    """Yield a sentence for the metrics of each protocol."""

    def words(facts: MetricFacts) -> str:
        kind, _, _ = facts.protocol.partition(", border")
        if kind not in _PROTOCOLS:
            return facts.protocol
        border = f"{facts.crop_border} px left out at each side" if facts.crop_border else "to the border"
        return f"{_PROTOCOLS[kind]}, {border}"

    shown = dict.fromkeys(column.metric for column in summary.columns)
    by_protocol: dict[str, list[str]] = {}
    for metric in shown:
        by_protocol.setdefault(words(summary.metrics[metric]), []).append(summary.title(metric))
    for protocol, titles in by_protocol.items():
        yield f"{', '.join(titles)}: {protocol}"


def _sizes(row: Row) -> list[str]:
    return [short(row.parameters) if row.parameters else "-", short(row.multi_adds) if row.multi_adds else "-"]


def short(count: int) -> str:
    """Return a count by three digits: 1517571 -> '1.52 M'."""
    rounded = float(f"{count:.3g}")
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rounded >= size:
            return f"{rounded / size:.{2 - len(str(int(rounded / size))) + 1}f} {letter}"
    return str(count)


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it stands."""
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, in a cell, too."""
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", " ".join(text.split()))
