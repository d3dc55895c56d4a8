"""Tables of scores lose no digit, however many scores and networks there are."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from srtoolbox.apps.scoring import tables
from srtoolbox.apps.scoring.tables import best_first, marked, print_tables


def printed(monkeypatch: pytest.MonkeyPatch, networks: int, scores: int) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    monkeypatch.setattr(tables, "CONSOLE", console)
    values = {f"a_long_score_{number}": 10 + number / 7 for number in range(scores)}
    print_tables({f"network_{number}": {"set5": {"bird": values}} for number in range(networks)}, {})
    text = console.file.getvalue()
    for value in values.values():
        assert text.count(f"{value:.4f}") == networks
    return text.splitlines()


def test_few_scores_go_across(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set5 (1 image)" in printed(monkeypatch, 3, 2)[0]
    assert "a_long_score_0" in printed(monkeypatch, 3, 2)[2]


def test_many_scores_go_down(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "network_1" in printed(monkeypatch, 2, 12)[2]


def test_where_nothing_fits_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(printed(monkeypatch, 12, 12)[2]) > 80


def test_the_best_of_each_score_is_starred_and_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, file=io.StringIO())
    monkeypatch.setattr(tables, "CONSOLE", console)
    scores = {"a": (30.0, 0.2, 1.0), "b": (31.0, 0.3, 2.0), "c": (30.5, 0.1, 3.0)}
    results = {
        name: {"set5": {"bird": dict(zip(("psnr", "lpips", "energy"), values, strict=True))}}
        for name, values in scores.items()
    }
    directions = {"psnr": True, "lpips": False, "energy": None}
    print_tables(results, directions)
    rows = [line.split() for line in console.file.getvalue().splitlines() if "0000" in line]
    assert [row[1] for row in rows] == ["b", "c", "a"]
    assert [[cell for cell in row if cell.endswith("*")] for row in rows] == [["31.0000*"], ["0.1000*"], []]
    print_tables(results, directions, ranked=False)
    rows = [line.split() for line in console.file.getvalue().splitlines()[len(rows) + 6 :] if "0000" in line]
    assert [row[1] for row in rows] == ["a", "b", "c"]


def test_what_is_no_number_is_last_and_what_prints_alike_is_equally_good() -> None:
    rows = {"nan": {"psnr": math.nan}, "low": {"psnr": 1.0}, "inf": {"psnr": math.inf}}
    assert list(best_first(rows, {"psnr": True})) == ["inf", "low", "nan"]
    assert list(best_first(rows, {"psnr": False})) == ["low", "inf", "nan"]
    assert list(best_first(rows, {"psnr": None})) == list(rows)
    assert marked({"a": 1.00001, "b": 1.00002, "c": 0.5}, True) == {"a": "1.0000*", "b": "1.0000*", "c": "0.5000 "}
    assert marked({"a": math.nan, "b": math.nan}, True) == {"a": "nan", "b": "nan"}
    assert marked({"a": 1.0}, True) == {"a": "1.0000"}


def test_names_in_brackets_are_no_markup() -> None:
    console = Console(width=80, file=io.StringIO())
    print_tables({"best[old]": {"set[a]": {"bird": {"psnr[y]": 30.0}}}}, {}, console=console)
    assert all(name in console.file.getvalue() for name in ("best[old]", "set[a]", "psnr[y]"))
