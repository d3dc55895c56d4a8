"""The zoo as text: a line a variant, or a page of one family."""

from __future__ import annotations

from collections.abc import Sequence

from srtoolbox.apps.zoo import COUNTED, USUAL_SCALE, Family, Training, Variant
from srtoolbox.text import counted

TITLES = ("name", "paper", "parameters", "scales", "field", "configs", "trained", "file")
LEGEND = """parameters: in the form for inference, at x{scale} or the nearest scale there is.
field: how far a pixel sees, in LR pixels, so that tiles are exact; windows: attention in them; image: all of it.
trained: a training by its config was measured here; file: a public file of it was."""


def listing(rows: Sequence[tuple[Family, Variant]], scale: int | None = None) -> str:
    """Return a line for each variant, with its parameters at a scale, and what the columns mean."""
    if not rows:
        return "no network is so: leave out a filter"
    cells = [TITLES, *(line_of(family, variant, scale) for family, variant in rows)]
    legend = LEGEND.format(scale=scale or USUAL_SCALE)
    return f"{columns(cells)}\n\n{counted(len(rows), 'network')}\n{legend}"


def line_of(family: Family, variant: Variant, scale: int | None) -> tuple[str, ...]:
    """Return the cells of a variant's line."""
    trainings = family.trainings_of(variant)
    kinds = [word for word, small in (("paper", False), ("small", True)) if any(t.is_small is small for t in trainings)]
    return (
        variant.name,
        family.cited,
        short(variant.parameters[variant.nearest(scale or USUAL_SCALE)]),
        scales_of(family, variant),
        str(variant.field) if variant.field is not None else "windows" if variant.windows else "image",
        ", ".join(kinds) or "-",
        "yes" if any(training.is_measured for training in trainings) else "-",
        "yes" if family.files and variant is family.variants[0] else "-",
    )


def scales_of(family: Family, variant: Variant) -> str:
    """Return 'any', or the scales of a variant."""
    if "scale" in variant.arguments:
        return str(variant.arguments["scale"])
    if family.scales is None:
        return "any"
    return " ".join(str(scale) for scale in family.scales if scale in variant.parameters or scale not in COUNTED)


def short(count: int) -> str:
    """Return '43.1 M', '239.5 K' or '72'."""
    for unit, size in (("M", 10**6), ("K", 10**3)):
        if count >= size:
            digits = 2 if count < 10 * size else 1
            return f"{count / size:.{digits}f} {unit}"
    return str(count)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as aligned text, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = TITLES.index("parameters") if rows[0] == TITLES else -1
    lines = []
    for row in rows:
        cells = [c.rjust(w) if n == right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def details(family: Family) -> str:
    """Return all that is known of a family: its documentation, variants, configs and files."""
    parts = [
        family.summary(),
        family.paper,
        family.text(),
        f"As Python: {family.signature()}",
        "Variants, with their parameters:\n" + variants_text(family),
        "Configs (srtoolbox train NAME):\n" + trainings_text(family.trainings),
        files_text(family),
    ]
    return "\n\n".join(part for part in parts if part)


def variants_text(family: Family) -> str:
    """Return a line for each variant with its parameters, and its config below."""
    lines = []
    for variant in family.variants:
        counts = ", ".join(f"x{scale} {short(count)}" for scale, count in variant.parameters.items())
        lines.append(f"  {variant.name}: {counts}\n      {config_of(family, variant)}")
    return "\n".join(lines)


def config_of(family: Family, variant: Variant) -> str:
    """Return the network of a config as it is typed."""
    told = {"scale": variant.nearest(USUAL_SCALE), **variant.arguments}
    return f"dict(type={family.name!r}, {', '.join(f'{key}={value_text(value)}' for key, value in told.items())})"


def value_text(value: object) -> str:
    """Return a value as Python, `[6] * 12` for twelve that are equal."""
    if isinstance(value, list) and len(value) > 3 and all(entry == value[0] for entry in value):
        return f"[{value[0]!r}] * {len(value)}"
    return repr(value)


def trainings_text(trainings: Sequence[Training]) -> str:
    """Return a line for each config."""
    if not trainings:
        return "  none"
    rows = []
    for training in trainings:
        kind = training.variant or ("a small network" if training.is_small else "another network")
        rows.append((f"  {training.config}", f"x{training.scale}", kind, "measured" if training.is_measured else ""))
    return columns(rows)


def files_text(family: Family) -> str:
    """Return what files are recognised, written, and were measured."""
    names = ", ".join(name or "the usual names" for name in family.layouts)
    lines = [f"Files that open: {names or 'none'}."]
    if family.exports:
        lines.append(f"Written back by convert_checkpoint --to: {', '.join(family.exports)}.")
    if family.files:
        lines.append(f"Public files measured here: {'; '.join(family.files)}.")
    return "\n".join(lines)
