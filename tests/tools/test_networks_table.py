"""docs/networks.md has the table that tools/maintenance/networks_table.py writes, but for times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PAGE = (Path(__file__).parents[2] / "docs/networks.md").read_text(encoding="utf-8")
QUICK = ("FSRCNN", "EDSR", "SPAN")
"""Variants that are counted in the default run."""
README = """
Words.

| network | trained on | scale | Set5 | Set14 | BSD100 | Urban100 |
|---|---|--:|---|---|---|---|
| Net | DIV2K | 2 | 38.0 / .96 | | | 32.00 |
| | | 4 | 32.0 / .89 * | | | 26.00 |
| | DF2K | 4 | 32.5 | | | 26.50 * |
| Net-L | DF2K | 2 | 38.5 | | | |

| config | scale |
|---|---|
| `net.py` | 4 |
"""


@pytest.fixture
def table(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("networks_table")


def without_times(table: ModuleType, cells: list[str]) -> list[str]:
    return [cell for number, cell in enumerate(cells) if number not in (table.MS, table.MB)]


def assert_told(table: ModuleType, names: list[str]) -> None:
    page = table.lines_of(PAGE)
    for row in table.rows(names):
        made = [cell.strip() for cell in table.line(row, ("", "")).strip("|").split("|")]
        assert without_times(table, page[row.name]) == without_times(table, made), row.name


def test_the_rows_of_some_variants_are_as_counted(table: ModuleType) -> None:
    assert_told(table, list(QUICK))


@pytest.mark.slow
def test_the_rows_of_all_variants_are_as_counted(table: ModuleType) -> None:
    assert_told(table, list(table.variants()))
    macs = [row.macs for row in table.rows(table.lines_of(PAGE))]
    assert macs == sorted(macs)


def test_each_variant_has_its_row_and_was_measured(table: ModuleType) -> None:
    page = table.lines_of(PAGE)
    assert page.keys() == table.variants().keys(), "python tools/maintenance/networks_table.py --measure NAME"
    assert all(float(cells[column]) > 0 for cells in page.values() for column in (table.MS, table.MB))
    assert "Measured: one thread of " in PAGE


def test_published_scores_are_of_variants(table: ModuleType) -> None:
    found = table.published()
    assert found.keys() <= table.variants().keys()
    assert len(found) >= 33
    assert found["SwinIR-light"].psnr["Urban100", 4] == "26.47"


def test_scores_are_read_from_readmes(table: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "configs/net").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs/net/README.md").write_text(README)
    (tmp_path / "docs/networks.md").write_text("# Networks")
    found = table.published(tmp_path)
    source = "../configs/net/README.md"
    assert found == {
        "Net": table.Published("DF2K", source, {("Set5", 4): "32.5", ("Urban100", 4): "26.50*"}),
        "Net-L": table.Published("DF2K", source, {("Set5", 2): "38.5"}),
    }
    (tmp_path / "configs/net/README.md").write_text(README.replace("26.50 *", ""))
    scores = {("Set5", 2): "38.0", ("Urban100", 2): "32.00", ("Set5", 4): "32.0*", ("Urban100", 4): "26.00"}
    assert table.published(tmp_path)["Net"] == table.Published("DIV2K", source, scores)


def test_writing_keeps_the_times_that_were_not_measured_anew(table: ModuleType) -> None:
    page = f"# Networks\n{table.BEGIN}{table.END}after\n"
    found = [
        table.Row("Wide", 2_345_678, 123_400_000_000, None, "2, 4"),
        table.Row("Small", 12_345, 580_000_000, table.Published("DIV2K", "#here", {("Set5", 4): "30.7"}), "any"),
    ]
    page = table.rewritten(page, found, {"Wide": ("210", "34.5")}, "Measured: here.")
    assert page.endswith(f"\nMeasured: here.\n{table.END}after\n")
    page = table.rewritten(page, found, {"Small": ("1.20", "0.80")}, "")
    assert [line for line in page.splitlines() if line.startswith(("| Small", "| Wide", "Measured"))] == [
        "| Small | 12.3 K | 0.58 G | 1.20 | 0.80 | 30.7 | | | | [DIV2K](#here) | any |",
        "| Wide | 2.35 M | 123 G | 210 | 34.5 | | | | | | 2, 4 |",
        "Measured: here.",
    ]
    assert table.rewritten(page, found, {}, "") == page
