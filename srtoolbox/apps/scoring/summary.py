"""Networks in a table: their trainings as mean and standard deviation, their size, what is best."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import nn

from srtoolbox.apps.cost import count_flops
from srtoolbox.apps.report.contents import SECONDS, MetricFacts, RunFacts
from srtoolbox.apps.scoring.significance import Comparison, best_of, compare_pairs
from srtoolbox.apps.scoring.tables import Results
from srtoolbox.engine.evaluate import Scores, means
from srtoolbox.errors import OptionError
from srtoolbox.interfaces import Opaque, facts_of
from srtoolbox.logger import LOGGER
from srtoolbox.text import first_line

OUTPUT = (720, 1280)
"""Height and width of the output for which Multi-Adds are counted, as papers do."""


class Column(NamedTuple):
    """A set and a metric."""

    set_name: str
    metric: str


@dataclass(frozen=True)
class Row:
    """One network: by its name in the results, or that of several trainings."""

    name: str
    title: str
    parameters: int
    multi_adds: int | None
    """For one output of `OUTPUT`; None: they are not counted."""
    trainings: list[dict[str, Scores]]
    """Of each training `{set: {metric: mean}}`."""
    images: dict[str, dict[str, Scores]]
    """`{set: {image: scores}}`, means over the trainings."""

    def values(self, column: Column) -> list[float]:
        """Return the mean over the set for each training; none where it is not scored."""
        found = (training[column.set_name].get(column.metric) for training in self.trainings)
        return [value for value in found if value is not None]

    def mean(self, column: Column) -> float | None:
        """Return the mean over the trainings, None where it is not scored."""
        values = self.values(column)
        return math.fsum(values) / len(values) if values else None

    def deviation(self, column: Column) -> float | None:
        """Return the sample standard deviation (n - 1) over trainings, None of one."""
        values = self.values(column)
        if len(values) < 2:
            return None
        return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


@dataclass(frozen=True)
class Summary:
    """The contents of a table: rows are networks, columns sets and metrics."""

    rows: list[Row]
    metrics: Mapping[str, MetricFacts]
    scales: Mapping[str, int]
    comparisons: list[Comparison] = field(default_factory=list)
    """Of all pairs of networks, where they are asked for."""

    @property
    def columns(self) -> list[Column]:
        """The sets with the metrics that score them, without the time."""
        first = self.rows[0].trainings[0]
        return [Column(name, metric) for name, scores in first.items() for metric in scores if metric != SECONDS]

    def title(self, metric: str) -> str:
        """Return how papers call a metric: PSNR, unless several of that kind are measured."""
        kind = self.metrics[metric].kind
        return kind if [each.kind for each in self.metrics.values()].count(kind) == 1 else metric

    def text(self, row: Row, column: Column) -> tuple[str, str] | None:
        """Return mean and deviation as printed; the deviation is '' of one training."""
        mean, deviation = row.mean(column), row.deviation(column)
        if mean is None:
            return None
        digits = self._decimals(column.metric)
        return f"{mean:.{digits}f}", "" if deviation is None else f"{deviation:.{digits}f}"

    def _decimals(self, metric: str) -> int:
        """2 where the numbers reach 10 (PSNR in dB), else 4 (SSIM)."""
        columns = [column for column in self.columns if column.metric == metric]
        values = [value for row in self.rows for column in columns for value in row.values(column)]
        return 2 if any(abs(value) >= 10 for value in values) else 4

    def places(self, column: Column) -> dict[str, int]:
        """Return {network: 1} of the best and {network: 2} of the second, by what is printed."""
        direction = self.metrics[column.metric].higher_is_better
        texts = {row.name: text[0] for row in self.rows if (text := self.text(row, column))}
        numbers = {name: float(text) for name, text in texts.items()}
        ranked = sorted({value for value in numbers.values() if not math.isnan(value)}, reverse=bool(direction))
        if direction is None or len(numbers) < 2:
            return {}
        return {name: ranked.index(value) + 1 for name, value in numbers.items() if value in ranked[:2]}

    def p_values(self, column: Column) -> dict[str, float]:
        """Return p of each network against the best, without the best; {} where none is tested."""
        mine = self._against_best(column)
        return {each.second: each.p for each in mine}

    def undecided(self, column: Column) -> set[str]:
        """Return the networks that are not significantly worse than the best, of what the images can show."""
        mine = [each for each in self._against_best(column) if each.can_show and not math.isnan(each.p)]
        return {each.second for each in mine if not each.is_significant}

    def _against_best(self, column: Column) -> list[Comparison]:
        mine = [each for each in self.comparisons if (each.set_name, each.metric) == column]
        return [each for each in mine if each.first == best_of(mine)] if mine else []

    def spreads(self) -> Iterator[str]:
        """Yield a sentence for each network of several trainings and each set."""
        for row in self.rows:
            if len(row.trainings) < 2:
                continue
            for set_name in row.images:
                columns = [column for column in self.columns if column.set_name == set_name]
                cells = [f"{column.metric} {' ± '.join(self.text(row, column) or ())}" for column in columns]
                yield f"{set_name} {row.name}, {len(row.trainings)} trainings: {', '.join(cells)}"


def plan_rows(
    networks: Mapping[str, nn.Module],
    groups: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
    *,
    significance: bool = False,
) -> dict[str, list[str]]:
    """Return the names of each row's networks: one, or several trainings.

    Args:
        networks: by their names in the results.
        groups: checkpoints of several trainings of one network, by the name it gets.
        files: the checkpoints of the networks.
        significance: rows are to be compared.

    Raises:
        OptionError: trainings of different networks, a name that is taken, or nothing to compare.
    """
    names = {path: name for name, path in files.items()}
    grouped = {name: [names[path] for path in paths] for name, paths in groups.items()}
    members = {member for each in grouped.values() for member in each}
    alone = {name: [name] for name in networks if name not in members}
    for name, each in grouped.items():
        if name in alone:
            raise OptionError(f"seeds: {name} is the name of another network, too; take another one")
        if not each:
            raise OptionError(f"seeds: {name} lacks its checkpoints: give its name, then a checkpoint of each seed")
        kinds = dict.fromkeys(_kind(networks[member]) for member in each)
        if len(kinds) > 1:
            raise OptionError(f"seeds: the checkpoints of {name} are of different networks: {', '.join(kinds)}")
    rows = {**alone, **grouped}
    if significance and len(rows) < 2:
        only = next(iter(rows))
        raise OptionError(f"significance: compares networks, {only} is alone: score another beside it, or the baseline")
    return rows


def _kind(network: nn.Module) -> str:
    return f"{type(network).__name__} of {_parameters(network):,} parameters"


def summarise(
    results: Results,
    networks: Mapping[str, nn.Module],
    rows: Mapping[str, Sequence[str]],
    facts: RunFacts,
    *,
    multi_adds: bool = False,
    significance: bool = False,
) -> Summary:
    """Return the table of a test.

    Args:
        results: scores by network, set and image.
        networks: by the same names.
        rows: names of the networks that are trainings of one, by the name of their row.
        facts: of the test: its metrics, and the scales of its sets.
        multi_adds: count those of the networks, which takes seconds.
        significance: compare all pairs of rows over the images.
    """
    firsts = [networks[members[0]] for members in rows.values()]
    classes = [type(network).__name__ for network in firsts]
    table = []
    for network, (name, members) in zip(firsts, rows.items(), strict=True):
        kind = type(network).__name__
        is_told = name in results and classes.count(kind) == 1 and not isinstance(network, Opaque)
        table.append(
            Row(
                name,
                title=kind if is_told else name,
                parameters=_parameters(network),
                multi_adds=count_multi_adds(name, network) if multi_adds else None,
                trainings=[{key: means(images) for key, images in results[member].items()} for member in members],
                images=_mean_of([results[member] for member in members]),
            )
        )
    summary = Summary(table, facts.metrics, facts.scales)
    return replace(summary, comparisons=_comparisons(summary)) if significance else summary


def _comparisons(summary: Summary) -> list[Comparison]:
    found = []
    for column in summary.columns:
        direction = summary.metrics[column.metric].higher_is_better
        if direction is not None:
            scores = {
                row.name: {image: each[column.metric] for image, each in row.images[column.set_name].items()}
                for row in summary.rows
            }
            found += compare_pairs(*column, scores, direction)
    return found


def _mean_of(trainings: Sequence[dict[str, dict[str, Scores]]]) -> dict[str, dict[str, Scores]]:
    """Return `{set: {image: scores}}` as means over trainings."""
    return {
        set_name: {
            image: means({str(number): each[set_name][image] for number, each in enumerate(trainings)})
            for image in images
        }
        for set_name, images in trainings[0].items()
    }


def _parameters(network: nn.Module) -> int:
    if isinstance(network, Opaque):
        return network.parameter_count
    return sum(parameter.numel() for parameter in network.parameters())


def count_multi_adds(name: str, network: nn.Module) -> int | None:
    """Return the Multi-Adds of a network for an output of `OUTPUT`, without computing any of it.

    None of one without parameters, of ONNX files, and of one that needs real tensors, which is logged.
    """
    if isinstance(network, Opaque) or not _parameters(network):
        return None
    facts = facts_of(network)
    sides = [facts.fit(-(-side // facts.scale)) for side in OUTPUT]
    try:
        shadow = copy.deepcopy(network).to("meta").eval()
        flops, _ = count_flops(shadow, torch.empty(1, facts.in_channels, *sides, device="meta"))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        LOGGER.warning("%s: its Multi-Adds are left out, they cannot be counted: %s", name, first_line(error))
        return None
    return flops // 2
