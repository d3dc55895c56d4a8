"""Tables of scores lose no digit, however many scores and networks there are."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from srtoolbox import logger
from srtoolbox.cli.test_tables import print_tables


def printed(monkeypatch: pytest.MonkeyPatch, networks: int, scores: int) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    monkeypatch.setattr(logger, "CONSOLE", console)
    values = {f"a_long_score_{number}": 10 + number / 7 for number in range(scores)}
    print_tables({f"network_{number}": {"set5": {"bird": values}} for number in range(networks)})
    text = console.file.getvalue()
    for value in values.values():
        assert text.count(f"{value:.4f}") == networks
    return text.splitlines()


def test_few_scores_go_across(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set5 (1 picture)" in printed(monkeypatch, 3, 2)[0]
    assert "a_long_score_0" in printed(monkeypatch, 3, 2)[2]


def test_many_scores_go_down(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "network_1" in printed(monkeypatch, 2, 12)[2]


def test_where_nothing_fits_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(printed(monkeypatch, 12, 12)[2]) > 80
